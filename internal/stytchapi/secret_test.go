package stytchapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
)

// verbs are all but %p, %T and a misplaced %w, with which fmt does not ask the
// value; vet finds those.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%e"}

// spellings are what must not be found in a text, in lower case: the whole of
// each credential or its beginning, as it is, in hex, and as bytes.
var spellings = sync.OnceValue(func() (all []string) {
	for _, s := range []string{token, secret, aJWT, strings.Split(aJWT, ".")[2], base64.StdEncoding.EncodeToString([]byte(project + ":" + secret)), "Foreign"} {
		s = s[:min(len(s), 16)]
		bytes := strings.Trim(fmt.Sprintf("%d", []byte(s)), "[]")
		for _, x := range []string{s, fmt.Sprintf("%x", s), fmt.Sprintf("% x", s), bytes} {
			all = append(all, strings.ToLower(x))
		}
	}
	return all
})

// leak fails if text holds a credential in any spelling.
func leak(t *testing.T, what, text string) {
	t.Helper()
	text = strings.ToLower(text)
	for _, s := range spellings() {
		if strings.Contains(text, s) {
			t.Errorf("%s holds %.12q…: %.300s", what, s, text)
			return
		}
	}
}

// loud is an error that tells everything, as a careless transport's might.
type loud struct{ text string }

func (l loud) Error() string { return l.text }

func TestNothingSecretIsPrinted(t *testing.T) {
	dump := func(r *http.Request) string {
		b, _ := httputil.DumpRequestOut(r, true)
		return "Foreign\n" + string(b)
	}
	echo := func(status int) transport {
		return func(r *http.Request) (*http.Response, error) {
			b, _ := json.Marshal(map[string]string{"error_type": dump(r), "request_id": secret, "error_message": dump(r)})
			return reply(status, string(b), "Retry-After", token), nil
		}
	}
	raw := func(status int) transport {
		return func(r *http.Request) (*http.Response, error) { return reply(status, dump(r)), nil }
	}
	for name, rt := range map[string]transport{
		"error":       func(r *http.Request) (*http.Response, error) { return nil, loud{dump(r)} },
		"wrapped":     func(r *http.Request) (*http.Response, error) { return nil, fmt.Errorf("x: %w", loud{dump(r)}) },
		"panic":       func(r *http.Request) (*http.Response, error) { panic(dump(r)) },
		"panic error": func(r *http.Request) (*http.Response, error) { panic(loud{dump(r)}) },
		"panic in body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: &broken{panics: true}}, nil
		},
		"error in body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: &broken{}}, nil
		},
		"error after 404": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 404, Body: &broken{}}, nil
		},
		"no response": func(*http.Request) (*http.Response, error) { return nil, nil },
		"status text": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 500, Status: "500 " + secret, Body: http.NoBody}, nil
		},
		"echo 200": echo(200), "echo 302": echo(302), "echo 400": echo(400), "echo 401": echo(401), "echo 404": echo(404), "echo 429": echo(429), "echo 500": echo(500),
		"raw 200": raw(200), "raw 400": raw(400), "raw 429": raw(429), "raw 500": raw(500),
		"token as id": func(r *http.Request) (*http.Response, error) {
			return reply(400, `{"error_type":"`+sent(r)+`","request_id":"x-`+sent(r)+`"}`), nil
		},
		"parts": func(r *http.Request) (*http.Response, error) {
			return reply(200, `{"error_type":"`+sent(r)[:30]+`","request_id":"`+secret[:25]+`"}`), nil
		},
		"gone": func(*http.Request) (*http.Response, error) { return reply(404, failure(404, "session_not_found")), nil },
		"bad token": func(*http.Request) (*http.Response, error) {
			return reply(200, `{"session":`+session(time.Now().Add(time.Hour))+`,"session_token":"`+token+` "}`), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for format, handler := range map[string]func(io.Writer) slog.Handler{
					"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
					"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
				} {
					j := new(journal)
					logger := slog.New(handler(j))
					cfg := stytchapi.Config{ProjectID: project, Secret: secret, BaseURL: "https://stytch.test", Logger: logger, HTTPClient: &http.Client{Transport: rt}}
					c := stytchapi.New(cfg)
					var errs []error
					for _, cred := range []stytchapi.Credential{byToken, byJWT} {
						_, err := c.Authenticate(context.Background(), cred, 0)
						errs = append(errs, err, c.Revoke(context.Background(), cred))
					}
					_, err := c.Authenticate(context.Background(), byID, 0)
					errs = append(errs, err)
					leak(t, format+" log", j.String())
					for _, err := range errs {
						if err == nil {
							continue
						}
						if strings.ContainsAny(err.Error(), "\r\n\t") || !strings.HasPrefix(err.Error(), "stytchapi: ") {
							t.Errorf("not one line of ours: %q", err)
						}
						for _, verb := range verbs {
							leak(t, verb, fmt.Sprintf(verb, err))
							leak(t, verb+" in a struct", fmt.Sprintf(verb, struct{ Err error }{err}))
							leak(t, verb+" wrapped", fmt.Errorf("x: "+verb, err).Error())
						}
						b, _ := json.Marshal(err)
						leak(t, "JSON", string(b))
						logger.Error("x", "err", err, "in", struct{ Err error }{err})
					}
					leak(t, format+" log of the errors", j.String())
				}
			})
		})
	}
}

