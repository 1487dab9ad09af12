package middleware_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// kinds are every way to authenticate, and what it proves: "account", "phone",
// "device" or nothing.
var kinds = []struct {
	name   string
	factor stytchtest.Factor
	proves string
}{
	{"magic link", stytchtest.EmailMagicLink(), "account"},
	{"e-mail code", stytchtest.EmailOTP(), "account"},
	{"embedded link", stytchtest.EmbeddedMagicLink(), "account"},
	{"password", stytchtest.Password(), "account"},
	{"Google", stytchtest.GoogleOAuth(), "account"},
	{"GitHub", stytchtest.OAuth("github"), "account"},
	{"SAML", stytchtest.SSO("saml"), "account"},
	{"OIDC", stytchtest.SSO("oidc"), "account"},
	{"SMS", stytchtest.SMS(), "phone"},
	{"WhatsApp", stytchtest.WhatsApp(), "phone"},
	{"TOTP", stytchtest.TOTP(), "device"},
	{"WebAuthn", stytchtest.WebAuthn(), "device"},
	{"biometric", stytchtest.Biometric(), "device"},
	{"recovery code", stytchtest.RecoveryCode(), ""},
	{"crypto wallet", stytchtest.CryptoWallet(), ""},
	{"imported", stytchtest.Imported(), ""},
	{"imported, as SMS", stytchtest.Unknown("imported", "sms"), ""},
	{"impersonation", stytchtest.Impersonation(), ""},
	{"impersonation, as TOTP", stytchtest.Unknown("impersonated", "authenticator_app"), ""},
	{"trusted token", stytchtest.Unknown("trusted_auth_token", "trusted_token_exchange"), ""},
	{"access token exchange", stytchtest.Unknown("oauth", "oauth_access_token_exchange"), ""},
	{"Slack exchange", stytchtest.Unknown("oauth", "oauth_exchange_slack"), ""},
	{"not known", stytchtest.Unknown("telepathy", "brain_waves"), ""},
	{"not known, looks like SMS", stytchtest.Unknown("otp", "SMS"), ""},
	{"nothing", stytchtest.Unknown("", ""), ""},
}

func TestMFAByClass(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		mfa := w.auth.RequireMFA(w.report())
		try := func(want bool, factors ...stytchtest.Factor) int {
			status := w.get(mfa, bearer(w.login(factors...).Tokens.SessionJWT)).StatusCode
			if got := status == 200; got != want || !got && status != 401 {
				return status
			}
			return 0
		}
		for i, a := range kinds {
			if status := try(false, a.factor); status != 0 {
				t.Errorf("%s alone: %d", a.name, status)
			}
			for _, b := range kinds[i:] {
				want := a.proves != "" && b.proves != "" && a.proves != b.proves
				if status := try(want, a.factor, b.factor); status != 0 {
					t.Errorf("%s and %s: %d", a.name, b.name, status)
				}
			}
		}
		// Many of one kind are still one; what never counts adds nothing.
		var accounts, nothings []stytchtest.Factor
		for _, k := range kinds {
			switch k.proves {
			case "account":
				accounts = append(accounts, k.factor)
			case "":
				nothings = append(nothings, k.factor)
			}
		}
		if status := try(false, append(accounts, nothings...)...); status != 0 {
			t.Errorf("all accounts and all that never counts: %d", status)
		}
		if status := try(true, append(nothings, stytchtest.SMS(), stytchtest.TOTP())...); status != 0 {
			t.Errorf("SMS and TOTP last: %d", status)
		}
	})
}

