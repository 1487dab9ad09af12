package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	fetchTimeout = 5 * time.Second
	maxBody      = 1 << 20
)

// source is where the key set comes from.
type source struct {
	url    string
	client *http.Client
	own    *http.Transport // of a client that is ours; otherwise nil
}

func newSource(cfg Config, base string) source {
	s := source{url: base + "/v1/sessions/jwks/" + cfg.ProjectID}
	if cfg.HTTPClient != nil {
		c := *cfg.HTTPClient
		s.client = &c
	} else {
		s.own = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: fetchTimeout, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           1,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    fetchTimeout,
			ResponseHeaderTimeout:  fetchTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		}
		s.client = &http.Client{Transport: s.own}
	}
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client.Jar = nil
	return s
}

var errTooBig = errors.New("answer is larger than 1 MiB")

// get fetches the key set, without credentials: the endpoint is public. The
// limit on the answer's size counts what it decompresses to.
func (s source) get(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, errTooBig
	}
	return body, nil
}

// close ends the goroutines of idle connections that are ours.
func (s source) close() {
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
}
