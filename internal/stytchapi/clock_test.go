package stytchapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
)

var errReset = errors.New("connection reset by peer")

// stuck answers when the request's context ends.
func stuck(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestDeadline(t *testing.T) {
	for _, c := range []struct {
		name     string
		deadline time.Duration
		rt       transport
		want     time.Duration
	}{
		{"default", 0, stuck, 3 * time.Second},
		{"configured", 700 * time.Millisecond, stuck, 700 * time.Millisecond},
		{"over the retry too", 0, func() transport {
			n := 0
			return func(r *http.Request) (*http.Response, error) {
				if n++; n == 1 {
					pause(2 * time.Second)
					return nil, errReset
				}
				return stuck(r)
			}
		}(), 3 * time.Second},
		{"of the body", 0, func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: dripping{}}, nil
		}, 3 * time.Second},
		{"of a body that does not say why", 0, func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 404, Header: http.Header{}, Body: sullen{r.Context()}}, nil
		}, 3 * time.Second},
		{"without a reason", 0, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, errors.New("whatever")
		}, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, _ := client(c.rt, func(cfg *stytchapi.Config) { cfg.Deadline = c.deadline })
				start := time.Now()
				e := authenticate(cl)
				want(t, e, "now")
				if took := time.Since(start); took != c.want {
					t.Errorf("took %v, want %v", took, c.want)
				}
				if !errors.Is(e, context.DeadlineExceeded) || !strings.Contains(e.Error(), "no answer in time") {
					t.Errorf("%v does not tell that time ran out", e)
				}
				if s := cl.State(); s.InFlight != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// dripping is a body of one byte a second that knows no context.
type dripping struct{}

func (dripping) Read(p []byte) (int, error) {
	advance(time.Second)
	p[0] = ' '
	return 1, nil
}
func (dripping) Close() error { return nil }

// sullen is a body that fails when its context ends, without saying so.
type sullen struct{ ctx context.Context }

func (s sullen) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, errReset
}
func (sullen) Close() error { return nil }

