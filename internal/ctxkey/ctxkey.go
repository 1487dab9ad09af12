// Package ctxkey holds the key under which a context carries its session, so
// that sessionctx can read what middleware stores without either importing
// more than it needs.
package ctxkey

// Session is the key; its value is a *sessionctx.Session, nil for none.
type Session struct{}
