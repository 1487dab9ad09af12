package stytchtest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Fault answers a request in the project's stead, or changes the project's
// answer: next answers as if there were no fault. A Fault is called by many
// requests at once. One that waits should also wait for the request's context;
// the body can be read once, by it or by next.
//
// Any function of this form is a Fault; the functions below return the usual
// ones.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

type faults struct{ keySet, api atomic.Pointer[Fault] }

func (f *faults) of(keySet bool) *atomic.Pointer[Fault] {
	if keySet {
		return &f.keySet
	}
	return &f.api
}

// FailKeys applies f to every later request for the key set; nil removes it.
// Requests that have arrived are not affected.
func (p *Project) FailKeys(f Fault) { p.fail(true, f) }

// FailAPI applies f to every later request except those for the key set; nil
// removes it.
func (p *Project) FailAPI(f Fault) { p.fail(false, f) }

func (p *Project) fail(keySet bool, f Fault) {
	if f == nil {
		p.faults.of(keySet).Store(nil)
		return
	}
	p.faults.of(keySet).Store(&f)
}

// Then returns a fault that meets g where f would have gone on to the project:
// Slow(time.Second).Then(Down()).
func (f Fault) Then(g Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		f(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g(w, r, next) }))
	}
}

// Times returns a fault that happens to the first n requests only.
func (f Fault) Times(n int) Fault {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if seen.Add(1) > int64(n) {
			next.ServeHTTP(w, r)
			return
		}
		f(w, r, next)
	}
}

// On returns a fault that happens to the requests for one path only, such as
// /v1/sessions/revoke.
func (f Fault) On(path string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path != path {
			next.ServeHTTP(w, r)
			return
		}
		f(w, r, next)
	}
}

// Down closes the connection without an answer.
func Down() Fault {
	return func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
}

// Hang never answers: it waits until the client leaves.
func Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// Slow waits before it goes on, unless the client leaves.
func Slow(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// Error answers with an error of Stytch's form, such as 500 and
// "internal_server_error".
func Error(status int, errorType string) Fault {
	body := mustMarshal(map[string]any{
		"status_code": status, "request_id": "request-id-test-" + newUUID(),
		"error_type": errorType, "error_message": http.StatusText(status),
		"error_url": "https://stytch.com/docs/api/errors/" + strconv.Itoa(status),
	})
	return Reply(status, "application/json", string(body))
}

// TooManyRequests answers 429. retryAfter is the Retry-After header, seconds
// or a date; "" sends none, as Stytch.
func TooManyRequests(retryAfter string) Fault {
	answer := Error(http.StatusTooManyRequests, "too_many_requests")
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		answer(w, r, next)
	}
}

// HTML answers with a page, as a proxy in between does: 502, 504, or 200.
func HTML(status int) Fault {
	text := strconv.Itoa(status) + " " + http.StatusText(status)
	return Reply(status, "text/html; charset=utf-8",
		"<html><head><title>"+text+"</title></head><body><center><h1>"+text+"</h1></center></body></html>\n")
}

// Reply answers with any body, such as {} or an older key set.
func Reply(status int, contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// Truncated sends the first half of the answer as if it were all of it.
func Truncated() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := record(r, next)
		a.body.Truncate(a.body.Len() / 2)
		a.copyTo(w)
	}
}

// Cut sends the first half of the answer and then closes the connection.
func Cut() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := record(r, next)
		a.sent.Set("Content-Length", strconv.Itoa(a.body.Len()))
		a.body.Truncate(a.body.Len() / 2)
		a.copyTo(w)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Rewrite lets change edit the JSON object of each 200; in an answer to the
// front-end SDK that is the one in its data. Numbers in it are json.Number.
func Rewrite(change func(answer map[string]any)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := record(r, next)
		whole := decodeObject(a.body.Bytes())
		object := whole
		if strings.HasPrefix(r.URL.Path, sdkPath) {
			object, _ = whole["data"].(map[string]any)
		}
		if a.status == http.StatusOK && object != nil {
			change(object)
			a.body.Reset()
			a.body.Write(mustMarshal(whole))
		}
		a.copyTo(w)
	}
}

// OtherUser names another user in each 200 that has a session.
func OtherUser() Fault {
	id := "user-test-" + newUUID()
	return Rewrite(func(answer map[string]any) {
		for _, name := range []string{"session", "user"} {
			if object, ok := answer[name].(map[string]any); ok {
				object["user_id"] = id
			}
		}
	})
}

// OtherSession names another session in each 200 that has a session.
func OtherSession() Fault {
	id := "session-test-" + newUUID()
	return Rewrite(func(answer map[string]any) {
		if object, ok := answer["session"].(map[string]any); ok {
			object["session_id"] = id
		}
	})
}

// SessionJWT puts another session_jwt in each 200 that has one; with "" the
// answer has none.
func SessionJWT(jwt string) Fault {
	return Rewrite(func(answer map[string]any) {
		switch _, ok := answer["session_jwt"]; {
		case ok && jwt == "":
			delete(answer, "session_jwt")
		case ok:
			answer["session_jwt"] = jwt
		}
	})
}

// Watch changes nothing; see gets a copy of each request's body.
func Watch(see func(r *http.Request, body []byte)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		// The body is in memory: reading it cannot fail.
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		see(r, bytes.Clone(body))
		next.ServeHTTP(w, r)
	}
}

// recording is an answer that has not been sent yet.
type recording struct {
	header http.Header
	sent   http.Header // header when the status was written
	status int
	body   bytes.Buffer
	pushed bool // flushed: the client has seen the beginning
}

func record(r *http.Request, h http.Handler) *recording {
	a := &recording{header: http.Header{}}
	h.ServeHTTP(a, r)
	a.WriteHeader(http.StatusOK)
	return a
}

func (a *recording) Header() http.Header { return a.header }

func (a *recording) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
	}
}

func (a *recording) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// Flush implements http.Flusher.
func (a *recording) Flush() {
	a.WriteHeader(http.StatusOK)
	a.pushed = true
}

func (a *recording) copyTo(w http.ResponseWriter) {
	for name, values := range a.sent {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes()) // a client that left needs no answer
}
