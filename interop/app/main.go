// Command app is the Go side of the interoperability tests, which run in Node:
// it makes a world for each case, and is steered over HTTP.
//
// It prints one JSON line that says where, and ends when its standard input
// does.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/stytchware/stytchware/interop/world"
)

func main() {
	sdk := flag.String("sdk", "", "folder of the shipped browser SDK, served under /sdk/")
	certificate := flag.String("certificate", "", "file to write the certificate to, for clients that must trust it")
	flag.Parse()

	tls, pem, err := world.Certificate()
	if err != nil {
		log.Fatal(err)
	}
	if *certificate != "" {
		if err := os.WriteFile(*certificate, pem, 0o600); err != nil {
			log.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(ln, world.Handler(tls, *sdk))) }()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"control": "http://" + ln.Addr().String()}); err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin) // the tests hold the other end
}
