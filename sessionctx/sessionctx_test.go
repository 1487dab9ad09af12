package sessionctx_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

func full() sessionctx.Data {
	return sessionctx.Data{
		ID: "member-session-1", UserID: "member-1", MemberID: "member-1", OrganizationID: "organization-1", OrganizationSlug: "acme",
		StartedAt: at, LastAccessedAt: at.Add(time.Minute), ExpiresAt: at.Add(time.Hour).In(time.FixedZone("", 7200)),
		Attributes: sessionctx.Attributes{IPAddress: "203.0.113.1", UserAgent: "Mozilla/5.0 <x>"},
		Factors: []sessionctx.Factor{
			{Type: "magic_link", DeliveryMethod: "email", LastAuthenticatedAt: at, Raw: `{"type":"magic_link", "delivery_method":"email","email_factor":{"email_id":"e"},"last_authenticated_at":"2026-01-02T03:04:05.0000006Z"}`},
			{Type: "otp", DeliveryMethod: "sms", LastAuthenticatedAt: at.In(time.FixedZone("", -3600))},
			{},
		},
		Roles:        []string{"stytch_user", "admin"},
		CustomClaims: `{"role":"a", "n":1.0}`,
		Source:       sessionctx.Remote,
		VerifiedAt:   at.Add(2 * time.Minute),
	}
}

func TestAccessors(t *testing.T) {
	d := full()
	s := sessionctx.New(d)
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"ID", s.ID(), d.ID}, {"UserID", s.UserID(), d.UserID}, {"MemberID", s.MemberID(), d.MemberID},
		{"OrganizationID", s.OrganizationID(), d.OrganizationID}, {"OrganizationSlug", s.OrganizationSlug(), d.OrganizationSlug},
		{"StartedAt", s.StartedAt(), d.StartedAt}, {"LastAccessedAt", s.LastAccessedAt(), d.LastAccessedAt}, {"ExpiresAt", s.ExpiresAt(), d.ExpiresAt},
		{"Attributes", s.Attributes(), d.Attributes}, {"Source", s.Source(), d.Source}, {"VerifiedAt", s.VerifiedAt(), d.VerifiedAt},
		{"NumFactors", s.NumFactors(), 3}, {"Factor", s.Factor(1), d.Factors[1]}, {"Factors", s.Factors(), d.Factors},
		{"Roles", s.Roles(), d.Roles}, {"CustomClaims", s.CustomClaims(), d.CustomClaims}, {"Data", s.Data(), d},
		{"HasRole", s.HasRole("admin"), true}, {"HasRole, case", s.HasRole("Admin"), false}, {"HasRole, none", s.HasRole(""), false},
		{"no claims", sessionctx.New(sessionctx.Data{}).CustomClaims(), "{}"},
		{"no factors", sessionctx.New(sessionctx.Data{}).NumFactors(), 0},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestAs(t *testing.T) {
	s := sessionctx.New(full())
	later := at.Add(time.Hour)
	c := s.As(sessionctx.Local, later)
	if c.Source() != sessionctx.Local || !c.VerifiedAt().Equal(later) || c.ID() != s.ID() || c.NumFactors() != 3 {
		t.Errorf("%+v", c.Data())
	}
	if !reflect.DeepEqual(s.Data(), full()) {
		t.Error("As changed the session it was called on")
	}
}

// Whatever one request does with what it gets, another sees no change.
func TestImmutable(t *testing.T) {
	d := full()
	s := sessionctx.New(d)
	spoil := func(factors []sessionctx.Factor, roles []string) {
		factors[0] = sessionctx.Factor{Type: "totp", DeliveryMethod: "authenticator_app", Raw: "{}"}
		factors[1].LastAuthenticatedAt = time.Time{}
		roles[0] = "root"
		_ = append(factors[:1], sessionctx.Factor{Raw: "spoilt"})
		_ = append(roles[:1], "root")
	}
	handlers := map[string]func(){
		"the Data given to New":  func() { spoil(d.Factors, d.Roles) },
		"the Data of Data":       func() { d := s.Data(); spoil(d.Factors, d.Roles) },
		"Factors and Roles":      func() { spoil(s.Factors(), s.Roles()) },
		"a Factor":               func() { f := s.Factor(0); f.Raw = "spoilt"; _ = f.Raw },
		"the Attributes":         func() { a := s.Attributes(); a.IPAddress = "spoilt"; _ = a.IPAddress },
		"the Data of a copy":     func() { d := s.As(sessionctx.Local, at).Data(); spoil(d.Factors, d.Roles) },
		"the marshalled session": func() { b, _ := json.Marshal(s); clear(b) },
		"the marshalled factor":  func() { b, _ := s.Factor(0).MarshalJSON(); clear(b) },
		"the claims": func() {
			m, _ := sessionctx.Claims[map[string]json.RawMessage](s)
			clear(m["role"])
			clear(m)
		},
	}
	var all sync.WaitGroup // all at once, so that the race detector sees shared memory
	for _, h := range handlers {
		all.Go(h)
	}
	all.Wait()
	if !reflect.DeepEqual(s.Data(), full()) {
		t.Errorf("the session changed:\n got %+v\nwant %+v", s.Data(), full())
	}
}

