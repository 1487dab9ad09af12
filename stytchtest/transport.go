package stytchtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Transport returns a RoundTripper that hands requests to the project within
// the process: no socket, so that a testing/synctest bubble can own the clock.
// It answers https for [Project.BaseURL] and Stytch's own host, and to any
// other address it cannot connect. RoundTrip returns when the request's
// context ends, and so ends the context of the handler; no goroutine outlives
// a handler that obeys it. It may be used concurrently.
func (p *Project) Transport() http.RoundTripper {
	t := &transport{project: p, origins: map[string]bool{"https://" + p.env + ".stytch.com": true}}
	if p.env == "live" {
		t.origins = map[string]bool{"https://api.stytch.com": true}
	}
	if u, err := url.Parse(p.customDomain); err == nil && u.Host != "" {
		t.origins[u.Scheme+"://"+u.Host] = true
	}
	return t
}

type transport struct {
	project *Project
	origins map[string]bool
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("stytchtest: reading the request: %w", err)
		}
		body = b
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	if origin := r.URL.Scheme + "://" + r.URL.Host; !t.origins[origin] {
		return nil, fmt.Errorf("stytchtest: cannot connect to %q: the project is not there", origin)
	}

	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan outcome, 1)
	go func() {
		defer cancel()
		o := serve(t.project, serverRequest(ctx, r, body))
		cancel() // as net/http does: a request's context ends with its handler
		served <- o
	}()
	select {
	case o := <-served:
		return o.response(r)
	case <-r.Context().Done():
		cancel()
		return nil, context.Cause(r.Context())
	}
}

// serverRequest is what a server would make of r.
func serverRequest(ctx context.Context, r *http.Request, body []byte) *http.Request {
	s := r.Clone(ctx)
	s.Body = io.NopCloser(bytes.NewReader(body))
	s.ContentLength = int64(len(body))
	s.URL.Scheme, s.URL.Host, s.URL.User = "", "", nil
	s.RequestURI = s.URL.RequestURI()
	s.RemoteAddr = "127.0.0.1:1"
	s.Proto, s.ProtoMajor, s.ProtoMinor = "HTTP/1.1", 1, 1
	s.GetBody = nil
	if s.Host == "" {
		s.Host = r.URL.Host
	}
	if s.Header == nil {
		s.Header = http.Header{}
	}
	if s.Header.Get("User-Agent") == "" {
		s.Header.Set("User-Agent", "Go-http-client/1.1")
	}
	return s
}

// outcome is an answer, whole or broken off.
type outcome struct {
	answer *recording
	err    error // why the connection closed before the end
}

// serve calls h as a server does: a panic closes the connection.
func serve(h http.Handler, r *http.Request) (o outcome) {
	o.answer = &recording{header: http.Header{}}
	defer func() {
		switch v := recover(); {
		case v == nil:
		case isAbort(v):
			o.err = fmt.Errorf("stytchtest: the server closed the connection: %w", io.EOF)
		default:
			o.err = fmt.Errorf("stytchtest: the handler panicked: %q", fmt.Sprint(v))
		}
	}()
	h.ServeHTTP(o.answer, r)
	o.answer.WriteHeader(http.StatusOK)
	return o
}

func isAbort(v any) bool {
	err, ok := v.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

func (o outcome) response(r *http.Request) (*http.Response, error) {
	a := o.answer
	if o.err != nil && !a.pushed {
		return nil, o.err // as a server's buffer: nothing was sent yet
	}
	body := io.Reader(bytes.NewReader(a.body.Bytes()))
	if r.Method == http.MethodHead {
		body = http.NoBody
	}
	if a.sent.Get("Content-Type") == "" && a.body.Len() > 0 {
		a.sent.Set("Content-Type", http.DetectContentType(a.body.Bytes()))
	}
	if a.sent.Get("Content-Length") == "" && o.err == nil {
		a.sent.Set("Content-Length", strconv.Itoa(a.body.Len()))
	}
	if a.sent.Get("Date") == "" {
		a.sent.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	length := int64(-1)
	if n, err := strconv.ParseInt(a.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	if o.err != nil {
		body = io.MultiReader(body, broken{})
	}
	return &http.Response{
		Status:     strings.TrimSpace(strconv.Itoa(a.status) + " " + http.StatusText(a.status)),
		StatusCode: a.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        a.sent,
		Body:          io.NopCloser(body),
		ContentLength: length,
		Request:       r,
	}, nil
}

// broken is the end of a body whose connection closed too early.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
