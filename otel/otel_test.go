package stytchotel_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	stytchotel "github.com/stytchware/stytchware/otel"
	"github.com/stytchware/stytchware/stytchtest"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// advance lets time pass in a synctest bubble; no real time passes.
func advance(d time.Duration) { time.Sleep(d) }

// recorder keeps what is recorded in memory.
type recorder struct {
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
	meter  *sdkmetric.MeterProvider
	tracer *sdktrace.TracerProvider
}

func record() *recorder {
	r := &recorder{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	r.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	r.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	return r
}

func (r *recorder) observer(t *testing.T) middleware.Observer {
	t.Helper()
	o, err := stytchotel.New(stytchotel.Options{MeterProvider: r.meter, TracerProvider: r.tracer, ServerAddress: "test.stytch.com"})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// series returns every series as "name{label=value,…}" and what it holds: the
// sum, the count of a histogram, or the last value of a gauge.
func (r *recorder) series(t *testing.T) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			key := func(set attribute.Set) string {
				var labels []string
				for _, kv := range set.ToSlice() {
					labels = append(labels, string(kv.Key)+"="+kv.Value.String())
				}
				return m.Name + "{" + strings.Join(labels, ",") + "}"
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found[key(p.Attributes)] = p.Value
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					found[key(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				if m.Unit != "s" {
					t.Errorf("%s is in %q", m.Name, m.Unit)
				}
				for _, p := range data.DataPoints {
					found[key(p.Attributes)] = int64(p.Count)
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
			if m.Description == "" || m.Unit == "" {
				t.Errorf("%s has no description or no unit", m.Name)
			}
		}
	}
	return found
}

// A short load of every kind: each figure is the one expected, and nothing of
// a session is in it.
func TestMixedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := record(), stytchtest.New(stytchtest.Options{})
		cfg := p.Config()
		cfg.Observer = r.observer(t)
		cfg.OpaqueBurst = 1
		cfg.DangerouslyServeStale = time.Minute
		auth, err := middleware.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = auth.Close() })
		synctest.Wait()

		ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		load, mfa := auth.Load(ok), auth.RequireMFA(ok)
		send := func(h http.Handler, carry ...func(*http.Request)) {
			q := httptest.NewRequest("GET", "https://app.example.com/", nil)
			for _, c := range carry {
				c(q)
			}
			h.ServeHTTP(httptest.NewRecorder(), q)
			advance(time.Millisecond)
		}
		bearer := func(token string) func(*http.Request) {
			return func(q *http.Request) { stytchtest.AddBearer(q, token) }
		}
		cookies := func(s middleware.Tokens) func(*http.Request) {
			return func(q *http.Request) { stytchtest.AddCookies(q, s) }
		}
		old := func(s stytchtest.Session, age time.Duration) middleware.Tokens {
			return middleware.Tokens{SessionToken: s.Tokens.SessionToken,
				SessionJWT: p.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-age)})}
		}

		one := p.Login(stytchtest.Login{})
		two := p.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}})
		dead := p.Login(stytchtest.Login{})
		p.Revoke(dead.ID)

		send(load)                                                                                                     // nothing
		send(load, bearer(one.Tokens.SessionJWT))                                                                      // local
		send(load, cookies(one.Tokens))                                                                                // local
		send(load, bearer(one.Tokens.SessionToken))                                                                    // never seen: the burst
		send(load, bearer(two.Tokens.SessionToken))                                                                    // the budget is spent
		send(load, cookies(old(two, 10*time.Minute)))                                                                  // stale
		send(load, cookies(old(dead, 10*time.Minute)))                                                                 // gone
		send(mfa, bearer(two.Tokens.SessionJWT))                                                                       // passes
		send(mfa, bearer(one.Tokens.SessionJWT))                                                                       // refused after a re-check
		send(load, bearer("a b"))                                                                                      // malformed
		send(load, bearer(one.Tokens.SessionJWT), func(q *http.Request) { q.Header.Add("Authorization", "Bearer x") }) // two
		send(load, cookies(one.Tokens), func(q *http.Request) { q.Method = "POST"; q.Header.Set("Sec-Fetch-Site", "cross-site") })
		p.AddFactor(one.ID, stytchtest.SMS())
		advance(3 * time.Second)
		send(mfa, bearer(one.Tokens.SessionJWT)) // passes after a re-check
		p.FailAPI(stytchtest.Slow(time.Second).Then(stytchtest.Error(500, "internal_server_error")))
		three := p.Login(stytchtest.Login{})
		send(load, cookies(old(three, 5*time.Minute+time.Second))) // served stale
		send(load, cookies(old(three, 10*time.Minute)))            // 503
		p.FailAPI(stytchtest.Error(401, "unauthorized_credentials"))
		send(load, cookies(old(three, 11*time.Minute))) // 503, our fault
		p.FailAPI(nil)
		advance(time.Minute)
		q := httptest.NewRequest("POST", "https://app.example.com/", nil)
		stytchtest.AddCookies(q, two.Tokens)
		if err := auth.Revoke(httptest.NewRecorder(), q); err != nil {
			t.Fatal(err)
		}
		p.FailKeys(stytchtest.Error(500, ""))
		send(load, bearer(stytchtest.New(stytchtest.Options{ProjectID: p.ID()}).MintJWT("", stytchtest.Mint{})))

		want := map[string]int64{
			"stytchware.decisions{carrier=none,outcome=no session,source=none}":        1,
			"stytchware.decisions{carrier=bearer,outcome=session,source=local}":        4,
			"stytchware.decisions{carrier=cookies,outcome=session,source=local}":       1,
			"stytchware.decisions{carrier=bearer,outcome=session,source=remote}":       1,
			"stytchware.decisions{carrier=bearer,outcome=unavailable,source=none}":     2,
			"stytchware.decisions{carrier=cookies,outcome=session,source=remote}":      1,
			"stytchware.decisions{carrier=cookies,outcome=session,source=stale}":       1,
			"stytchware.decisions{carrier=cookies,outcome=no session,source=none}":     1,
			"stytchware.decisions{carrier=bearer,outcome=no session,source=none}":      1,
			"stytchware.decisions{carrier=bearer,outcome=invalid request,source=none}": 1,
			"stytchware.decisions{carrier=cookies,outcome=cross-site,source=none}":     1,
			"stytchware.decisions{carrier=cookies,outcome=unavailable,source=none}":    2,
			"stytchware.decision.duration{outcome=session,source=local}":               5,
			"stytchware.decision.duration{outcome=session,source=remote}":              2,
			"stytchware.decision.duration{outcome=session,source=stale}":               1,
			"stytchware.decision.duration{outcome=no session,source=none}":             3,
			"stytchware.decision.duration{outcome=unavailable,source=none}":            4,
			"stytchware.decision.duration{outcome=invalid request,source=none}":        1,
			"stytchware.decision.duration{outcome=cross-site,source=none}":             1,
			"stytchware.guard.decisions{called=true,outcome=step-up}":                  1,
			"stytchware.guard.decisions{called=true,outcome=session}":                  1,
			"stytchware.call.duration{operation=authenticate,outcome=ok}":              4,
			"stytchware.call.duration{operation=authenticate,outcome=gone}":            1,
			"stytchware.call.duration{operation=authenticate,outcome=now}":             2,
			"stytchware.call.duration{operation=authenticate,outcome=setup}":           1,
			"stytchware.call.duration{operation=revoke,outcome=ok}":                    1,
			"stytchware.key_fetch.duration{outcome=ok}":                                1,
			"stytchware.key_fetch.duration{outcome=failed}":                            1,
			"stytchware.keys{}":                               1,
			"stytchware.limits{name=unknown tokens}":          1,
			"stytchware.cookies{action=set,cookie=jwt}":       1,
			"stytchware.cookies{action=set,cookie=token}":     1,
			"stytchware.cookies{action=cleared,cookie=jwt}":   2,
			"stytchware.cookies{action=cleared,cookie=token}": 2,
		}
		got := r.series(t)
		for _, name := range sorted(got) {
			t.Logf("%-75s %d", name, got[name])
			if got[name] != want[name] {
				t.Errorf("%s is %d, want %d", name, got[name], want[name])
			}
			for _, secret := range []string{one.ID, one.UserID, "session-test", "user-test", "project-test", "jwk-", one.Tokens.SessionToken, p.Secret()} {
				if strings.Contains(name, secret) {
					t.Errorf("%s is in %s", secret, name)
				}
			}
		}
		for name := range want {
			if _, there := got[name]; !there {
				t.Errorf("no %s", name)
			}
		}

		spans := r.spans.GetSpans()
		if len(spans) != 9 {
			t.Errorf("%d spans, want 9", len(spans))
		}
		kinds := map[string]int{}
		for _, s := range spans {
			labels := map[string]string{}
			for _, kv := range s.Attributes {
				labels[string(kv.Key)] = kv.Value.String()
			}
			outcome := labels["stytchware.outcome"]
			kinds[s.Name+" "+outcome]++
			wrong := outcome == "now" || outcome == "setup"
			if (s.Status.Code == codes.Error) != wrong || (labels["error.type"] == outcome) != wrong {
				t.Errorf("%s, %s: %v %v", s.Name, outcome, s.Status, labels)
			}
			if s.SpanKind != trace.SpanKindClient || s.Parent.IsValid() || labels["http.request.method"] != "POST" || labels["server.address"] != "test.stytch.com" {
				t.Errorf("%s: %v, parent %v, %v", s.Name, s.SpanKind, s.Parent, labels)
			}
			if took := s.EndTime.Sub(s.StartTime); outcome == "now" && took < time.Second || took > 3*time.Second {
				t.Errorf("%s, %s: took %v", s.Name, outcome, took)
			}
			if strings.Contains(fmt.Sprint(s), "session-test") || strings.Contains(fmt.Sprint(s), one.Tokens.SessionToken) {
				t.Errorf("an id or token is in %v", s)
			}
		}
		if kinds["stytch authenticate ok"] != 4 || kinds["stytch revoke ok"] != 1 || kinds["stytch authenticate now"] != 2 {
			t.Errorf("%v", kinds)
		}
	})
}

