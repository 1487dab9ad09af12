package stytchapi

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/exactjson"
	"github.com/stytchware/stytchware/internal/sessionjson"
	"github.com/stytchware/stytchware/internal/wellformed"
	"github.com/stytchware/stytchware/sessionctx"
)

// nonsense is what can be wrong with the JSON of a 200.
type nonsense string

func (n nonsense) Error() string { return "stytchapi: " + string(n) }

const (
	errNotAnswer nonsense = "not the JSON of an answer"
	errNoSession nonsense = "answer without a session"
	errNoUser    nonsense = "session of nobody"
	errUser      nonsense = "session and user object disagree"
	errExpired   nonsense = "session not in the future"
	errToken     nonsense = "malformed session_token in the answer"
	errJWT       nonsense = "malformed session_jwt in the answer"
	errStatus    nonsense = "answer contradicts its status"
)

// readAnswer reads the body of an authenticate call's 200. A session_token,
// session_jwt or user that is null or empty counts as absent.
func readAnswer(body string, now time.Time) (*Answer, error) {
	var a Answer
	var session string
	r := exactjson.New(body)
	for name := range r.Members {
		switch name {
		case "status_code":
			statusCode(&r)
		case "session":
			session = r.Raw()
		case "session_token":
			a.SessionToken = optional(&r)
		case "session_jwt":
			a.SessionJWT = optional(&r)
		case "user":
			a.UserID = userID(&r)
		}
	}
	if err := r.End(); err != nil {
		return nil, senseless(err)
	}
	if session == "" || session == "null" {
		return nil, errNoSession
	}
	// The strings read share the text's memory, and outlive it in caches: they
	// must not keep the user object and the rest of the body alive.
	session = strings.Clone(session)
	a.SessionToken, a.SessionJWT, a.UserID = strings.Clone(a.SessionToken), strings.Clone(a.SessionJWT), strings.Clone(a.UserID)

	r = exactjson.New(session)
	d := sessionjson.API(&r)
	if err := r.End(); err != nil {
		return nil, senseless(err)
	}
	// sessionjson takes a B2B session's names too, which mean nothing here.
	d.ID, d.UserID = ids(session)
	switch {
	case d.ID == "":
		return nil, errNoSession
	case d.UserID == "":
		return nil, errNoUser
	case d.MemberID != "", a.UserID != "" && a.UserID != d.UserID:
		return nil, errUser
	case !d.ExpiresAt.After(now):
		return nil, errExpired
	case a.SessionToken != "" && !wellformed.SessionToken(a.SessionToken):
		return nil, errToken
	case a.SessionJWT != "" && !wellformed.JWT(a.SessionJWT):
		return nil, errJWT
	}
	d.Source, d.VerifiedAt = sessionctx.Remote, now
	a.Session = sessionctx.New(d)
	return &a, nil
}

// readRevoked reads the body of a revoke call's 200: any object, so that
// whatever else answers in Stytch's place is not taken for a logout.
func readRevoked(body string, _ time.Time) error {
	r := exactjson.New(body)
	for name := range r.Members {
		if name == "status_code" {
			statusCode(&r)
		}
	}
	return senseless(r.End())
}

// senseless makes the reader's error one of ours.
func senseless(err error) error {
	var n nonsense
	if err == nil || errors.As(err, &n) {
		return err
	}
	return fmt.Errorf("%w: %w", errNotAnswer, err)
}

// readFailure reads error_type and request_id of any answer, as they stand;
// both are empty if the body is not JSON.
func readFailure(body string) (errorType, requestID string) {
	r := exactjson.New(body)
	for name := range r.Members {
		if r.Kind() != exactjson.String {
			continue
		}
		switch name {
		case "error_type":
			errorType = r.String()
		case "request_id":
			requestID = r.String()
		}
	}
	if r.End() != nil {
		return "", ""
	}
	return errorType, requestID
}

// ids reads the two ids of a consumer session.
func ids(session string) (id, user string) {
	r := exactjson.New(session)
	for name := range r.Members {
		switch name {
		case "session_id":
			id = r.String()
		case "user_id":
			user = optional(&r)
		}
	}
	return id, user
}

// userID takes the user object, or null, and returns the user's id.
func userID(r *exactjson.Reader) (id string) {
	if r.Kind() == exactjson.Null {
		return ""
	}
	for name := range r.Members {
		if name == "user_id" {
			id = optional(r)
		}
	}
	return id
}

// statusCode takes the status that the body repeats.
func statusCode(r *exactjson.Reader) {
	if r.Kind() != exactjson.Number {
		return
	}
	if s := r.Number(); s != "200" && s != "201" {
		r.Fail(errStatus)
	}
}

// optional takes a string, or null for "".
func optional(r *exactjson.Reader) string {
	if r.Kind() == exactjson.Null {
		return ""
	}
	return r.String()
}
