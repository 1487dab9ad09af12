package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Deny answers r for an error of this package as a guard does: through
// Config.ErrorHandler if there is one, else with a redirect for a page load
// that needs a login or a step-up, else with problem+json (RFC 9457) and the
// challenge of RFC 6750 or RFC 9470. Nothing of the request or of the error's
// text is in the answer.
//
// Called by ErrorHandler for the request it was given, Deny writes that default
// answer, so a handler can change some denials and leave the others as they are.
func (a *Authenticator) Deny(w http.ResponseWriter, r *http.Request, err error) {
	if a != nil && a.errorHandler != nil && r.Context().Value(denying{a}) == nil {
		a.errorHandler(w, r.WithContext(context.WithValue(r.Context(), denying{a}, true)), err)
		return
	}
	if err == nil { // whoever denies does not mean 200
		err = errors.New("middleware: denied without an error")
	}
	d := denialOf(err)
	h := w.Header()
	values := [...]string{"no-store", "application/problem+json", "nosniff", d.challenge()} // one allocation
	h["Cache-Control"] = values[0:1:1]
	if to := a.redirect(r, d); to != "" {
		h.Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	status := Status(err)
	if values[3] != "" {
		h["Www-Authenticate"] = values[3:4:4]
	}
	if s := RetryAfter(err); s > 0 {
		h.Set("Retry-After", strconv.Itoa(int(s/time.Second)))
	}
	h["Content-Type"], h["X-Content-Type-Options"] = values[1:2:2], values[2:3:3]
	w.WriteHeader(status)
	_, _ = w.Write([]byte(problems[status])) // its own: w may do with it what it likes
}

// denying is in the context of a request that an Authenticator's ErrorHandler
// answers.
type denying struct{ by *Authenticator }

// problems are the bodies of denials, by status.
var problems = func() map[int]string {
	all := make(map[int]string)
	for _, status := range [...]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		body, _ := json.Marshal(struct {
			Type   string `json:"type"`
			Title  string `json:"title"`
			Status int    `json:"status"`
		}{"about:blank", http.StatusText(status), status})
		all[status] = string(body) + "\n"
	}
	return all
}()

// Challenge returns the WWW-Authenticate header that the default answer to an
// error of this package has (RFC 6750, RFC 9470), such as
// `Bearer error="invalid_token"`; "" for none. An ErrorHandler that answers
// itself sets it, so that clients can tell a step-up from a login.
func Challenge(err error) string {
	if err == nil {
		return ""
	}
	return denialOf(err).challenge()
}

// challenge is the WWW-Authenticate header (RFC 6750, section 3; RFC 9470,
// section 3).
func (d *denial) challenge() string {
	switch {
	case d.kind == ErrStepUp && d.within > 0:
		return `Bearer error="insufficient_user_authentication", max_age="` + strconv.FormatInt(int64(d.within/time.Second), 10) + `"`
	case d.kind == ErrStepUp:
		return `Bearer error="insufficient_user_authentication"`
	case d.kind == ErrInvalidRequest:
		return `Bearer error="invalid_request"`
	case d.kind == ErrNoSession && d.reject:
		return `Bearer error="invalid_token"`
	case d.kind == ErrNoSession:
		return `Bearer realm="session"`
	}
	return ""
}

// redirect returns where a page load is sent for d, or "".
func (a *Authenticator) redirect(r *http.Request, d *denial) string {
	if a == nil {
		return ""
	}
	var to string
	switch d.kind {
	case ErrNoSession:
		to = a.loginURL
	case ErrStepUp:
		to = a.stepUpURL
	}
	if to == "" || !pageLoad(r) {
		return ""
	}
	path, query, _ := strings.Cut(to, "?")
	asked := requested(r)
	if plain, err := url.PathUnescape(path); asked.Path == path || err == nil && asked.Path == plain {
		return "" // the page itself is guarded: better an answer than a loop
	}
	from := asked.EscapedPath()
	if asked.RawQuery != "" {
		from += "?" + asked.RawQuery
	}
	if !localPath(from) {
		from = "/"
	}
	if query != "" {
		query += "&"
	}
	return path + "?" + query + "return_to=" + url.QueryEscape(from)
}

// requested is the URL that the client asked for: http.StripPrefix and its
// like change r.URL, and the client knows nothing of that.
func requested(r *http.Request) *url.URL {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil && u.Opaque == "" {
		return u
	}
	return r.URL
}

// pageLoad reports whether a browser asks for a page to show.
func pageLoad(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if dest := r.Header.Values("Sec-Fetch-Dest"); len(dest) > 0 {
		return len(dest) == 1 && dest[0] == "document"
	}
	return strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Accept"), ",")), "text/html")
}

// ReturnTo returns the page that a redirect to LoginURL or StepUpURL came
// from: the return_to parameter of r's URL if it is a path on this host, else
// "/". Redirect nowhere else after a login.
func ReturnTo(r *http.Request) string {
	if to := r.URL.Query().Get("return_to"); localPath(to) {
		return to
	}
	return "/"
}

// localPath reports whether s, in a Location header, can only lead to this
// host. Browsers read a backslash as a slash and drop tabs and line breaks
// (WHATWG URL), so neither may occur.
func localPath(s string) bool {
	if len(s) == 0 || len(s) > 2048 || s[0] != '/' {
		return false
	}
	if len(s) > 1 && s[1] == '/' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}
