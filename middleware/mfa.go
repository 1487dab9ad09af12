package middleware

import (
	"math/bits"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Requirement is what a guard asks of a session: [MFA], [Within], [MinFactors]
// or [Fresh]. Several are passed to [Authenticator.Require] as separate
// arguments; they are not to be combined by operators.
type Requirement int64

// The kind is in the low bits, its amount above. Kinds are odd and of two bits
// each: the sum of two is even, and one or-ed with another kind has three bits,
// so that neither is a kind. (Two of one kind that are or-ed cannot be told.)

const (
	// MFA asks for factors of at least two different classes: of account,
	// phone and device (see sessionctx.Class). An e-mail link and a Google
	// login are one class; a password and an e-mail code are, too.
	MFA Requirement = 0b00011

	// Fresh asks Stytch on every request, whatever is cached: a revocation
	// takes effect at once, wherever it happened. It costs a call.
	Fresh Requirement = 0b00101

	reqWithin Requirement = 0b01001
	reqLeast  Requirement = 0b10001

	reqBits = 5
)

// Within asks for [MFA], and that a phone or device factor was authenticated
// at most d ago. A fresh password, e-mail or OAuth login does not renew an old
// second factor. It panics unless 0 < d ≤ 1 year.
func Within(d time.Duration) Requirement {
	if d <= 0 || d > 366*24*time.Hour {
		panic("middleware: Within needs a duration of more than 0 and at most a year")
	}
	return reqWithin | Requirement(d)<<reqBits
}

// MinFactors asks for at least n factors of whatever kind. It is the SDK
// sample's count and proves little: two e-mail links are two factors. Prefer
// [MFA]. It panics unless n is positive.
func MinFactors(n int) Requirement {
	if n <= 0 || n > 1<<20 {
		panic("middleware: MinFactors needs a positive count")
	}
	return reqLeast | Requirement(n)<<reqBits
}

// needs is a list of requirements taken together.
type needs struct {
	mfa, fresh bool
	within     time.Duration // 0: none
	least      int
}

func join(reqs []Requirement) (q needs) {
	for _, r := range reqs {
		switch amount := int64(r >> reqBits); {
		case r == MFA:
			q.mfa = true
		case r == Fresh:
			q.fresh = true
		case r&(1<<reqBits-1) == reqWithin && amount > 0:
			q.mfa = true
			if d := time.Duration(amount); q.within == 0 || d < q.within {
				q.within = d
			}
		case r&(1<<reqBits-1) == reqLeast && amount > 0:
			q.least = max(q.least, int(amount))
		default:
			panic("middleware: Require takes MFA, Fresh, Within and MinFactors, as separate arguments")
		}
	}
	return q
}

// and is what q and o ask for together, but for Fresh.
func (q needs) and(o needs) needs {
	q.mfa, q.least = q.mfa || o.mfa, max(q.least, o.least)
	if q.within == 0 || o.within > 0 && o.within < q.within {
		q.within = o.within
	}
	return q
}

// pack keeps of q, in 32 bits, what and keeps: within to the second, and at
// most 63 factors.
func (q needs) pack() uint32 {
	var mfa uint32
	if q.mfa {
		mfa = 1
	}
	within := uint32((q.within + time.Second - 1) / time.Second) // a year has 25 bits
	return mfa<<31 | uint32(min(q.least, 63))<<25 | within
}

func unpack(p uint32) needs {
	return needs{mfa: p>>31 == 1, least: int(p >> 25 & 63), within: time.Duration(p&(1<<25-1)) * time.Second}
}

// met reports whether s meets the needs now; Fresh is not its matter.
func (a *Authenticator) met(q needs, s *sessionctx.Session) bool {
	if s.NumFactors() < q.least {
		return false
	}
	if !q.mfa {
		return true
	}
	var now time.Time
	if q.within > 0 {
		now = time.Now()
	}
	var classes uint
	recent := q.within == 0
	for i := range s.NumFactors() {
		f := s.Proof(i)
		c := a.class(f)
		if c == sessionctx.None {
			continue
		}
		classes |= 1 << c
		if !recent && c != sessionctx.Account && !f.LastAuthenticatedAt.IsZero() {
			age := now.Sub(f.LastAuthenticatedAt)
			recent = 0 <= age && age <= q.within
		}
	}
	return bits.OnesCount(classes) >= 2 && recent
}

// class is the factor's class, with what the configuration opted in to.
func (a *Authenticator) class(f sessionctx.Factor) sessionctx.Class {
	c := f.Class()
	if c == sessionctx.None {
		switch {
		case a.countRecoveryCodes && f.DeliveryMethod == "recovery_code",
			a.countCryptoWallets && f.DeliveryMethod == "crypto_wallet":
			return sessionctx.Device
		}
	}
	return c
}
