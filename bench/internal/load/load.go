// Package load makes the requests of the comparison: sessions, their JWTs, and
// what a browser or an app sends around them.
package load

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// JWTCookie is where Stytch's front-end SDK keeps the session JWT.
const JWTCookie = "stytch_session_jwt"

// lifetime is that of the JWTs, which are to last as long as the comparison.
const lifetime = time.Hour

// NewProject returns a project whose JWTs outlive the comparison, and that
// knows as many sessions as asked for.
func NewProject(sessions int) *stytchtest.Project {
	return stytchtest.New(stytchtest.Options{JWTLifetime: lifetime, MaxSessions: sessions + 10_000})
}

// Config is the default configuration, but for a JWT's age and a longer memory
// for what Stytch refused: both would run out during the comparison.
func Config(p *stytchtest.Project) middleware.Config {
	cfg := p.Config()
	cfg.MaxTokenAge, cfg.NegativeTTL = lifetime, lifetime
	return cfg
}

// Session logs a person in with two factors and three custom claims.
func Session(p *stytchtest.Project) stytchtest.Session {
	return p.Login(stytchtest.Login{
		Factors:  []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()},
		Duration: 24 * time.Hour,
		CustomClaims: map[string]any{
			"plan":   "business",
			"tenant": "t-4711",
			"limit":  2500,
		},
		Attributes: sessionctx.Attributes{
			IPAddress: "203.0.113.1",
			UserAgent: "Bank/4.2 (iPhone; iOS 26.1)",
		},
	})
}

// Sessions returns n sessions, made on all cores: a signature takes about a
// millisecond.
func Sessions(p *stytchtest.Project, n int) []stytchtest.Session {
	all := make([]stytchtest.Session, n)
	Each(n, func(i int) { all[i] = Session(p) })
	return all
}

// Each calls f with 0 to n-1 on all cores.
func Each(n int, f func(i int)) {
	cores := runtime.GOMAXPROCS(0)
	var done sync.WaitGroup
	for c := range cores {
		done.Go(func() {
			for i := c; i < n; i += cores {
				f(i)
			}
		})
	}
	done.Wait()
}

// Bearer is the Authorization header of a JWT.
func Bearer(jwt string) string { return "Bearer " + jwt }

// Cookie is the Cookie header of a JWT: among those that a page with consent
// banner, analytics and a CSRF token sets.
func Cookie(jwt string) string {
	return "_ga=GA1.1.1386172532.1731490275; cookie_consent=%7B%22necessary%22%3Atrue%2C%22analytics%22%3Atrue%7D; " +
		"theme=dark; locale=en-GB; csrf_token=Zk1yM0VtT2pPc2FZb0pDb2pTd2l3QT09; " +
		JWTCookie + "=" + jwt + "; _gid=GA1.1.725731209.1731490275; last_seen=1731490275"
}

// Request is one that a browser sends, but for its credential.
func Request() *http.Request {
	r, err := http.NewRequest(http.MethodGet, "https://bank.example.com/api/accounts/7", nil)
	if err != nil {
		panic(fmt.Sprintf("load: %v", err)) // the URL is a constant
	}
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "203.0.113.1:51234"
	for _, line := range browser {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	return r
}

// browser is what Chromium sends with a fetch.
var browser = [...]string{
	"Accept: application/json",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8",
	"Cache-Control: no-cache",
	"Priority: u=1, i",
	"Referer: https://bank.example.com/accounts",
	`Sec-Ch-Ua: "Chromium";v="141", "Not?A_Brand";v="8"`,
	"Sec-Ch-Ua-Mobile: ?0",
	`Sec-Ch-Ua-Platform: "Linux"`,
	"Sec-Fetch-Dest: empty",
	"Sec-Fetch-Mode: cors",
	"Sec-Fetch-Site: same-origin",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
}

// Wire is the request with the header line as bytes for a connection to host.
func Wire(host, name, value string) []byte {
	var b strings.Builder
	b.WriteString("GET /api/accounts/7 HTTP/1.1\r\nHost: " + host + "\r\n")
	for _, line := range browser {
		b.WriteString(line + "\r\n")
	}
	b.WriteString(name + ": " + value + "\r\n\r\n")
	return []byte(b.String())
}

// Writer is an [http.ResponseWriter] that keeps the status and can be used
// again, so that what a handler allocates is its own.
type Writer struct {
	Status int
	header http.Header
}

// NewWriter returns a Writer.
func NewWriter() *Writer { return &Writer{header: http.Header{}} }

// Reset makes w as new.
func (w *Writer) Reset() { w.Status = 0; clear(w.header) }

// Header implements [http.ResponseWriter].
func (w *Writer) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *Writer) WriteHeader(status int) {
	if w.Status == 0 {
		w.Status = status
	}
}

// Write implements [http.ResponseWriter].
func (w *Writer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(b), nil
}
