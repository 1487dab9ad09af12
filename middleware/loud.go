package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
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

func (l *loud) b2b() {
	l.nonsense("Stytch does not answer about sessions of a B2B project: the B2B endpoints are not called")
}

// panicked logs the type of a recovered value, whose text may hold anything, and
// where it was.
func (l *loud) panicked(what string, p any) {
	l.sayOf(what, slog.LevelError, "panic in shared work", slog.String("work", what), slog.String("type", fmt.Sprintf("%T", p)),
		slog.String("stack", string(debug.Stack())))
}

func (l *loud) servesStale() {
	l.say(slog.LevelWarn, "Stytch cannot be asked: stale session JWTs are accepted, as Config.DangerouslyServeStale says")
}

func (l *loud) cookie(err error) {
	l.say(slog.LevelError, "a session cookie could not be sealed", slog.String("type", fmt.Sprintf("%T", err)))
}

func (l *loud) say(level slog.Level, msg string, attrs ...slog.Attr) {
	l.sayOf("", level, msg, attrs...)
}

// sayOf is say where one message is about several things, each of a kind of its
// own.
func (l *loud) sayOf(of string, level slog.Level, msg string, attrs ...slog.Attr) {
	kind := msg + " " + of
	now := time.Now()
	l.mu.Lock()
	if last, ok := l.last[kind]; ok && now.Sub(last) < time.Minute {
		l.mu.Unlock()
		return
	}
	if l.last == nil {
		l.last = make(map[string]time.Time)
	}
	l.last[kind] = now
	l.mu.Unlock()
	defer func() { _ = recover() }()
	l.to.LogAttrs(context.Background(), level, "stytchware: "+msg, attrs...)
}