func TestContext(t *testing.T) {
	ctx := context.Background()
	if s, ok := sessionctx.From(ctx); s != nil || ok {
		t.Errorf("empty context: %v, %v", s, ok)
	}
	one, two := sessionctx.New(sessionctx.Data{ID: "1"}), sessionctx.New(sessionctx.Data{ID: "2"})
	outer := sessionctx.With(ctx, one)
	inner := sessionctx.With(outer, two)
	hidden := sessionctx.With(inner, nil)
	if s, ok := sessionctx.From(outer); s != one || !ok {
		t.Errorf("outer: %v, %v", s, ok)
	}
	if s, ok := sessionctx.From(inner); s != two || !ok {
		t.Errorf("inner: %v, %v", s, ok)
	}
	if s, ok := sessionctx.From(hidden); s != nil || ok {
		t.Errorf("With(nil): %v, %v", s, ok)
	}
	r := httptest.NewRequest("GET", "/", nil).WithContext(inner)
	if n := testing.AllocsPerRun(100, func() { sessionctx.From(r.Context()) }); n != 0 {
		t.Errorf("From allocates %v times", n)
	}
}

// A session that is logged shows who it is of and no more.
func TestLogValue(t *testing.T) {
	for name, c := range map[string]struct {
		s    *sessionctx.Session
		want string
	}{
		"B2B": {sessionctx.New(full()), "session.session_id=member-session-1 session.user_id=member-1 session.organization_id=organization-1 " +
			"session.source=remote session.expires_at=2026-01-02T04:04:05.000Z\n"},
		"consumer": {sessionctx.New(sessionctx.Data{ID: "s", UserID: "u", Source: sessionctx.Local, CustomClaims: `{"secret":1}`}),
			"session.session_id=s session.user_id=u session.source=local session.expires_at=0001-01-01T00:00:00.000Z\n"},
		"none": {nil, "session=none\n"},
	} {
		var out strings.Builder
		slog.New(slog.NewTextHandler(&out, nil)).Info("seen", "session", c.s)
		if _, got, _ := strings.Cut(out.String(), "msg=seen "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestMarshalJSON(t *testing.T) {
	for _, c := range []struct {
		name string
		data sessionctx.Data
		want string
	}{
		{"empty", sessionctx.Data{}, `{"session_id":"","user_id":"","attributes":{"ip_address":"","user_agent":""},"authentication_factors":[],"roles":[],"custom_claims":{},"source":"unknown"}`},
		{"empty lists", sessionctx.Data{ID: "s", UserID: "u", Factors: []sessionctx.Factor{}, Roles: []string{}, Source: sessionctx.Local},
			`{"session_id":"s","user_id":"u","attributes":{"ip_address":"","user_agent":""},"authentication_factors":[],"roles":[],"custom_claims":{},"source":"local"}`},
		{"full", full(), `{"session_id":"member-session-1","user_id":"member-1","member_id":"member-1","organization_id":"organization-1","organization_slug":"acme",` +
			`"started_at":"2026-01-02T03:04:05.0000006Z","last_accessed_at":"2026-01-02T03:05:05.0000006Z","expires_at":"2026-01-02T04:04:05.0000006Z",` +
			`"attributes":{"ip_address":"203.0.113.1","user_agent":"Mozilla/5.0 \u003cx\u003e"},` +
			`"authentication_factors":[{"type":"magic_link","delivery_method":"email","email_factor":{"email_id":"e"},"last_authenticated_at":"2026-01-02T03:04:05.0000006Z"},` +
			`{"type":"otp","delivery_method":"sms","last_authenticated_at":"2026-01-02T03:04:05.0000006Z"},{"type":"","delivery_method":""}],` +
			`"roles":["stytch_user","admin"],"custom_claims":{"role":"a","n":1.0},"source":"remote","verified_at":"2026-01-02T03:06:05.0000006Z"}`},
	} {
		b, err := json.Marshal(sessionctx.New(c.data))
		if err != nil || string(b) != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, b, c.want)
		}
	}
	for name, d := range map[string]sessionctx.Data{
		"claims": {CustomClaims: "{"}, "factor": {Factors: []sessionctx.Factor{{Raw: "}"}}}, "time": {ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if b, err := json.Marshal(sessionctx.New(d)); err == nil {
			t.Errorf("%s: marshalled as %s", name, b)
		}
	}
}

func TestSourceText(t *testing.T) {
	for s, want := range map[sessionctx.Source]string{sessionctx.Local: "local", sessionctx.Remote: "remote", 0: "unknown", 99: "unknown"} {
		if b, err := s.MarshalText(); s.String() != want || string(b) != want || err != nil {
			t.Errorf("%d: %s, %s, %v", s, s, b, err)
		}
	}
}

// What Later supplies is the session's as if it had been there at once.
func TestLater(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	full := sessionctx.Data{
		ID: "session-test-1", UserID: "member-test-1", MemberID: "member-test-1", OrganizationID: "organization-test-1", OrganizationSlug: "acme",
		StartedAt: at, LastAccessedAt: at.Add(time.Minute), ExpiresAt: at.Add(time.Hour),
		Attributes:   sessionctx.Attributes{IPAddress: "203.0.113.1", UserAgent: "curl"},
		Factors:      []sessionctx.Factor{{Type: "otp", DeliveryMethod: "sms", LastAuthenticatedAt: at, Raw: `{"type":"otp"}`}, {Type: "sso"}},
		Roles:        []string{"admin"},
		CustomClaims: `{"plan":"pro"}`,
		Source:       sessionctx.Local, VerifiedAt: at,
	}
	var calls atomic.Int32
	lean := full
	lean.Attributes, lean.CustomClaims = sessionctx.Attributes{UserAgent: "ignored"}, `{"ignored":true}`
	lean.Factors = []sessionctx.Factor{{Type: "otp", DeliveryMethod: "sms", LastAuthenticatedAt: at, Raw: "ignored"}, {Type: "sso"}}
	lean.Later = func() sessionctx.Data {
		calls.Add(1)
		return full
	}
	s := sessionctx.New(lean)
	other := s.As(sessionctx.Remote, at.Add(time.Second))
	for _, s := range []*sessionctx.Session{s, other} {
		if s.ID() != full.ID || s.OrganizationSlug() != "acme" || s.NumFactors() != 2 || !s.HasRole("admin") ||
			s.Proof(0).Class() != sessionctx.Phone || !s.Proof(0).LastAuthenticatedAt.Equal(at) || s.Proof(0).Raw != "" {
			t.Errorf("%+v", s)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = s.Proof(1).Class() }); n != 0 || calls.Load() != 0 {
		t.Errorf("Proof: %v allocations; Later was called %d times before anything was asked for", n, calls.Load())
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if s.CustomClaims() != full.CustomClaims || s.Attributes() != full.Attributes || s.Factor(0) != full.Factors[0] || other.Factor(1) != full.Factors[1] {
				t.Errorf("%s %v %v %v", s.CustomClaims(), s.Attributes(), s.Factor(0), other.Factor(1))
			}
			if got := s.Data(); !reflect.DeepEqual(got, full) {
				t.Errorf("Data is %+v, want %+v", got, full)
			}
		})
	}
	all.Wait()
	before := calls.Load()
	if got := other.Data(); got.Source != sessionctx.Remote || got.CustomClaims != full.CustomClaims || calls.Load() != before || before > 8 {
		t.Errorf("As shares what was read: %+v, %d calls", got, calls.Load())
	}
	want, _ := json.Marshal(sessionctx.New(full))
	if got, err := json.Marshal(s); err != nil || string(got) != string(want) {
		t.Errorf("%s %v, want %s", got, err, want)
	}

	// One that supplies fewer factors than it announced leaves their Raw empty.
	lean.Later = func() sessionctx.Data { return sessionctx.Data{} }
	if f := sessionctx.New(lean).Factors(); len(f) != 2 || f[1].Type != "sso" || f[0].Raw != "" {
		t.Errorf("%+v", f)
	}
	var zero sessionctx.Session
	if zero.CustomClaims() != "{}" || zero.NumFactors() != 0 || zero.Factors() != nil {
		t.Error("the zero Session")
	}
}

