package demo

import (
	"context"
	"net"
	"net/http"
)

// Environment and ReadEnvironment are tested by themselves: a Site hides what
// was read behind the Stytch project in memory.
type Environment = environment

var ReadEnvironment = readEnvironment

func (e environment) Values() (addr, projectID, secret, baseURL string) {
	return e.addr, e.projectID, e.secret, e.baseURL
}

var (
	ParseObject = parseObject
	Text        = text
	Minutes     = minutes
	Lines       = lines
)

// ServeOn is Serve on a listener, until ctx ends.
func (s *Site) ServeOn(ctx context.Context, ln net.Listener, h http.Handler) error {
	return s.serve(ctx, ln, h)
}