func TestMFAOptIns(t *testing.T) {
	const mfa, within = "mfa", "within"
	for name, c := range map[string]struct {
		codes, wallets bool
		factors        []stytchtest.Factor
		guard          string
		want           int
	}{
		"neither, code":          {false, false, []stytchtest.Factor{stytchtest.Password(), stytchtest.RecoveryCode()}, mfa, 401},
		"neither, wallet":        {false, false, []stytchtest.Factor{stytchtest.Password(), stytchtest.CryptoWallet()}, mfa, 401},
		"codes, code":            {true, false, []stytchtest.Factor{stytchtest.Password(), stytchtest.RecoveryCode()}, mfa, 200},
		"codes, wallet":          {true, false, []stytchtest.Factor{stytchtest.Password(), stytchtest.CryptoWallet()}, mfa, 401},
		"wallets, wallet":        {false, true, []stytchtest.Factor{stytchtest.Password(), stytchtest.CryptoWallet()}, mfa, 200},
		"wallets, code":          {false, true, []stytchtest.Factor{stytchtest.Password(), stytchtest.RecoveryCode()}, mfa, 401},
		"both are one device":    {true, true, []stytchtest.Factor{stytchtest.CryptoWallet(), stytchtest.RecoveryCode()}, mfa, 401},
		"both beside a device":   {true, true, []stytchtest.Factor{stytchtest.CryptoWallet(), stytchtest.RecoveryCode(), stytchtest.TOTP()}, mfa, 401},
		"code alone":             {true, true, []stytchtest.Factor{stytchtest.RecoveryCode()}, mfa, 401},
		"impersonation all same": {true, true, []stytchtest.Factor{stytchtest.SMS(), stytchtest.Impersonation()}, mfa, 401},
		"code within":            {true, false, []stytchtest.Factor{stytchtest.Password(), stytchtest.RecoveryCode()}, within, 200},
		"code within, not asked": {false, false, []stytchtest.Factor{stytchtest.Password(), stytchtest.RecoveryCode()}, within, 401},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(cfg *middleware.Config) {
				cfg.DangerouslyCountRecoveryCodes, cfg.DangerouslyCountCryptoWallets = c.codes, c.wallets
			}, func(w *world) {
				guard := w.auth.RequireMFA
				if c.guard == within {
					guard = w.auth.Require(middleware.Within(time.Minute))
				}
				if got := w.get(guard(w.report()), bearer(w.login(c.factors...).Tokens.SessionJWT)); got.StatusCode != c.want {
					t.Errorf("%d, want %d", got.StatusCode, c.want)
				}
			})
		})
	}
}

// The case the SDK's sample gets wrong: its second condition lets nobody in
// who has factors.
func TestSeedCase(t *testing.T) {
	mail, google, sms := stytchtest.EmailMagicLink(), stytchtest.GoogleOAuth(), stytchtest.SMS()
	for name, c := range map[string]struct {
		factors  []stytchtest.Factor
		mfa, two bool
	}{
		"0 factors":                {nil, false, false},
		"1 factor":                 {[]stytchtest.Factor{mail}, false, false},
		"1 phone":                  {[]stytchtest.Factor{sms}, false, false},
		"2 factors of one class":   {[]stytchtest.Factor{mail, google}, false, true},
		"2 factors of two classes": {[]stytchtest.Factor{mail, sms}, true, true},
		"3 factors of one class":   {[]stytchtest.Factor{mail, google, stytchtest.Password()}, false, true},
		"3 factors of two classes": {[]stytchtest.Factor{mail, google, sms}, true, true},
		"3 factors of three":       {[]stytchtest.Factor{mail, stytchtest.TOTP(), sms}, true, true},
		"2 factors that prove nil": {[]stytchtest.Factor{stytchtest.Imported(), stytchtest.RecoveryCode()}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(cfg *middleware.Config) { cfg.LoginURL, cfg.StepUpURL = "/login", "/step-up" }, func(w *world) {
				s := w.login(c.factors...)
				for guard, g := range map[string]struct {
					h    http.Handler
					want bool
				}{
					"RequireSession": {w.auth.RequireSession(w.report()), true},
					"RequireMFA":     {w.auth.RequireMFA(w.report()), c.mfa},
					"Require(MFA)":   {w.auth.Require(middleware.MFA)(w.report()), c.mfa},
					"MinFactors(2)":  {w.auth.Require(middleware.MinFactors(2))(w.report()), c.two},
					"both":           {w.auth.Require(middleware.MinFactors(2), middleware.MFA)(w.report()), c.mfa && c.two},
				} {
					for form, o := range map[string]option{"API": func(*http.Request) {}, "page": page} {
						for by, credential := range map[string]option{"JWT": bearer(s.Tokens.SessionJWT), "cookies": cookies(s.Tokens)} {
							got := w.get(g.h, credential, o)
							want, location, challenge := 200, "", ""
							switch {
							case g.want:
							case form == "page":
								want, location = 303, "/step-up?return_to=%2Fpage%3Fq%3D1"
							default:
								want, challenge = 401, `Bearer error="insufficient_user_authentication"`
							}
							if got.StatusCode != want || got.Header.Get("Location") != location || got.Header.Get("WWW-Authenticate") != challenge {
								t.Errorf("%s, %s by %s: %d %v, want %d", guard, form, by, got.StatusCode, got.Header, want)
							}
							if g.want && (got.seen.SessionID != s.ID || got.seen.Factors != len(c.factors)) {
								t.Errorf("%s: %+v", guard, got.seen)
							}
						}
					}
				}
				// Nobody at all is sent to log in, not to step up.
				if got := w.get(w.auth.RequireMFA(unreachable(t)), page); got.StatusCode != 303 || got.Header.Get("Location") != "/login?return_to=%2Fpage%3Fq%3D1" {
					t.Errorf("%d %v", got.StatusCode, got.Header)
				}
			})
		})
	}
}

