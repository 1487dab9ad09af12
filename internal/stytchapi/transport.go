package stytchapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// maxBody is the largest answer that is read, after decompression.
const maxBody = 1 << 20

var (
	errTooLarge = errors.New("stytchapi: answer larger than 1 MiB")
	errCut      = errors.New("stytchapi: answer could not be read to its end")
)

// httpClient returns the client to send with, and its transport if it is ours.
func httpClient(cfg Config) (*http.Client, *http.Transport) {
	var hc http.Client
	if cfg.HTTPClient != nil {
		hc = *cfg.HTTPClient
	}
	// A 307 would send the body, with the token in it, wherever it says.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	hc.Jar = nil
	if hc.Transport != nil {
		return &hc, nil
	}
	own := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    2 * time.Second,
		ResponseHeaderTimeout:  cfg.Deadline,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           cfg.MaxInFlight,
		MaxIdleConnsPerHost:    cfg.MaxInFlight,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
		// Without pings a connection that died silently is used, and times
		// every call out, until the kernel gives it up after many minutes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
	}
	hc.Transport = own
	return &hc, own
}

// reply is an HTTP answer. err says why body is not the whole of it.
type reply struct {
	status     int
	retryAfter string
	body       string
	err        error
}

// send makes one attempt. An error means that there was no HTTP answer at all.
func (c *Client) send(ctx context.Context, q request) (r reply, err error) {
	defer func() {
		// The transport may be the caller's; it runs in a flight that many
		// requests share, where a panic would end the process.
		if v := recover(); v != nil {
			r, err = reply{}, &panicError{value: fmt.Sprintf("%T", v), stack: debug.Stack()}
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+q.path, bytes.NewReader(q.body))
	if err != nil {
		return reply{}, err
	}
	_, basic := c.keys()
	req.Header.Set("Authorization", "Basic "+basic)
	req.Header.Set("Content-Type", "application/json") // Stytch refuses a charset parameter
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "stytchware")
	res, err := c.http.Do(req)
	if err != nil {
		if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
			err = fmt.Errorf("%w: %w", ended, err) // a transport that does not say why
		}
		return reply{}, err
	}
	defer res.Body.Close()
	r.status, r.retryAfter = res.StatusCode, res.Header.Get("Retry-After")
	if r.status == http.StatusOK || r.status == http.StatusCreated || r.status >= 400 {
		// What we do not read is closed: a protocol switch, for one, would
		// not end with the context.
		r.body, r.err = readBody(ctx, res.Body)
	}
	return r, nil
}

// readBody reads to the end, so that the connection can serve again.
func readBody(ctx context.Context, body io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(ctxReader{ctx, body}, maxBody+1))
	switch {
	case ctx.Err() != nil && err != nil:
		return "", ctx.Err()
	case err != nil:
		return "", fmt.Errorf("%w: %w", errCut, err)
	case len(b) > maxBody:
		return "", errTooLarge
	}
	return string(b), nil
}

// ctxReader ends with its context even where the reader below does not.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// panicError is a panic of the transport. It carries the type of what was
// thrown, not the value, which could hold the request.
type panicError struct {
	value string
	stack []byte
}

func (p *panicError) Error() string {
	return "stytchapi: the HTTP transport panicked (" + p.value + ")"
}