// A client's own timeout, shorter than the deadline, is for each attempt.
func TestClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		cl, _ := client(nil, func(cfg *stytchapi.Config) {
			cfg.HTTPClient = &http.Client{Timeout: time.Second, Transport: transport(func(r *http.Request) (*http.Response, error) {
				if calls++; calls == 1 {
					return stuck(r)
				}
				return reply(200, fine()), nil
			})}
		})
		start := time.Now()
		want(t, authenticate(cl), "ok")
		if took := time.Since(start); calls != 2 || took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("%d attempts in %v", calls, took)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a longer one is ours
		cl, _ := client(nil, func(cfg *stytchapi.Config) {
			cfg.HTTPClient = &http.Client{Timeout: time.Hour, Transport: transport(stuck)}
		})
		start := time.Now()
		want(t, authenticate(cl), "now")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestRetry(t *testing.T) {
	answers := func(answers ...any) (transport, *int) {
		n := 0
		return func(*http.Request) (*http.Response, error) {
			n++
			if n > len(answers) {
				return nil, errors.New("one attempt too many")
			}
			switch a := answers[n-1].(type) {
			case int:
				if a == 200 {
					return reply(200, fine()), nil
				}
				return reply(a, ""), nil
			case string:
				panic(a)
			default:
				return nil, a.(error)
			}
		}, &n
	}
	for _, c := range []struct {
		name     string
		answers  []any
		attempts int
		want     string
	}{
		{"first", []any{200}, 1, "ok"},
		{"second", []any{errReset, 200}, 2, "ok"},
		{"never a third", []any{errReset, io.EOF, 200}, 2, "now"},
		{"an answer is an answer", []any{500, 200}, 1, "now"},
		{"a refusal too", []any{401, 200}, 1, "setup"},
		{"second one refused", []any{errReset, 401}, 2, "setup"},
		{"a panic is no accident of the network", []any{"boom", 200}, 1, "now"},
		{"panic in the second", []any{errReset, "boom"}, 2, "now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt, n := answers(c.answers...)
				cl, _ := client(rt)
				start := time.Now()
				want(t, authenticate(cl), c.want)
				took := time.Since(start)
				if *n != c.attempts {
					t.Errorf("%d attempts, want %d", *n, c.attempts)
				}
				if s := cl.State(); s.Authenticates != 1 || s.Retries != uint64(c.attempts-1) || s.InFlight != 0 {
					t.Errorf("%+v", s)
				}
				if c.attempts == 1 && took != 0 || c.attempts == 2 && (took < 50*time.Millisecond || took >= 150*time.Millisecond) {
					t.Errorf("paused %v", took)
				}
			})
		})
	}
	t.Run("each attempt sends the whole body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var bodies []string
			cl, _ := client(transport(func(r *http.Request) (*http.Response, error) {
				b, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(b))
				if len(bodies) == 1 {
					return nil, errReset
				}
				return reply(200, fine()), nil
			}))
			want(t, authenticate(cl), "ok")
			if len(bodies) != 2 || bodies[0] != bodies[1] || bodies[0] != `{"session_token":"`+token+`"}` {
				t.Errorf("%q", bodies)
			}
		})
	})
	t.Run("the pause ends with the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			cl, j := client(transport(func(*http.Request) (*http.Response, error) { n++; return nil, errReset }))
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			start := time.Now()
			want(t, authenticateWith(ctx, cl), "now")
			if took := time.Since(start); took != 20*time.Millisecond || n != 1 {
				t.Errorf("took %v, %d attempts", took, n)
			}
			if j.String() != "" {
				t.Errorf("logged %s", j)
			}
		})
	})
	t.Run("not when the context ended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			ctx, cancel := context.WithCancel(context.Background())
			cl, _ := client(transport(func(*http.Request) (*http.Response, error) { n++; cancel(); return nil, errReset }))
			e := authenticateWith(ctx, cl)
			want(t, e, "now")
			if n != 1 || !errors.Is(e, context.Canceled) || !errors.Is(e, errReset) {
				t.Errorf("%d attempts, %v", n, e)
			}
		})
	})
	t.Run("not into another call's 429", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int32
			cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
				if n.Add(1) == 1 {
					pause(time.Second)
					return nil, errReset
				}
				pause(990 * time.Millisecond)
				return reply(429, "", "Retry-After", "9"), nil
			}))
			go authenticate(cl)
			synctest.Wait()
			want(t, authenticate(cl), "now")
			advance(time.Second)
			if n.Load() != 2 {
				t.Errorf("%d attempts", n.Load())
			}
		})
	})
}

func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		cl, j := client(transport(func(r *http.Request) (*http.Response, error) { sent++; return stuck(r) }))
		for range 10 {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			e := authenticateWith(ctx, cl)
			want(t, e, "now")
			if !errors.Is(e, context.Canceled) || !strings.Contains(e.Error(), "the caller left") {
				t.Errorf("%v", e)
			}
			ctx, cancel = context.WithTimeout(context.Background(), time.Second) // too little to say anything of Stytch
			e = authenticateWith(ctx, cl)
			want(t, e, "now")
			if !errors.Is(e, context.DeadlineExceeded) {
				t.Errorf("%v", e)
			}
			cancel()
		}
		if sent != 20 || cl.State().BreakerOpen {
			t.Errorf("%d sent, %+v: a caller that leaves is no failure of Stytch", sent, cl.State())
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		e := authenticateWith(ctx, cl)
		want(t, e, "now")
		if sent != 20 || !errors.Is(e, context.Canceled) {
			t.Errorf("%d sent after the caller left: %v", sent, e)
		}
		if s := cl.State(); s.Authenticates != 20 || s.Refused != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		if j.String() != "" {
			t.Errorf("logged %s", j)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a caller with about our deadline
		cl, _ := client(transport(stuck))
		for range 5 {
			ctx, cancel := context.WithTimeout(context.Background(), 2900*time.Millisecond)
			want(t, authenticateWith(ctx, cl), "now")
			cancel()
		}
		if !cl.State().BreakerOpen {
			t.Error("timeouts at the caller's deadline do not open the breaker")
		}
	})
	synctest.Test(t, func(t *testing.T) { // one that leaves while a 429 is read
		ctx, cancel := context.WithCancel(context.Background())
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
			cancel()
			return reply(429, "", "Retry-After", "7"), nil
		}))
		want(t, authenticateWith(ctx, cl), "now")
		if got := time.Until(cl.State().PausedUntil); got != 7*time.Second {
			t.Errorf("paused %v", got)
		}
	})
}

