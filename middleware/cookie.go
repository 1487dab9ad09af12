package middleware

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/seal"
	"github.com/stytchware/stytchware/internal/ttlmap"
)

// Posture says who may read the session cookies.
type Posture uint8

const (
	// Shared cookies are those of Stytch's front-end SDK: its names, readable
	// by scripts. The SDK cannot overwrite or clear a cookie that is HttpOnly,
	// so a logout in the browser would leave this server a live session:
	// sharing means readable. This is the default.
	Shared Posture = iota
	// Private cookies are read by this server only: __Host- names, HttpOnly,
	// Secure, and sealed when Cookies.Keys are given.
	Private
)

// Cookies configures the session cookies.
type Cookies struct {
	// Posture says who may read the cookies. Default: Shared.
	Posture Posture

	// Domain makes Shared cookies available to subdomains, as the SDK's
	// availableToSubdomains does. Default: host-only. Not with Private.
	Domain string

	// TokenName and JWTName replace the default names: stytch_session and
	// stytch_session_jwt, with __Host- before them for Private cookies.
	TokenName, JWTName string

	// Keys seal Private cookies: the first seals, all of them open, and a
	// value opened with a later key is sealed anew. Each has 32 to 128 random
	// bytes. Default: not sealed.
	Keys [][]byte
}

// cookieJar is Cookies, frozen.
type cookieJar struct {
	posture            Posture
	domain             string
	tokenName, jwtName string
	sealer             *seal.Sealer // nil: not sealed
	live               bool         // of a live project: always Secure

	// event is told of each cookie that is written; nil in the zero value.
	event func(ctx context.Context, cookie, action string)

	// remembered is what sealed cookies that opened with the first key hold.
	remembered *ttlmap.Map[sealedCookie, string]
}

// maxCookie is the most bytes of name and value together that browsers keep
// (RFC 6265bis, section 5.6).
const maxCookie = 4096

// set writes the cookies of a session. A token that is missing leaves its
// cookie alone, or clears it where drop asks for that. One that does not fit
// is not written and its cookie is cleared: the other carries the session
// alone.
func (j *cookieJar) set(w http.ResponseWriter, r *http.Request, t Tokens, expires time.Time, drop bool) error {
	values := [2]string{t.SessionToken, t.SessionJWT}
	names := [2]string{j.tokenName, j.jwtName}
	for i, name := range names {
		// What does not fit plain does not fit sealed: the sealer takes no
		// value of any length.
		if values[i] != "" && j.sealer != nil && fits(name, values[i]) {
			var err error
			if values[i], err = j.sealer.Seal(name, values[i]); err != nil {
				return err
			}
		}
	}
	noStore(w)
	for i, name := range names {
		value := values[i]
		if value == "" && !drop {
			continue // leave the cookie as it is, with what an earlier step of this request wrote
		}
		j.forget(w, name)
		if value == "" || !fits(name, value) {
			j.clearOne(w, r, name)
			if value == "" {
				j.tell(r, name, "cleared")
			} else {
				j.tell(r, name, "too large")
			}
			continue
		}
		j.tell(r, name, "set")
		if j.domain != "" { // a host-only one of the same name would come first
			j.add(w, r, &http.Cookie{Name: name, MaxAge: -1})
		}
		j.add(w, r, &http.Cookie{Name: name, Value: value, Domain: j.domain, Expires: expires,
			MaxAge: max(1, int(time.Until(expires)/time.Second))})
	}
	return nil
}

// fits reports whether browsers keep a cookie of that name and value.
func fits(name, value string) bool { return len(name)+len(value) <= maxCookie }

// clear clears both cookies in every form in which they can exist.
func (j *cookieJar) clear(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	for _, name := range [2]string{j.tokenName, j.jwtName} {
		j.forget(w, name)
		j.clearOne(w, r, name)
		j.tell(r, name, "cleared")
	}
}

func (j *cookieJar) tell(r *http.Request, name, action string) {
	if j.event == nil {
		return
	}
	cookie := "token"
	if name == j.jwtName {
		cookie = "jwt"
	}
	j.event(r.Context(), cookie, action)
}

func (j *cookieJar) clearOne(w http.ResponseWriter, r *http.Request, name string) {
	j.add(w, r, &http.Cookie{Name: name, MaxAge: -1})
	if j.domain != "" {
		j.add(w, r, &http.Cookie{Name: name, Domain: j.domain, MaxAge: -1})
	}
}

// add adds one Set-Cookie line. Names and Domain were checked by New, values
// are base64url and dots: nothing is left that net/http would alter.
func (j *cookieJar) add(w http.ResponseWriter, r *http.Request, c *http.Cookie) {
	c.Path = "/"
	c.SameSite = http.SameSiteLaxMode
	c.HttpOnly = j.posture == Private
	c.Secure = j.posture == Private || j.live || r.TLS != nil || !loopbackHost(r.Host)
	if c.MaxAge < 0 {
		c.Expires = time.Unix(1, 0)
	}
	w.Header().Add("Set-Cookie", c.String())
}

// forget takes back what an earlier step of the same request said of a cookie.
func (j *cookieJar) forget(w http.ResponseWriter, cookie string) {
	lines := w.Header()["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	var keep []string
	for _, l := range lines {
		if name, _, _ := strings.Cut(l, "="); name != cookie {
			keep = append(keep, l)
		}
	}
	w.Header()["Set-Cookie"] = keep // what is forgotten is said anew
}

func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }

// loopbackHost reports whether a Host header names this machine: localhost,
// *.localhost, 127.0.0.0/8 or [::1]. Browsers keep no Secure cookie from plain
// http there, or not all of them do. Behind a proxy it may be the name by which
// the proxy knows this server: that says nothing about the browser's connection,
// so cookies of a live project are Secure even then.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && ip.IsLoopback()
}

// begun reports whether the response is known to have begun; only wrapped
// ResponseWriters say so.
func begun(w http.ResponseWriter) bool {
	switch w := w.(type) {
	case interface{ Written() bool }:
		return w.Written()
	case interface {
		Status() int
		BytesWritten() int
	}:
		return w.Status() != 0
	}
	return false
}
