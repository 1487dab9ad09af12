package stytchtest

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Message is something a person would have received.
type Message struct {
	Kind     string    // "magic_link" or "sms"
	To       string    // the e-mail address or the phone number
	Token    string    // of a magic link: what /v1/magic_links/authenticate takes
	URL      string    // of a magic link: the link itself, if the request named a URL
	Code     string    // of an SMS: what /v1/otps/authenticate takes
	MethodID string    // email_id or phone_id
	UserID   string    // of the person
	SentAt   time.Time // by the process's clock
}

// delivery is a message and what became of it.
type delivery struct {
	Message
	expiresAt time.Time
	used      bool
	failures  int // wrong codes
}

// maxFailures is how many wrong codes use a code up.
const maxFailures = 5

// Inbox returns the messages sent, oldest first; no more than
// Options.MaxMessages are kept.
func (p *Project) Inbox() []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	messages := make([]Message, len(p.inbox))
	for i, d := range p.inbox {
		messages[i] = d.Message
	}
	return messages
}

// send is called with p.mu held.
func (p *Project) send(d *delivery) {
	if len(p.inbox) >= p.maxInbox {
		p.inbox = slices.Delete(p.inbox, 0, len(p.inbox)-p.maxInbox+1)
	}
	p.inbox = append(p.inbox, d)
}

// newest returns the newest message of which match is true; it is called with
// p.mu held.
func (p *Project) newest(match func(*delivery) bool) *delivery {
	for _, d := range slices.Backward(p.inbox) {
		if match(d) {
			return d
		}
	}
	return nil
}

// user is a user of the project, guarded by Project.mu.
type user struct {
	id             string
	createdAt      time.Time
	email, emailID string
	emailVerified  bool
	phones         []phone
}

type phone struct {
	ID       string `json:"phone_id"`
	Number   string `json:"phone_number"`
	Verified bool   `json:"verified"`
}

// maxPhones bounds a user's phone numbers.
const maxPhones = 10

// addUser is called with p.mu held.
func (p *Project) addUser(u *user) {
	p.users.add(u.id, u, func(old *user) {
		if p.byEmail[old.email] == old {
			delete(p.byEmail, old.email)
		}
		for _, ph := range old.phones {
			if p.byPhone[ph.Number] == old {
				delete(p.byPhone, ph.Number)
			}
		}
	})
	if u.email != "" {
		p.byEmail[u.email] = u
	}
}

// apiUser is a user as the API answers it, as far as the project knows users.
type apiUser struct {
	UserID string `json:"user_id"`
	Name   struct {
		First  string `json:"first_name"`
		Middle string `json:"middle_name"`
		Last   string `json:"last_name"`
	} `json:"name"`
	Emails       []apiEmail `json:"emails"`
	PhoneNumbers []phone    `json:"phone_numbers"`
	Status       string     `json:"status"`
	CreatedAt    string     `json:"created_at"`
	Roles        []string   `json:"roles"`
}

type apiEmail struct {
	ID       string `json:"email_id"`
	Email    string `json:"email"`
	Verified bool   `json:"verified"`
}

// apiUser is called with p.mu held; the answer may be used without.
func (p *Project) apiUser(id string) *apiUser {
	a := &apiUser{UserID: id, Emails: []apiEmail{}, PhoneNumbers: []phone{}, Status: "active", Roles: []string{"stytch_user"}}
	if u, ok := p.users.get(id); ok {
		a.CreatedAt = formatTime(u.createdAt)
		if u.email != "" {
			a.Emails = append(a.Emails, apiEmail{u.emailID, u.email, u.emailVerified})
		}
		a.PhoneNumbers = append(a.PhoneNumbers, u.phones...)
	}
	return a
}

var (
	errEmail         = &apiError{400, "invalid_email", "The email is not valid."}
	errMagicLinkURL  = &apiError{400, "invalid_magic_link_url", "The magic_link_url format is invalid."}
	errExpiration    = &apiError{400, "invalid_expiration", "The expiration is not within the allowed range."}
	errNoMagicLink   = &apiError{404, "magic_link_not_found", "The magic link could not be found."}
	errUsedMagicLink = &apiError{401, "unable_to_auth_magic_link", "The magic link could not be authenticated because it was either already used or expired. Send another magic link to this user."}
	errPhoneNumber   = &apiError{400, "invalid_phone_number", "The phone_number is not in E.164 format."}
	errNoPhone       = &apiError{404, "phone_number_not_found", "Phone number could not be found."}
	errNoCode        = &apiError{404, "otp_code_not_found", "The OTP code could not be found."}
	errWrongCode     = &apiError{401, "unable_to_auth_otp_code", "The OTP code could not be authenticated because it was wrong, already used or expired."}
	errToken         = &apiError{400, "invalid_token", "Please include a token."}
	errMethodID      = &apiError{400, "invalid_method_id", "Please include a method_id."}
	errCode          = &apiError{400, "invalid_code", "Please include a code."}
)

