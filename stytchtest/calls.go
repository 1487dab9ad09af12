package stytchtest

import "sync/atomic"

// Calls counts the requests that arrived, faulty and refused ones included.
type Calls struct {
	KeySet       int // GET /v1/sessions/jwks/…
	Authenticate int // POST /v1/sessions/authenticate
	Revoke       int // POST /v1/sessions/revoke
	List         int // GET /v1/sessions
	Send         int // magic links and codes sent
	Login        int // magic links and codes authenticated
	Other        int // whatever the project does not serve

	// Those of the front-end SDK; preflight requests are not counted.
	SDKBootstrap    int // GET /sdk/v1/projects/bootstrap/…
	SDKAuthenticate int // POST /sdk/v1/sessions/authenticate
	SDKRevoke       int // POST /sdk/v1/sessions/revoke
	SDKEvents       int // POST /sdk/v1/events
}

type counters struct {
	keySet, authenticate, revoke, list, send, login, other atomic.Int64

	sdkBootstrap, sdkAuthenticate, sdkRevoke, sdkEvents atomic.Int64
}

// Calls returns how many requests arrived since the project was made.
func (p *Project) Calls() Calls {
	c := &p.calls
	return Calls{
		KeySet:       int(c.keySet.Load()),
		Authenticate: int(c.authenticate.Load()),
		Revoke:       int(c.revoke.Load()),
		List:         int(c.list.Load()),
		Send:         int(c.send.Load()),
		Login:        int(c.login.Load()),
		Other:        int(c.other.Load()),

		SDKBootstrap:    int(c.sdkBootstrap.Load()),
		SDKAuthenticate: int(c.sdkAuthenticate.Load()),
		SDKRevoke:       int(c.sdkRevoke.Load()),
		SDKEvents:       int(c.sdkEvents.Load()),
	}
}
