package suite

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/bench/internal/load"
	"github.com/stytchware/stytchware/bench/internal/measure"
	"github.com/stytchware/stytchware/bench/internal/peer"
)

// Sections of the report.
const (
	HTTP       = "whole request over HTTP, one connection, by the wall clock"
	Throughput = "whole request over HTTP, eight connections, processor time of both ends"
)

const connections = 8

// overHTTP sends whole requests to servers on a loopback address. The client
// is bare, so that what is timed is mostly the server.
func (r *run) overHTTP() error {
	auth, err := r.authenticator(nil)
	if err != nil {
		return err
	}
	peers := append([]peer.Peer{
		{Name: nothing, Handler: peer.Nothing()},
		{Name: peer.Ours, Handler: auth.RequireSession(peer.Greet())},
	}, r.peers...)
	var serial, parallel []measure.Entry
	for _, p := range peers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		server := &http.Server{Handler: p.Handler, ReadHeaderTimeout: time.Minute}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		host := listener.Addr().String()
		name, value := p.Header(r.sessions[0].Tokens.SessionJWT)
		request := load.Wire(host, name, value)
		var conns []*conn
		r.closers = append(r.closers, func() {
			for _, c := range conns {
				_ = c.Close()
			}
			_ = server.Close()
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				panic(err)
			}
		})
		for range connections {
			c, err := dial(host)
			if err != nil {
				return err
			}
			conns = append(conns, c)
			c.send(request, 1)
		}
		serial = append(serial, measure.Entry{Name: p.Name, Do: func(n int) { conns[0].send(request, n) }})
		parallel = append(parallel, measure.Entry{Name: p.Name, Clock: measure.Process, Do: func(n int) {
			var left atomic.Int64
			left.Store(int64(n))
			var done sync.WaitGroup
			for _, c := range conns {
				done.Go(func() {
					for left.Add(-1) >= 0 {
						c.send(request, 1)
					}
				})
			}
			done.Wait()
		}})
	}
	r.contest(HTTP, serial, false)
	r.contest(Throughput, parallel, false)
	return nil
}

// conn is a connection that is kept alive.
type conn struct {
	net.Conn
	read *bufio.Reader
}

func dial(host string) (*conn, error) {
	c, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReader(c)}, nil
}

// send sends the request n times and reads each answer, which must be 204.
func (c *conn) send(request []byte, n int) {
	for range n {
		if _, err := c.Write(request); err != nil {
			panic(fmt.Sprintf("suite: %v", err))
		}
		for first := true; ; first = false {
			line, err := c.read.ReadSlice('\n')
			if err != nil {
				panic(fmt.Sprintf("suite: %v", err))
			}
			if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 204")) {
				panic("suite: the server answers " + strings.TrimSpace(string(line)))
			}
			if len(line) == 2 {
				break // 204 has no body
			}
		}
	}
}