func sorted(m map[string]int64) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// What a release of package middleware may say tomorrow makes no new series
// for each of its values.
func TestLabelsAreBounded(t *testing.T) {
	r := record()
	o := r.observer(t)
	for i := range 1000 {
		s := fmt.Sprint("new-", i)
		o.Decision(t.Context(), middleware.Decision{Outcome: s, Source: s, Carrier: s})
		o.Decision(t.Context(), middleware.Decision{Outcome: s, Guard: true})
		o.Call(middleware.Call{Operation: s, Outcome: s})
		o.Limit(middleware.Limit{Name: s})
		o.Cookie(t.Context(), middleware.CookieWrite{Cookie: s, Action: s})
		o.KeyFetch(middleware.KeyFetch{Keys: i})
	}
	got := r.series(t)
	if len(got) != 8 {
		t.Errorf("%d series: %v", len(got), sorted(got))
	}
	for name, n := range got {
		if n != 1000 && name != "stytchware.keys{}" {
			t.Errorf("%s is %d", name, n)
		}
	}
	if s := r.spans.GetSpans()[0]; s.Status.Code != codes.Error || s.Name != "stytch other" {
		t.Errorf("%s: %v", s.Name, s.Status)
	}
}

// Without options the globals are used.
func TestGlobals(t *testing.T) {
	r := record()
	meter, tracer := otel.GetMeterProvider(), otel.GetTracerProvider()
	defer func() { otel.SetMeterProvider(meter); otel.SetTracerProvider(tracer) }()
	otel.SetMeterProvider(r.meter)
	otel.SetTracerProvider(r.tracer)
	o, err := stytchotel.New(stytchotel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o.Call(middleware.Call{Operation: "revoke", Outcome: "ok", Began: time.Now(), Took: time.Second})
	if got := r.series(t)["stytchware.call.duration{operation=revoke,outcome=ok}"]; got != 1 {
		t.Errorf("%d", got)
	}
	spans := r.spans.GetSpans()
	if len(spans) != 1 || spans[0].EndTime.Sub(spans[0].StartTime) != time.Second || spans[0].Status.Code != codes.Unset {
		t.Errorf("%v", spans)
	}
	for _, kv := range spans[0].Attributes {
		if kv.Key == "server.address" {
			t.Error("an address that nobody told")
		}
	}
}

// broken is a MeterProvider whose instruments cannot be made.
type broken struct{ noop.MeterProvider }
type brokenMeter struct{ noop.Meter }

func (broken) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

func (brokenMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, context.Canceled
}

func TestInstrumentsThatCannotBeMade(t *testing.T) {
	o, err := stytchotel.New(stytchotel.Options{MeterProvider: broken{}})
	if err == nil || strings.Count(err.Error(), "stytchotel: stytchware.") != 4 {
		t.Errorf("%v", err)
	}
	o.Limit(middleware.Limit{}) // what it returned is usable
}
