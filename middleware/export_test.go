package middleware

import (
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// SessionCookies returns the cookies of the two names that are found in Cookie
// header lines, in their order.
func SessionCookies(lines []string, tokenName, jwtName string) (found [][2]string) {
	for name, value := range sessionCookies(lines, tokenName, jwtName) {
		found = append(found, [2]string{name, value})
	}
	return found
}

// Sizes are how many entries the maps of an Authenticator hold.
type Sizes struct{ Results, Flights, Followers, Later int }

// SizesOf counts what a holds now.
func SizesOf(a *Authenticator) (s Sizes) {
	a.stytch.mu.Lock()
	s.Results, s.Flights, s.Later = a.stytch.results.Len(), len(a.stytch.flights), len(a.stytch.later)
	a.stytch.mu.Unlock()
	a.follow.mu.Lock()
	defer a.follow.mu.Unlock()
	for _, all := range a.follow.m {
		s.Followers += len(all.all)
	}
	s.Followers += len(a.follow.m)
	return s
}

// Tracked is how many sessions are known for OnChange.
func Tracked(a *Authenticator) int {
	a.changes.mu.Lock()
	defer a.changes.mu.Unlock()
	return max(len(a.changes.last), len(a.changes.ends))
}

// Saw is what a request with s ends with.
func Saw(a *Authenticator, s *sessionctx.Session) { a.changes.saw(s, causeRequest) }

// Revocations are the sessions that ended here.
type Revocations struct{ r *revocations }

// NewRevocations returns none.
func NewRevocations() Revocations { return Revocations{newRevocations()} }

// Put notes one and reports whether it was noted, Has reports whether it is, Count
// how many are.
func (r Revocations) Put(id string, until time.Time) bool { return r.r.put(id, over, until) == over }
func (r Revocations) Has(id string) bool                  { return r.r.of(id) == over }
func (r Revocations) Count() int                          { return r.r.count() }

// Suspect notes that a session may be over, Suspected reports whether that is
// noted, Clear takes it back.
func (r Revocations) Suspect(id string, until time.Time) { r.r.put(id, suspect, until) }
func (r Revocations) Suspected(id string) bool           { return r.r.of(id) == suspect }
func (r Revocations) Clear(id string)                    { r.r.clear(id, time.Now()) }
func (r Revocations) ClearAt(id string, began time.Time) { r.r.clear(id, began) }
