module github.com/stytchware/stytchware/examples/connect

go 1.25.0

require (
	connectrpc.com/connect v1.20.0
	github.com/stytchware/stytchware v0.0.0
	google.golang.org/protobuf v1.36.11
)

require (
	github.com/MicahParks/jwkset v0.11.4 // indirect
	github.com/MicahParks/keyfunc/v3 v3.9.1 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/stytchware/stytchware => ../..
