// Package traffic models what one user's client makes a server ask of Stytch
// in an hour, with this library and without it. Its test holds the model of
// the library against the library.
package traffic

import "time"

// The clocks of the model.
const (
	hour        = time.Hour
	jwtLifetime = 5 * time.Minute       // of Stytch's session JWTs
	sdkEvery    = 3 * time.Minute       // between two renewals by the web SDK
	tokenTTL    = 30 * time.Second      // for which the library keeps a yes to a session token
	apiLatency  = 50 * time.Millisecond // of one call to Stytch
)

// Person is one user of an open page or app, from login on.
type Person struct {
	Name      string
	Every     time.Duration // between two views; whole seconds
	Fan       int           // requests of one view, all at once
	SDK       bool          // the web SDK renews the JWT; otherwise only the server does
	Opaque    bool          // the client has the session token only
	Processes int           // that share the requests of a view; 0 is 1
}

// Server is how a server finds out whether a session is good.
type Server int

// The ways to do it.
const (
	Asking  Server = iota // Stytch is asked at each request
	Local                 // JWTs are verified by hand; about a stale one Stytch is asked, and the new JWT is dropped
	Keeping               // the same, but the new JWT goes into the cookie
	Library               // this library
)

// processes is how many of them a view reaches.
func (p Person) processes() int { return min(max(1, p.Processes), p.Fan) }

// views calls f with the moment of each view.
func (p Person) views(f func(at time.Duration)) {
	for at := time.Duration(0); at < hour; at += p.Every {
		f(at)
	}
}

// Requests is how many requests the server gets in the hour.
func (p Person) Requests() (n int) {
	p.views(func(time.Duration) { n += p.Fan })
	return n
}

// SDKCalls is how often the web SDK itself asks Stytch in the hour, from the
// browser; no server changes that.
func (p Person) SDKCalls() int {
	if !p.SDK {
		return 0
	}
	return int((hour - 1) / sdkEvery)
}

// Calls is how often the server asks Stytch in the hour.
func (p Person) Calls(by Server) (n int) {
	issued := time.Duration(0)    // when the client's JWT was
	answered := map[int]float64{} // by process, in seconds: when Stytch said yes to the session token
	p.views(func(at time.Duration) {
		if by == Asking || p.Opaque && by != Library {
			n += p.Fan
			return
		}
		if p.Opaque {
			for process := range p.processes() {
				if last, ok := answered[process]; !ok || at.Seconds()-last >= tokenTTL.Seconds() {
					answered[process] = (at + apiLatency).Seconds()
					n++
				}
			}
			return
		}
		if p.SDK {
			issued = max(issued, at/sdkEvery*sdkEvery)
		}
		if at-issued < jwtLifetime {
			return
		}
		switch by {
		case Local:
			n += p.Fan
		case Keeping:
			n += p.Fan
			issued = at
		case Library: // one call for the view in each process that it reaches
			n += p.processes()
			issued = at
		}
	})
	return n
}

// People are those of the table.
func People() []Person {
	return []Person{
		{Name: "page with the web SDK, 6 requests every 30 s", Every: 30 * time.Second, Fan: 6, SDK: true},
		{Name: "page without it, 6 requests every 30 s", Every: 30 * time.Second, Fan: 6},
		{Name: "the same, 4 processes", Every: 30 * time.Second, Fan: 6, Processes: 4},
		{Name: "page without it, 20 requests every 5 min", Every: 5 * time.Minute, Fan: 20},
		{Name: "app with the session token, 1 request every 10 s", Every: 10 * time.Second, Fan: 1, Opaque: true},
		{Name: "app with the session token, 4 requests every 2 min", Every: 2 * time.Minute, Fan: 4, Opaque: true},
	}
}