func TestMinFactors(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for have := range 4 {
			var factors []stytchtest.Factor
			for i := range have {
				factors = append(factors, kinds[len(kinds)-1-i].factor)
			}
			s := w.login(factors...)
			for need := 1; need <= 4; need++ {
				want := 401
				if have >= need {
					want = 200
				}
				if got := w.get(w.auth.Require(middleware.MinFactors(need))(w.report()), bearer(s.Tokens.SessionJWT)); got.StatusCode != want {
					t.Errorf("%d of %d: %d, want %d", have, need, got.StatusCode, want)
				}
			}
		}
		// The greatest counts.
		s := w.login(stytchtest.SMS(), stytchtest.TOTP())
		if got := w.get(w.auth.Require(middleware.MinFactors(3), middleware.MinFactors(1))(w.report()), bearer(s.Tokens.SessionJWT)); got.StatusCode != 401 {
			t.Errorf("%d", got.StatusCode)
		}
	})
}

func TestWithin(t *testing.T) {
	const minute = time.Minute
	at := func(f stytchtest.Factor, raw any) stytchtest.Factor {
		f.Members = map[string]any{"last_authenticated_at": raw}
		return f
	}
	ago := func(f stytchtest.Factor, d time.Duration) stytchtest.Factor { return f.At(time.Now().Add(-d)) }
	for name, c := range map[string]struct {
		factors func() []stytchtest.Factor
		wait    time.Duration
		want    int
	}{
		"just now":             {func() []stytchtest.Factor { return []stytchtest.Factor{stytchtest.Password(), stytchtest.SMS()} }, 0, 200},
		"exactly at the end":   {func() []stytchtest.Factor { return []stytchtest.Factor{stytchtest.Password(), stytchtest.SMS()} }, minute, 200},
		"one nanosecond later": {func() []stytchtest.Factor { return []stytchtest.Factor{stytchtest.Password(), stytchtest.SMS()} }, minute + 1, 401},
		"old mail, new SMS": {func() []stytchtest.Factor {
			return []stytchtest.Factor{ago(stytchtest.EmailOTP(), time.Hour), stytchtest.SMS()}
		}, 0, 200},
		"new mail, old SMS": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.EmailOTP(), ago(stytchtest.SMS(), time.Hour)}
		}, 0, 401},
		"new Google, old TOTP": {func() []stytchtest.Factor {
			return []stytchtest.Factor{ago(stytchtest.TOTP(), time.Hour), stytchtest.GoogleOAuth()}
		}, 0, 401},
		"new recovery code, old TOTP": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), ago(stytchtest.TOTP(), time.Hour), stytchtest.RecoveryCode()}
		}, 0, 401},
		"new impersonation, old TOTP": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), ago(stytchtest.TOTP(), time.Hour), stytchtest.Impersonation()}
		}, 0, 401},
		"one old and one new device": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), ago(stytchtest.TOTP(), time.Hour), stytchtest.WebAuthn()}
		}, 0, 200},
		"recent, but one class": {func() []stytchtest.Factor { return []stytchtest.Factor{stytchtest.SMS(), stytchtest.WhatsApp()} }, 0, 401},
		"recent, alone":         {func() []stytchtest.Factor { return []stytchtest.Factor{stytchtest.TOTP()} }, 0, 401},
		"phone and device":      {func() []stytchtest.Factor { return []stytchtest.Factor{stytchtest.TOTP(), stytchtest.SMS()} }, 0, 200},
		"in the future": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), ago(stytchtest.SMS(), -time.Second)}
		}, 0, 401},
		"in the far future": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), "9999-12-31T23:59:59Z")}
		}, 0, 401},
		"the year 0": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), "0001-01-01T00:00:00Z")}
		}, 0, 401},
		"missing": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), nil)}
		}, 0, 401},
		"empty": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), "")}
		}, 0, 401},
		"words": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), "now")}
		}, 0, 401},
		"a date": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), "2000-01-01")}
		}, 0, 401},
		"other form": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), "2000-01-01 00:00:00Z")}
		}, 0, 401},
		"other zone": {func() []stytchtest.Factor {
			return []stytchtest.Factor{stytchtest.Password(), at(stytchtest.SMS(), time.Now().In(time.FixedZone("", 7200)).Format(time.RFC3339Nano))}
		}, 0, 200},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.login(c.factors()...)
				advance(c.wait)
				if c.wait > 0 { // Within is about the factor's age, not the JWT's
					s.Tokens.SessionJWT = w.project.MintJWT(s.ID, stytchtest.Mint{})
				}
				h := w.auth.Require(middleware.Within(minute))(w.report())
				for by, o := range map[string]option{"JWT": bearer(s.Tokens.SessionJWT), "token": bearer(s.Tokens.SessionToken)} {
					got := w.get(h, o)
					if got.StatusCode != c.want {
						t.Errorf("%s: %d, want %d", by, got.StatusCode, c.want)
					}
					if challenge := got.Header.Get("WWW-Authenticate"); c.want == 401 && challenge != `Bearer error="insufficient_user_authentication", max_age="60"` {
						t.Errorf("%s", challenge)
					}
				}
			})
		})
	}
}

