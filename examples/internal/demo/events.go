package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
)

const (
	heartbeat = 15 * time.Second
	// writeTime is how long a reader that does not read may hold a stream.
	writeTime = 10 * time.Second
)

// events streams the session, at once and whenever it changes, until it expires, is revoked on this process,
// the client leaves, or the server shuts down.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	s, ok := sessionctx.From(r.Context())
	if !ok {
		problem(w, http.StatusInternalServerError, "")
		return
	}
	data, err := json.Marshal(bodyOf(s))
	if err != nil {
		problem(w, http.StatusInternalServerError, "")
		return
	}
	ctx, cancel := a.auth.Follow(r.Context())
	defer cancel()
	changed, leave := a.streams.join(s.ID())
	defer leave()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.Method == http.MethodHead {
		return
	}

	// The server's deadlines are for requests that end. An error here means
	// there is none to clear.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})
	send := func(format string, args ...any) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		if err := rc.Flush(); err != nil {
			return false
		}
		_ = rc.SetWriteDeadline(time.Time{})
		return true
	}
	if !send("event: session\ndata: %s\n\n", data) {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.closing:
			return
		case now := <-changed:
			// Another tab may have come with a JWT of before.
			if now.LastAccessedAt().Before(s.LastAccessedAt()) || looksLike(now, s) {
				continue
			}
			s = now
			if data, err = json.Marshal(bodyOf(s)); err != nil || !send("event: session\ndata: %s\n\n", data) {
				return
			}
		case <-beat.C:
			if !send(": still there\n\n") {
				return
			}
		}
	}
}

// streams passes changes of sessions on to the event streams that show them. One
// subscriber of OnChange serves all, while there are any.
type streams struct {
	auth *middleware.Authenticator

	mu          sync.Mutex
	all         map[string]map[chan *sessionctx.Session]bool // by session id
	unsubscribe func()
}

// join gives the newest state of the session whenever it changes, until leave.
func (s *streams) join(id string) (changed <-chan *sessionctx.Session, leave func()) {
	c := make(chan *sessionctx.Session, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]map[chan *sessionctx.Session]bool{}
		s.unsubscribe = s.auth.OnChange(s.tell)
	}
	if s.all[id] == nil {
		s.all[id] = map[chan *sessionctx.Session]bool{}
	}
	s.all[id][c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.all[id], c); len(s.all[id]) == 0 {
			delete(s.all, id)
		}
		if len(s.all) == 0 {
			s.unsubscribe()
			s.all = nil
		}
	}
}

// tell is the subscriber. That a session is over the streams know from Follow.
func (s *streams) tell(e middleware.Event) {
	switch e.Change {
	case middleware.Revoked, middleware.Expired, middleware.Gone:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all[e.SessionID] {
		select { // only the newest counts
		case <-c:
		default:
		}
		c <- e.Session
	}
}

// looksLike reports whether two states of a session show the same, whenever and
// wherever they were verified.
func looksLike(x, y *sessionctx.Session) bool {
	same := func(s *sessionctx.Session) string {
		b := bodyOf(s)
		b.FromCache, b.VerifiedAt = false, time.Time{}
		text, err := json.Marshal(b)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	return same(x) == same(y)
}