func TestInFlight(t *testing.T) {
	for _, c := range []struct{ max, want int }{{0, 64}, {3, 3}} {
		synctest.Test(t, func(t *testing.T) {
			var sent atomic.Int32
			cl, _ := client(transport(func(r *http.Request) (*http.Response, error) {
				sent.Add(1)
				pause(time.Second)
				return reply(200, fine()), nil
			}), func(cfg *stytchapi.Config) { cfg.MaxInFlight = c.max })
			for range c.want {
				go func() {
					if e := authenticate(cl); e != nil {
						t.Error(e)
					}
				}()
			}
			synctest.Wait()
			start := time.Now()
			e := authenticate(cl)
			want(t, e, "now")
			if time.Since(start) != 0 || e.RetryAfter != time.Second || e.Status != 0 {
				t.Errorf("%v after %v, retry after %v", e, time.Since(start), e.RetryAfter)
			}
			if err := cl.Revoke(context.Background(), byID); class(as(err)) != "now" {
				t.Errorf("revoke passes another gate: %v", err)
			}
			if s := cl.State(); s.InFlight != c.want || s.Refused != 2 || int(sent.Load()) != c.want {
				t.Errorf("%+v, %d sent", s, sent.Load())
			}
			advance(time.Second)
			if s := cl.State(); s.InFlight != 0 {
				t.Errorf("%+v", s)
			}
			want(t, authenticate(cl), "ok")
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // a bubble's
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		header string
		want   time.Duration
	}{
		{"", 1}, {"7", 7}, {"1", 1}, {"60", 60}, {"007", 7},
		{"0", 1}, {"61", 60}, {"86400", 60}, {"65536", 60}, {"99999999999999999999999999", 60},
		{"-5", 1}, {"5.5", 1}, {"1e1", 1}, {"soon", 1}, {"+5", 1}, {"5,6", 1}, {"５", 1},
		{date(9 * time.Second), 9}, {date(-time.Hour), 1}, {date(0), 1}, {date(time.Hour), 60},
		{now.Add(9 * time.Second).Format(time.RFC850), 9}, {now.Add(9 * time.Second).Format(time.ANSIC), 9},
		{now.Add(9 * time.Second).Format(time.RFC3339), 1},
	} {
		t.Run(c.header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if !time.Now().Equal(now) {
					t.Fatal("the bubble's clock starts elsewhere")
				}
				sent := 0
				cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
					if sent++; sent == 1 {
						return reply(429, failure(429, "too_many_requests"), "Retry-After", c.header), nil
					}
					return reply(200, fine()), nil
				}))
				pause := c.want * time.Second
				e := authenticate(cl)
				want(t, e, "now")
				if e.RetryAfter != pause || e.Type != "too_many_requests" {
					t.Errorf("%v, retry after %v, want %v", e, e.RetryAfter, pause)
				}
				if s := cl.State(); !s.PausedUntil.Equal(now.Add(pause)) || s.BreakerOpen {
					t.Errorf("%+v", s)
				}
				advance(pause - 100*time.Millisecond)
				e = as(cl.Revoke(context.Background(), byID)) // every call, not only those of a kind
				want(t, e, "now")
				if e.RetryAfter != time.Second || sent != 1 {
					t.Errorf("%v, retry after %v, want the rest rounded up; %d sent", e, e.RetryAfter, sent)
				}
				advance(100 * time.Millisecond)
				if s := cl.State(); !s.PausedUntil.IsZero() {
					t.Errorf("%+v", s)
				}
				want(t, authenticate(cl), "ok")
			})
		})
	}
}

func TestPauseCarriesItsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(429, "", "Retry-After", "30"), nil }))
		want(t, authenticate(cl), "now")
		for _, c := range []struct{ pass, want time.Duration }{
			{0, 30}, {time.Nanosecond, 30}, {10*time.Second - time.Nanosecond, 20}, {1500 * time.Millisecond, 19},
		} {
			advance(c.pass)
			if e := authenticate(cl); e.RetryAfter != c.want*time.Second {
				t.Errorf("retry after %v, want %v s", e.RetryAfter, int(c.want))
			}
		}
	})
}