// minutes reads an optional number of minutes within a range.
func minutes(raw json.Number, def, most int) (time.Duration, *apiError) {
	if raw == "" {
		return time.Duration(def) * time.Minute, nil
	}
	n, err := strconv.Atoi(raw.String())
	if err != nil || n < 1 || n > most {
		return 0, errExpiration
	}
	return time.Duration(n) * time.Minute, nil
}

func (p *Project) sendMagicLink(r *http.Request) (any, *apiError) {
	var a struct {
		Email         string      `json:"email"`
		LoginURL      string      `json:"login_magic_link_url"`
		SignupURL     string      `json:"signup_magic_link_url"`
		LoginMinutes  json.Number `json:"login_expiration_minutes"`
		SignupMinutes json.Number `json:"signup_expiration_minutes"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	if address, err := mail.ParseAddress(a.Email); err != nil || address.Address != a.Email {
		return nil, errEmail
	}
	const oneHour, oneWeek = 60, 7 * 24 * 60
	loginLife, err := minutes(a.LoginMinutes, oneHour, oneWeek)
	if err != nil {
		return nil, err
	}
	signupLife, err := minutes(a.SignupMinutes, oneWeek, oneWeek)
	if err != nil {
		return nil, err
	}
	token := newToken()
	loginURL, err := magicLink(a.LoginURL, token)
	if err != nil {
		return nil, err
	}
	signupURL, err := magicLink(a.SignupURL, token)
	if err != nil {
		return nil, err
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	at := now()
	link, life := loginURL, loginLife
	u, known := p.byEmail[a.Email]
	if !known {
		u = &user{id: p.newID("user"), createdAt: at, email: a.Email, emailID: p.newID("email")}
		p.addUser(u)
		link, life = signupURL, signupLife
	}
	p.send(&delivery{
		Message: Message{
			Kind: "magic_link", To: a.Email, Token: token, URL: link,
			MethodID: u.emailID, UserID: u.id, SentAt: at,
		},
		expiresAt: at.Add(life),
	})
	return struct {
		StatusCode  int    `json:"status_code"`
		RequestID   string `json:"request_id"`
		UserID      string `json:"user_id"`
		EmailID     string `json:"email_id"`
		UserCreated bool   `json:"user_created"`
	}{200, p.newRequestID(), u.id, u.emailID, !known}, nil
}

// magicLink adds the token to a link's URL, if there is one.
func magicLink(base, token string) (string, *apiError) {
	if base == "" {
		return "", nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "", errMagicLinkURL
	}
	q := u.Query()
	q.Set("stytch_token_type", "magic_links")
	q.Set("token", token)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (p *Project) authenticateMagicLink(r *http.Request) (any, *apiError) {
	var a struct {
		sessionArguments
		Token      string                `json:"token"`
		Attributes sessionctx.Attributes `json:"attributes"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	if a.Token == "" {
		return nil, errToken
	}
	return p.logIn(&a.sessionArguments, a.Attributes, func(at time.Time) (*delivery, Factor, *apiError) {
		d := p.newest(func(d *delivery) bool { return d.Kind == "magic_link" && d.Token == a.Token })
		switch {
		case d == nil:
			return nil, Factor{}, errNoMagicLink
		case d.used || !at.Before(d.expiresAt):
			return nil, Factor{}, errUsedMagicLink
		}
		return d, emailFactor("magic_link", d.MethodID, d.To), nil
	})
}

// e164 is the form of a phone number (ITU-T E.164).
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func (p *Project) sendSMS(r *http.Request) (any, *apiError) {
	var a struct {
		sessionArguments
		PhoneNumber string      `json:"phone_number"`
		UserID      string      `json:"user_id"`
		Minutes     json.Number `json:"expiration_minutes"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	if _, err := a.check(); err != nil {
		return nil, err
	}
	if !e164.MatchString(a.PhoneNumber) {
		return nil, errPhoneNumber
	}
	life, err := minutes(a.Minutes, 2, 10)
	if err != nil {
		return nil, err
	}
	id, err := p.idOf(a.SessionJWT)
	if err != nil {
		return nil, err
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	at := now()
	u := p.byPhone[a.PhoneNumber]
	userID := a.UserID
	if a.SessionToken != "" || a.SessionJWT != "" {
		s, err := p.find(a.SessionToken, id, at)
		if err != nil {
			return nil, err
		}
		if userID != "" && userID != s.userID {
			return nil, errSessionUser
		}
		userID = s.userID
	}
	switch {
	case userID == "" && u == nil:
		return nil, errNoPhone
	case userID != "" && u != nil && u.id != userID:
		return nil, errSessionUser
	case u == nil:
		var known bool
		if u, known = p.users.get(userID); !known {
			return nil, errUserNotFound
		}
	}
	ph := u.phone(a.PhoneNumber)
	if ph == nil {
		if len(u.phones) >= maxPhones {
			return nil, errPhoneNumber
		}
		u.phones = append(u.phones, phone{ID: p.newID("phone-number"), Number: a.PhoneNumber})
		ph = &u.phones[len(u.phones)-1]
		p.byPhone[a.PhoneNumber] = u
	}
	p.send(&delivery{
		Message: Message{
			Kind: "sms", To: a.PhoneNumber, Code: newCode(),
			MethodID: ph.ID, UserID: u.id, SentAt: at,
		},
		expiresAt: at.Add(life),
	})
	return struct {
		StatusCode int    `json:"status_code"`
		RequestID  string `json:"request_id"`
		UserID     string `json:"user_id"`
		PhoneID    string `json:"phone_id"`
	}{200, p.newRequestID(), u.id, ph.ID}, nil
}

func (u *user) phone(number string) *phone {
	for i := range u.phones {
		if u.phones[i].Number == number {
			return &u.phones[i]
		}
	}
	return nil
}

// newCode returns six digits.
func newCode() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(b[:])%1_000_000)
}

func (p *Project) authenticateOTP(r *http.Request) (any, *apiError) {
	var a struct {
		sessionArguments
		MethodID   string                `json:"method_id"`
		Code       string                `json:"code"`
		Attributes sessionctx.Attributes `json:"attributes"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	switch {
	case a.MethodID == "":
		return nil, errMethodID
	case a.Code == "":
		return nil, errCode
	}
	return p.logIn(&a.sessionArguments, a.Attributes, func(at time.Time) (*delivery, Factor, *apiError) {
		d := p.newest(func(d *delivery) bool { return d.Kind == "sms" && d.MethodID == a.MethodID })
		if d == nil {
			return nil, Factor{}, errNoCode
		}
		if subtle.ConstantTimeCompare([]byte(d.Code), []byte(a.Code)) != 1 {
			d.failures++
			return nil, Factor{}, errWrongCode
		}
		if d.used || d.failures >= maxFailures || !at.Before(d.expiresAt) {
			return nil, Factor{}, errWrongCode
		}
		return d, phoneFactor("sms", d.MethodID, d.To), nil
	})
}

// logIn authenticates a message: redeem, called with p.mu held, finds it and
// says which factor it proves. The factor is added to the session that the
// arguments name, or makes a session if they have a duration.
func (p *Project) logIn(a *sessionArguments, attributes sessionctx.Attributes, redeem func(time.Time) (*delivery, Factor, *apiError)) (any, *apiError) {
	d, err := a.check()
	if err != nil {
		return nil, err
	}
	id, err := p.idOf(a.SessionJWT)
	if err != nil {
		return nil, err
	}
	answer, err := func() (func() *sessionAnswer, *apiError) {
		p.mu.Lock()
		defer p.mu.Unlock()
		at := now()
		message, f, err := redeem(at)
		if err != nil {
			return nil, err
		}
		var s *session
		if a.SessionToken != "" || a.SessionJWT != "" {
			if s, err = p.find(a.SessionToken, id, at); err != nil {
				return nil, err
			}
			if s.userID != message.UserID {
				return nil, errSessionUser
			}
		}
		var answer func() *sessionAnswer
		switch {
		case s != nil:
			if answer, err = p.use(s, a, d, at, f.stored(at)); err != nil {
				return nil, err
			}
		case d > 0:
			s = &session{
				id: p.newID("session"), userID: message.UserID, token: newToken(),
				startedAt: at, attributes: attributes, roles: []string{"stytch_user"},
			}
			if answer, err = p.use(s, a, d, at, f.stored(at)); err != nil {
				return nil, err
			}
			p.addSession(s)
		default:
			// Without a duration Stytch only says who it was.
			only := &sessionAnswer{StatusCode: 200, RequestID: p.newRequestID()}
			answer = func() *sessionAnswer { return only }
		}
		message.used = true
		p.verify(message)
		user := p.apiUser(message.UserID)
		return func() *sessionAnswer {
			full := answer()
			full.MethodID, full.UserID, full.User = message.MethodID, message.UserID, user
			return full
		}, nil
	}()
	if err != nil {
		return nil, err
	}
	return answer(), nil
}

// verify marks the address of a message as its user's; it is called with p.mu
// held.
func (p *Project) verify(d *delivery) {
	u, ok := p.users.get(d.UserID)
	if !ok {
		return
	}
	if ph := u.phone(d.To); ph != nil {
		ph.Verified = true
	} else if u.email == d.To {
		u.emailVerified = true
	}
}
