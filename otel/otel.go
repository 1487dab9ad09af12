// Package stytchotel turns what a middleware.Authenticator does into
// OpenTelemetry metrics and spans.
//
//	observer, err := stytchotel.New(stytchotel.Options{})
//	…
//	auth, err := middleware.New(middleware.Config{Observer: observer, …})
//
// Every attribute has one of a few fixed values: no id, no token, nothing a
// client sent. A series is made once for each combination that occurs.
package stytchotel

import (
	"context"
	"errors"
	"fmt"

	"github.com/stytchware/stytchware/middleware"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// scope names this package as the source of metrics and spans.
const scope = "github.com/stytchware/stytchware/otel"

// Options say where metrics and spans go. The zero value is ready.
type Options struct {
	_ [0]func()

	MeterProvider  metric.MeterProvider // default: otel.GetMeterProvider()
	TracerProvider trace.TracerProvider // default: otel.GetTracerProvider()

	// ServerAddress is the host of Config.BaseURL, as server.address of the
	// spans. Default: none, since the Authenticator does not tell.
	ServerAddress string
}

// The values that attributes may have. What a later release of package
// middleware may say in addition becomes "other".
var (
	outcomes   = setOf("session", "no session", "step-up", "invalid request", "cross-site", "unavailable")
	sources    = setOf("local", "remote", "stale", "none")
	carriers   = setOf("none", "bearer", "headers", "cookies")
	operations = setOf("authenticate", "revoke")
	answers    = setOf("ok", "gone", "setup", "now")
	limits     = setOf("unknown tokens", "in flight", "paused", "breaker")
	cookies    = setOf("token", "jwt")
	actions    = setOf("set", "cleared", "too large")
)

func setOf(all ...string) map[string]bool {
	m := make(map[string]bool, len(all))
	for _, s := range all {
		m[s] = true
	}
	return m
}

func oneOf(known map[string]bool, s string) string {
	if known[s] {
		return s
	}
	return "other"
}

// New returns an Observer for middleware.Config that records:
//
//	stytchware.decisions          counter    outcome, source, carrier   each request, once
//	stytchware.decision.duration  histogram  outcome, source            s; waiting for Stytch included
//	stytchware.guard.decisions    counter    outcome, called            what guards refused or asked Stytch about
//	stytchware.call.duration      histogram  operation, outcome         s; calls to Stytch
//	stytchware.key_fetch.duration histogram  outcome                    s; fetches of the key set
//	stytchware.keys               gauge                                 usable keys
//	stytchware.limits             counter    name                       calls to Stytch that a limit here kept back
//	stytchware.cookies            counter    cookie, action             session cookies written, cleared, too large
//
// and a client span for each call to Stytch. One call may serve many requests
// and outlive them all, so such a span is the root of a trace of its own.
//
// The error joins those of the meter; the Observer then records what it can.
// It may be used concurrently, and by several Authenticators.
func New(o Options) (middleware.Observer, error) {
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	m := maker{meter: o.MeterProvider.Meter(scope)}
	tracer := o.TracerProvider.Tracer(scope)

	decisions := m.counter("stytchware.decisions", "{request}", "Requests whose session was looked up.")
	took := m.seconds("stytchware.decision.duration", "Time to look up a request's session, waiting for Stytch included.", fast...)
	guards := m.counter("stytchware.guard.decisions", "{request}", "Requests that a guard refused, or asked Stytch about.")
	calls := m.seconds("stytchware.call.duration", "Calls to Stytch, a retry included.", slow...)
	fetches := m.seconds("stytchware.key_fetch.duration", "Fetches of the project's key set.", slow...)
	keys := m.gauge("stytchware.keys", "{key}", "Usable keys of the project.")
	limited := m.counter("stytchware.limits", "{call}", "Calls to Stytch that a limit of this process kept back.")
	written := m.counter("stytchware.cookies", "{cookie}", "Session cookies written, cleared, or too large to write.")

	var address []attribute.KeyValue
	if o.ServerAddress != "" {
		address = append(address, attribute.String("server.address", o.ServerAddress))
	}
	return middleware.Observer{
		Decision: func(ctx context.Context, d middleware.Decision) {
			outcome := attribute.String("outcome", oneOf(outcomes, d.Outcome))
			if d.Guard {
				guards.Add(ctx, 1, metric.WithAttributes(outcome, attribute.Bool("called", d.Called)))
				return
			}
			source := d.Source
			if source == "" {
				source = "none"
			}
			from := attribute.String("source", oneOf(sources, source))
			decisions.Add(ctx, 1, metric.WithAttributes(outcome, from, attribute.String("carrier", oneOf(carriers, d.Carrier))))
			took.Record(ctx, d.Took.Seconds(), metric.WithAttributes(outcome, from))
		},
		Call: func(c middleware.Call) {
			ctx := context.Background()
			operation, outcome := oneOf(operations, c.Operation), oneOf(answers, c.Outcome)
			calls.Record(ctx, c.Took.Seconds(), metric.WithAttributes(
				attribute.String("operation", operation), attribute.String("outcome", outcome)))
			_, span := tracer.Start(ctx, "stytch "+operation, trace.WithSpanKind(trace.SpanKindClient), trace.WithNewRoot(),
				trace.WithTimestamp(c.Began), trace.WithAttributes(address...), trace.WithAttributes(
					attribute.String("http.request.method", "POST"),
					attribute.String("stytchware.operation", operation), attribute.String("stytchware.outcome", outcome)))
			if wrong, is := faults[outcome]; is {
				span.SetAttributes(attribute.String("error.type", outcome))
				span.SetStatus(codes.Error, wrong)
			}
			span.End(trace.WithTimestamp(c.Began.Add(c.Took)))
		},
		KeyFetch: func(k middleware.KeyFetch) {
			ctx, outcome := context.Background(), "ok"
			if !k.OK {
				outcome = "failed"
			}
			fetches.Record(ctx, k.Took.Seconds(), metric.WithAttributes(attribute.String("outcome", outcome)))
			keys.Record(ctx, int64(k.Keys))
		},
		Limit: func(l middleware.Limit) {
			limited.Add(context.Background(), 1, metric.WithAttributes(attribute.String("name", oneOf(limits, l.Name))))
		},
		Cookie: func(ctx context.Context, c middleware.CookieWrite) {
			written.Add(ctx, 1, metric.WithAttributes(
				attribute.String("cookie", oneOf(cookies, c.Cookie)), attribute.String("action", oneOf(actions, c.Action))))
		},
	}, errors.Join(m.errs...)
}

// faults are the outcomes of a call that are errors. That a session is gone is
// an answer.
var faults = map[string]string{
	"setup": "Stytch refused the call as such: the secret or the project is wrong",
	"now":   "Stytch could not be asked",
	"other": "the outcome is not known to this release",
}

// Buckets in seconds: most decisions take microseconds, calls milliseconds.
var (
	fast = []float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 5e-3, 0.025, 0.1, 0.25, 0.5, 1, 3, 6}
	slow = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2, 3, 5}
)

// maker makes instruments and collects what went wrong.
type maker struct {
	meter metric.Meter
	errs  []error
}

func (m *maker) note(name string, err error) {
	if err != nil {
		m.errs = append(m.errs, fmt.Errorf("stytchotel: %s: %w", name, err))
	}
}

func (m *maker) counter(name, unit, description string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.note(name, err)
	return c
}

func (m *maker) gauge(name, unit, description string) metric.Int64Gauge {
	g, err := m.meter.Int64Gauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.note(name, err)
	return g
}

func (m *maker) seconds(name, description string, buckets ...float64) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(buckets...))
	m.note(name, err)
	return h
}