func TestDoubling(t *testing.T) {
	// Each step waits the pause before it and meets the answer: a status, or
	// a 429 with a Retry-After. want is the pause that follows.
	type step struct {
		answer string
		want   int
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"up to a minute", []step{{"429", 1}, {"429", 2}, {"429", 4}, {"429", 8}, {"429", 16}, {"429", 32}, {"429", 60}, {"429", 60}}},
		{"reset by a good answer", []step{{"429", 1}, {"429", 2}, {"200", 0}, {"429", 1}, {"429", 2}}},
		{"by a bad one", []step{{"429", 1}, {"429", 2}, {"500", 0}, {"429", 1}}},
		{"by a refusal", []step{{"429", 1}, {"429", 2}, {"404", 0}, {"429", 1}}},
		{"not by silence", []step{{"429", 1}, {"429", 2}, {"none", 0}, {"429", 4}}},
		{"one with a Retry-After does not count", []step{{"429", 1}, {"+5", 5}, {"429", 2}, {"+50", 50}, {"429", 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var answer string
				cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
					switch {
					case answer == "none":
						return nil, errReset
					case answer == "200":
						return reply(200, fine()), nil
					case answer[0] == '+':
						return reply(429, "", "Retry-After", answer[1:]), nil
					}
					status, _ := strconv.Atoi(answer)
					return reply(status, ""), nil
				}))
				for i, s := range c.steps {
					answer = s.answer
					sent := cl.State().Authenticates
					e := authenticate(cl)
					if cl.State().Authenticates != sent+1 {
						t.Fatalf("step %d was not sent: %v", i, e)
					}
					until := cl.State().PausedUntil
					if s.want == 0 {
						if !until.IsZero() {
							t.Fatalf("step %d pauses", i)
						}
						continue
					}
					if got := time.Until(until); got != time.Duration(s.want)*time.Second || e.RetryAfter != got {
						t.Fatalf("step %d pauses %v, retry after %v, want %d s", i, got, e.RetryAfter, s.want)
					}
					advance(time.Until(until))
				}
			})
		})
	}
}

// Calls that meet one limit together are one 429 to the doubling, and a
// shorter pause never cuts a longer one.
func TestDoublingTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after := ""
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
			pause(100 * time.Millisecond)
			return reply(429, "", "Retry-After", after), nil
		}))
		burst := func() {
			for range 20 {
				go authenticate(cl)
			}
			synctest.Wait()
			advance(100 * time.Millisecond)
		}
		burst()
		if got := time.Until(cl.State().PausedUntil); got != time.Second {
			t.Errorf("20 calls pause %v, want 1s", got)
		}
		advance(time.Second)
		burst()
		if got := time.Until(cl.State().PausedUntil); got != 2*time.Second {
			t.Errorf("20 more pause %v, want 2s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
			i := time.Duration(n.Add(1))
			pause(i * 100 * time.Millisecond)
			return reply(429, "", "Retry-After", []string{"30", "2"}[i-1]), nil
		}))
		go authenticate(cl)
		synctest.Wait()
		e := authenticate(cl)
		if got := time.Until(cl.State().PausedUntil); got != 29900*time.Millisecond || e.RetryAfter != 30*time.Second {
			t.Errorf("paused %v, retry after %v", got, e.RetryAfter)
		}
	})
}

