package stytchapi

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	logEvery = time.Minute // for each kind of failure
	logKinds = 32          // that are told apart
)

// reporter logs failures, each kind of them at most once a minute, so that an
// outage does not fill the log. Safe for concurrent use.
type reporter struct {
	logger *slog.Logger // nil: slog.Default()

	mu    sync.Mutex
	kinds map[string]*logged
}

// logged is one kind of failure.
type logged struct {
	at       time.Time
	unlogged int // since then
}

// failure logs e unless it is about the session, which is nothing unusual.
func (r *reporter) failure(ctx context.Context, e *Error) {
	var level slog.Level
	var text string
	switch e.Class {
	case Setup:
		level, text = slog.LevelError, "stytchapi: Stytch refuses what this server sends; nobody can be authenticated until it is corrected"
	case Now:
		level, text = slog.LevelWarn, "stytchapi: Stytch could not be asked"
	default:
		return
	}
	unlogged, ok := r.due(e, time.Now())
	if !ok {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	if e.Class == Setup {
		attrs = append(attrs, slog.String("check", check(e)))
	}
	if e.reason != "" {
		attrs = append(attrs, slog.String("reason", e.reason))
	}
	if e.Status != 0 {
		attrs = append(attrs, slog.Int("status", e.Status))
	}
	if e.Type != "" {
		attrs = append(attrs, slog.String("error_type", e.Type))
	}
	if e.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", e.RequestID))
	}
	if e.Class == Now {
		attrs = append(attrs, slog.Duration("retry_after", e.RetryAfter))
	}
	if unlogged > 0 {
		attrs = append(attrs, slog.Int("more_since_last", unlogged))
	}
	var p *panicError
	if errors.As(e.cause, &p) {
		attrs = append(attrs, slog.String("value", p.value), slog.String("stack", string(p.stack)))
	}
	logger := r.logger
	if logger == nil {
		logger = slog.Default()
	}
	defer func() { _ = recover() }() // a handler that panics must not cost a request
	logger.LogAttrs(ctx, level, text, attrs...)
}

// due reports whether this kind of failure may be logged again, and how often it
// was not since the last time.
func (r *reporter) due(e *Error, now time.Time) (unlogged int, ok bool) {
	key := e.Class.String() + " " + e.Type
	if e.Class == Now {
		key += " " + e.reason
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kinds[key]
	if k == nil {
		if len(r.kinds) >= logKinds {
			for old, k := range r.kinds {
				if now.Sub(k.at) >= logEvery {
					delete(r.kinds, old)
				}
			}
		}
		if len(r.kinds) >= logKinds {
			key = e.Class.String() + " other kinds" // a space: no error_type
		}
		if k = r.kinds[key]; k == nil {
			if r.kinds == nil {
				r.kinds = make(map[string]*logged)
			}
			r.kinds[key] = &logged{at: now}
			return 0, true
		}
	}
	if now.Sub(k.at) < logEvery {
		k.unlogged++
		return 0, false
	}
	unlogged = k.unlogged
	*k = logged{at: now}
	return unlogged, true
}

// check names what somebody who reads the log should look at.
func check(e *Error) string {
	switch e.Type {
	case "unauthorized_credentials", "invalid_secret_authentication":
		return "ProjectID and Secret: both of one project, of one environment, and not rotated away"
	case "invalid_project_id_authentication", "project_not_found":
		return "ProjectID: complete, and of the environment that BaseURL belongs to"
	case "use_https":
		return "BaseURL: it must begin with https"
	case "invalid_session_duration":
		return "SessionDuration: 5 to 527040 minutes"
	}
	if e.Type == "" && e.Status != 0 {
		return "BaseURL, and whatever stands between this server and Stytch: the answer names no error_type"
	}
	return "ProjectID, Secret and BaseURL of one environment, and the options sent with the call"
}