// The least of several durations counts, and a challenge names it.
func TestWithinTwice(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.Password(), stytchtest.TOTP().At(time.Now().Add(-2*time.Minute)))
		for _, reqs := range [][]middleware.Requirement{
			{middleware.Within(time.Hour), middleware.Within(90 * time.Second)},
			{middleware.Within(90 * time.Second), middleware.Within(time.Hour), middleware.MFA},
		} {
			got := w.get(w.auth.Require(reqs...)(unreachable(t)), bearer(s.Tokens.SessionJWT))
			if got.StatusCode != 401 || got.Header.Get("WWW-Authenticate") != `Bearer error="insufficient_user_authentication", max_age="90"` {
				t.Errorf("%d %v", got.StatusCode, got.Header)
			}
		}
		if got := w.get(w.auth.Require(middleware.Within(time.Hour), middleware.Within(2*time.Minute))(w.report()), bearer(s.Tokens.SessionJWT)); got.StatusCode != 200 {
			t.Errorf("%d", got.StatusCode)
		}
	})
}

// Recency was once taken from any factor: whoever had the password could renew
// a second factor that was long ago.
func TestGHSA_hp74_gm6m_2qm5(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.Password(), stytchtest.SMS())
		h := w.auth.Require(middleware.Within(time.Minute))(w.report())
		if got := w.get(h, cookies(s.Tokens)); got.StatusCode != 200 {
			t.Fatalf("%d", got.StatusCode)
		}
		advance(time.Hour / 2)
		for _, first := range kinds {
			if first.proves == "phone" || first.proves == "device" {
				continue
			}
			w.project.AddFactor(s.ID, first.factor) // renews it
			advance(3 * time.Second)                // past the re-check's own cache
			tokens := middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{})}
			if got := w.get(h, cookies(tokens)); got.StatusCode != 401 {
				t.Errorf("a fresh %s renews an old SMS: %d", first.name, got.StatusCode)
			}
		}
		w.project.AddFactor(s.ID, stytchtest.SMS())
		advance(3 * time.Second)
		if got := w.get(h, cookies(s.Tokens)); got.StatusCode != 200 {
			t.Errorf("a fresh SMS: %d", got.StatusCode)
		}
	})
}

// What a lenient route has cached is held against the stricter route's needs.
func TestCVE_2021_32701(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.EmailMagicLink(), stytchtest.Password())
		full := w.login(stytchtest.EmailMagicLink(), stytchtest.SMS())
		for by, of := range map[string]func(stytchtest.Session) option{
			"opaque token": func(s stytchtest.Session) option { return bearer(s.Tokens.SessionToken) },
			"JWT":          func(s stytchtest.Session) option { return bearer(s.Tokens.SessionJWT) },
			"cookies":      func(s stytchtest.Session) option { return cookies(s.Tokens) },
			"stale JWT":    func(s stytchtest.Session) option { return cookies(w.stale(s)) },
		} {
			for range 3 {
				if got := w.get(w.auth.RequireSession(w.report()), of(s)); got.StatusCode != 200 {
					t.Errorf("%s, lenient: %d", by, got.StatusCode)
				}
				if got := w.get(w.auth.Require(middleware.MinFactors(2))(w.report()), of(s)); got.StatusCode != 200 {
					t.Errorf("%s, two factors: %d", by, got.StatusCode)
				}
				if got := w.get(w.auth.RequireMFA(w.report()), of(full)); got.StatusCode != 200 {
					t.Errorf("%s, another user: %d", by, got.StatusCode)
				}
				if got := w.get(w.auth.RequireMFA(unreachable(t)), of(s)); got.StatusCode != 401 {
					t.Errorf("%s, strict: %d", by, got.StatusCode)
				}
				if got := w.get(w.auth.Load(w.auth.RequireSession(w.auth.RequireMFA(unreachable(t)))), of(s)); got.StatusCode != 401 {
					t.Errorf("%s, strict inside of lenient: %d", by, got.StatusCode)
				}
			}
		}
	})
}