// sent returns the credential in a request's body.
func sent(r *http.Request) string {
	b, _ := httputil.DumpRequest(r.Clone(context.Background()), true)
	return strings.Split(string(b[bytes.IndexByte(b, '{'):]), `"`)[3]
}

// broken is a body that tells what it knows.
type broken struct{ panics bool }

func (b *broken) Read([]byte) (int, error) {
	if b.panics {
		panic("Foreign " + secret)
	}
	return 0, loud{"Foreign " + token}
}
func (*broken) Close() error { return nil }

func TestRedaction(t *testing.T) {
	cfg := stytchapi.Config{ProjectID: project, Secret: secret, BaseURL: "https://stytch.test"}
	c, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(200, fine()), nil }))
	a, err := c.Authenticate(context.Background(), byToken, 0)
	if err != nil {
		t.Fatal(err)
	}
	type inside struct {
		Config *stytchapi.Config
		Client *stytchapi.Client
		Answer *stytchapi.Answer
		Cred   stytchapi.Credential
	}
	for name, v := range map[string]any{
		"config": cfg, "*config": &cfg, "client": c, "answer": *a, "*answer": a, "token": byToken, "jwt": byJWT, "*jwt": &byJWT,
		"slice": []any{cfg, c, a, byToken, byJWT}, "map": map[string]any{"x": cfg, "y": a},
		"struct":            inside{&cfg, c, a, byToken},
		"unexported client": struct{ c *stytchapi.Client }{c},
	} {
		for _, verb := range verbs {
			leak(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v, "in", inside{&cfg, c, a, byToken})
		log.New(&b, "", 0).Print(v)
		leak(t, name+" log", b.String())
		j, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		leak(t, name+" JSON", string(j))
	}
	for name, s := range map[string]string{
		"answer": a.String(), "answer go": a.GoString(), "token": byToken.String(), "token go": byToken.GoString(), "client": c.String(), "client go": c.GoString(),
	} {
		if s != "[redacted]" {
			t.Errorf("%s prints %s", name, s)
		}
	}
	if s := cfg.GoString(); !strings.Contains(s, project) || !strings.Contains(s, "[redacted]") {
		t.Errorf("a config prints %s", s)
	}
}

func TestPanicsAreContained(t *testing.T) {
	for name, rt := range map[string]transport{
		"text": func(*http.Request) (*http.Response, error) { panic("boom") },
		"nil":  func(*http.Request) (*http.Response, error) { panic(nil) },
		"error": func(*http.Request) (*http.Response, error) {
			var none []int
			return nil, errors.New(string(rune(none[len(none)])))
		},
		"abort": func(*http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) },
		"body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: &broken{true}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c, j := client(transport(func(r *http.Request) (*http.Response, error) {
				if n++; n == 1 {
					return rt(r)
				}
				return reply(200, fine()), nil
			}))
			e := authenticate(c)
			want(t, e, "now")
			if !strings.Contains(e.Error(), "the HTTP transport panicked") || n != 1 || c.State().InFlight != 0 {
				t.Errorf("%v, %d attempts, %+v", e, n, c.State())
			}
			if log := j.String(); !strings.Contains(log, "secret_test.go") {
				t.Errorf("the log does not say where: %s", log)
			}
			if strings.Contains(errors.Unwrap(e).Error(), "boom") {
				t.Errorf("the cause tells what was thrown: %v", errors.Unwrap(e))
			}
			want(t, authenticate(c), "ok")
		})
	}
}
