package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// loud logs what an operator must know, each kind at most once a minute, and
// lets no panic of a slog.Handler out.
type loud struct {
	to   *slog.Logger
	mu   sync.Mutex
	last map[string]time.Time // by constant text: bounded
}

func (l *loud) nonsense(msg string) {
	l.say(slog.LevelError, msg, slog.String("effect", "the request got 503; nobody was logged out"))
}

// panicked logs the type of a recovered value: its text may hold anything.
func (l *loud) panicked(what string, p any) {
	l.say(slog.LevelError, "panic in shared work", slog.String("work", what), slog.String("type", fmt.Sprintf("%T", p)))
}

func (l *loud) servesStale() {
	l.say(slog.LevelWarn, "Stytch cannot be asked: stale session JWTs are accepted, as Config.DangerouslyServeStale says")
}

func (l *loud) cookie(err error) {
	l.say(slog.LevelError, "a session cookie could not be sealed", slog.String("type", fmt.Sprintf("%T", err)))
}

func (l *loud) say(level slog.Level, msg string, attrs ...slog.Attr) {
	now := time.Now()
	l.mu.Lock()
	if last, ok := l.last[msg]; ok && now.Sub(last) < time.Minute {
		l.mu.Unlock()
		return
	}
	if l.last == nil {
		l.last = make(map[string]time.Time)
	}
	l.last[msg] = now
	l.mu.Unlock()
	defer func() { _ = recover() }()
	l.to.LogAttrs(context.Background(), level, "stytchware: "+msg, attrs...)
}