func TestRequirementsPanic(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for name, f := range map[string]func(){
			"Within(0)":                   func() { middleware.Within(0) },
			"Within(-1)":                  func() { middleware.Within(-1) },
			"Within, two years":           func() { middleware.Within(2 * 366 * 24 * time.Hour) },
			"MinFactors(0)":               func() { middleware.MinFactors(0) },
			"MinFactors(-1)":              func() { middleware.MinFactors(-1) },
			"MinFactors of a great many":  func() { middleware.MinFactors(1 << 21) },
			"the zero Requirement":        func() { w.auth.Require(0) },
			"a number":                    func() { w.auth.Require(middleware.MFA, 7) },
			"a negative one":              func() { w.auth.Require(-1) },
			"a Within without its amount": func() { w.auth.Require(middleware.Within(1) & 31) },
			"MinFactors without a count":  func() { w.auth.Require(middleware.MinFactors(1) & 31) },
			"MFA+MFA":                     func() { w.auth.Require(middleware.MFA + middleware.MFA) },
			"Fresh+Fresh":                 func() { w.auth.Require(middleware.Fresh + middleware.Fresh) },
			"Within+Within":               func() { w.auth.Require(middleware.Within(time.Minute) + middleware.Within(time.Minute)) },
			"MinFactors+MinFactors":       func() { w.auth.Require(middleware.MinFactors(2) + middleware.MinFactors(2)) },
			"MFA with an amount":          func() { w.auth.Require(middleware.MFA | 1<<10) },
			"MFA|Fresh":                   func() { w.auth.Require(middleware.MFA | middleware.Fresh) },
			"MFA+Fresh":                   func() { w.auth.Require(middleware.MFA + middleware.Fresh) },
			"Fresh|Within":                func() { w.auth.Require(middleware.Fresh | middleware.Within(time.Minute)) },
			"MFA+Within":                  func() { w.auth.Require(middleware.MFA + middleware.Within(time.Minute)) },
			"MFA|MinFactors":              func() { w.auth.Require(middleware.MFA | middleware.MinFactors(2)) },
			"Fresh|MinFactors":            func() { w.auth.Require(middleware.Fresh | middleware.MinFactors(2)) },
			"Within|MinFactors":           func() { w.auth.Require(middleware.Within(time.Minute) | middleware.MinFactors(2)) },
		} {
			func() {
				defer func() {
					if p, _ := recover().(string); !strings.HasPrefix(p, "middleware: ") {
						t.Errorf("%s: panic %q", name, p)
					}
				}()
				f()
			}()
		}
		for _, r := range []middleware.Requirement{middleware.Within(1), middleware.Within(366 * 24 * time.Hour), middleware.MinFactors(1), middleware.MinFactors(1 << 20)} {
			w.auth.Require(r)
		}
		// Within a year is still about a phone or a device.
		s := w.login(stytchtest.Password(), stytchtest.SMS().At(time.Now().Add(-365*24*time.Hour)))
		if got := w.get(w.auth.Require(middleware.Within(366*24*time.Hour))(w.report()), bearer(s.Tokens.SessionJWT)); got.StatusCode != 200 {
			t.Errorf("%d", got.StatusCode)
		}
		got := w.get(w.auth.Require(middleware.Within(364*24*time.Hour))(w.report()), bearer(s.Tokens.SessionJWT))
		if want := `Bearer error="insufficient_user_authentication", max_age="` + strconv.Itoa(364*24*3600) + `"`; got.StatusCode != 401 || got.Header.Get("WWW-Authenticate") != want {
			t.Errorf("%d %v", got.StatusCode, got.Header)
		}
	})
}