func TestBreaker(t *testing.T) {
	for _, c := range []struct {
		name string
		fail transport
	}{
		{"500", func(*http.Request) (*http.Response, error) { return reply(500, ""), nil }},
		{"reset", func(*http.Request) (*http.Response, error) { return nil, errReset }},
		{"senseless", func(*http.Request) (*http.Response, error) { return reply(200, "<html>"), nil }},
		{"redirect", func(*http.Request) (*http.Response, error) { return reply(302, ""), nil }},
		{"panic", func(*http.Request) (*http.Response, error) { panic("boom") }},
		{"timeout", stuck},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				var now transport
				cl, _ := client(transport(func(r *http.Request) (*http.Response, error) { sent++; return now(r) }))
				refused := func() {
					t.Helper()
					before, start := sent, time.Now()
					e := authenticate(cl)
					want(t, e, "now")
					if sent != before || e.RetryAfter != time.Second || e.Status != 0 || time.Since(start) != 0 {
						t.Fatalf("not refused at once: %v, retry after %v", e, e.RetryAfter)
					}
					if err := cl.Revoke(context.Background(), byToken); err == nil || sent != before {
						t.Fatal("revoke is not refused")
					}
				}
				probe := func(wantClass string) {
					t.Helper()
					before := sent
					want(t, authenticate(cl), wantClass)
					if sent != before+1 {
						t.Fatalf("%d requests of one probe", sent-before)
					}
				}
				now = c.fail
				for i := range 5 {
					if cl.State().BreakerOpen {
						t.Fatalf("open after %d", i)
					}
					want(t, authenticate(cl), "now")
				}
				if !cl.State().BreakerOpen {
					t.Fatal("not open after 5")
				}
				refused()
				advance(time.Second - 1)
				refused()
				advance(1)
				for range 3 {
					start := time.Now()
					probe("now")
					if rest := time.Second - time.Since(start); rest > 0 {
						refused()
						advance(rest - 1)
						refused()
						advance(1)
					}
				}
				now = func(*http.Request) (*http.Response, error) {
					return reply(404, failure(404, "session_not_found")), nil
				}
				probe("gone") // an answer all the same
				if cl.State().BreakerOpen {
					t.Fatal("open after an answer")
				}
				now = c.fail
				for range 4 { // the row begins anew
					want(t, authenticate(cl), "now")
				}
				now = func(*http.Request) (*http.Response, error) { return reply(200, fine()), nil }
				want(t, authenticate(cl), "ok")
				now = c.fail
				for range 4 {
					want(t, authenticate(cl), "now")
				}
				if cl.State().BreakerOpen {
					t.Error("open after 4 in a row")
				}
			})
		})
	}
}

func TestBreakerAndLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 500
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(status, ""), nil }))
		for range 4 {
			authenticate(cl)
		}
		status = 429
		for range 6 { // neither count nor end the row
			authenticate(cl)
			advance(time.Until(cl.State().PausedUntil))
		}
		if cl.State().BreakerOpen {
			t.Fatal("429s open the breaker")
		}
		status = 500
		authenticate(cl)
		if !cl.State().BreakerOpen {
			t.Fatal("429s end the row")
		}
		advance(time.Second)
		status = 429
		e := authenticate(cl)
		if s := cl.State(); !s.BreakerOpen || s.PausedUntil.IsZero() || e.Status != 429 {
			t.Fatalf("a 429 to the probe: %+v, %v", s, e)
		}
		advance(time.Until(cl.State().PausedUntil))
		status = 401
		want(t, authenticate(cl), "setup")
		if cl.State().BreakerOpen {
			t.Fatal("open after an answer that is not about now")
		}
	})
}

// Of many calls that come in the probe's second one goes out; later failures
// of calls from before the opening do not put the first probe off.
func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
			if sent.Add(1) > 5 {
				pause(1900 * time.Millisecond)
			}
			return reply(500, ""), nil
		}))
		for range 3 {
			authenticate(cl)
		}
		sent.Store(5)
		go authenticate(cl) // fails at 1.9 s
		synctest.Wait()
		sent.Store(0)
		authenticate(cl)
		authenticate(cl)
		if !cl.State().BreakerOpen {
			t.Fatal("not open")
		}
		advance(time.Second)
		sent.Store(5)
		for range 50 {
			go authenticate(cl)
		}
		synctest.Wait()
		if n := sent.Load() - 5; n != 1 {
			t.Errorf("%d probes at once", n)
		}
		advance(time.Second)
		for range 50 {
			go authenticate(cl)
		}
		synctest.Wait()
		if n := sent.Load() - 5; n != 2 {
			t.Errorf("%d probes in two seconds", n)
		}
		advance(2 * time.Second)
	})
}

func TestOtherRetryAfter(t *testing.T) {
	for _, c := range []struct {
		status int
		header string
		want   time.Duration
	}{{503, "12", 12 * time.Second}, {503, "", time.Second}, {503, "3600", time.Minute}, {500, "x", time.Second}, {401, "12", 0}} {
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) {
			return reply(c.status, "", "Retry-After", c.header), nil
		}))
		if e := authenticate(cl); e.RetryAfter != c.want || !cl.State().PausedUntil.IsZero() {
			t.Errorf("%d %q: retry after %v, want %v, %+v", c.status, c.header, e.RetryAfter, c.want, cl.State())
		}
	}
}