// Two sessions of one content are equal to reflect.DeepEqual, on which tests
// rely.
func TestEqualSessions(t *testing.T) {
	x, y := sessionctx.New(full()), sessionctx.New(full())
	if !reflect.DeepEqual(x, y) {
		t.Error("sessions of one content differ")
	}
	other := full()
	other.CustomClaims = `{"plan":"another"}`
	if reflect.DeepEqual(x, sessionctx.New(other)) {
		t.Error("sessions with other claims are equal")
	}
}

// Logs and debuggers show everything of a session, and nothing but it.
func TestPrinted(t *testing.T) {
	s := sessionctx.New(full())
	lazy := full()
	lazy.Later = full
	want, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*sessionctx.Session{s, sessionctx.New(lazy)} {
		for _, format := range []string{"%v", "%+v", "%s"} {
			if got := fmt.Sprintf(format, s); got != string(want) {
				t.Errorf("%s prints %s, want %s", format, got, want)
			}
		}
	}
	if got := fmt.Sprint((*sessionctx.Session)(nil)); got != "null" {
		t.Errorf("nil prints %s", got)
	}
	odd := sessionctx.New(sessionctx.Data{ID: "session-test-1", CustomClaims: "{"})
	if got := odd.String(); got != "session session-test-1" {
		t.Errorf("one that no JSON can hold prints %s", got)
	}
	if b, err := json.Marshal(lazy); err != nil || strings.Contains(string(b), "Later") {
		t.Errorf("Data marshals to %s, %v", b, err)
	}
}
