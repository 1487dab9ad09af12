package stytchtest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stytchware/stytchware/middleware"
)

// Server is a [Project] behind a real server on a loopback address, for tests
// in which the wire matters.
type Server struct {
	*Project        // what it serves
	URL      string // http://127.0.0.1:port

	server *httptest.Server
}

// NewServer returns a server with a new project. It is closed when the test
// ends.
func NewServer(t testing.TB, o Options) *Server {
	p := New(o)
	s := &Server{Project: p, server: httptest.NewServer(p)}
	s.URL = s.server.URL
	t.Cleanup(s.Close)
	return s
}

// Config returns a configuration for [middleware.New] that reaches the project
// over the network and logs nothing.
func (s *Server) Config() middleware.Config {
	cfg := s.Project.Config()
	cfg.BaseURL, cfg.HTTPClient = s.URL, s.Client()
	return cfg
}

// Client returns a client whose connections end with the server.
func (s *Server) Client() *http.Client { return s.server.Client() }

// Close breaks off every request and closes the server: from then on
// connections are refused. It may be called more than once.
func (s *Server) Close() {
	s.server.CloseClientConnections()
	s.server.Close()
}
