// Package baseurl says which API host a Stytch project uses, so that every
// part of the module checks a configured one by the same rule.
package baseurl

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Hosts of projects without a custom domain.
const (
	Test = "https://test.stytch.com"
	Live = "https://api.stytch.com"
)

// The errors carry no prefix of their own and nothing of the value: the caller
// puts the name of the configuration field in front.
var (
	errProject = errors.New("must be a Stytch project id: project-test-… or project-live-…, letters, digits and hyphens")
	errLive    = errors.New("is Stytch's live API, but ProjectID is of a test project")
	errTest    = errors.New("is Stytch's test API, but ProjectID is of a live project")
	errURL     = errors.New("must be a URL such as https://login.example.com")
	errScheme  = errors.New("must be https; http is for a loopback address only")
	errHost    = errors.New("must have a host of letters, digits, dots and hyphens, or an IP address, and no port or one from 1 to 65535")
	errExtra   = errors.New("must have no user info, path, query or fragment")
)

// ProjectID returns an error unless id is project-test- or project-live-
// followed by letters, digits and hyphens.
func ProjectID(id string) error {
	rest, test := strings.CutPrefix(id, "project-test-")
	if !test {
		var live bool
		if rest, live = strings.CutPrefix(id, "project-live-"); !live {
			return errProject
		}
	}
	if rest == "" || strings.ContainsFunc(rest, func(c rune) bool { return !alnum(c) && c != '-' }) {
		return errProject
	}
	return nil
}

// Resolve returns the base URL to use, without a trailing slash: raw if there
// is one, otherwise the host of the project's environment. It does not look at
// the rest of projectID; that is [ProjectID].
func Resolve(projectID, raw string) (string, error) {
	if raw == "" {
		if strings.HasPrefix(projectID, "project-live-") {
			return Live, nil
		}
		return Test, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Scheme == "" {
		return "", errURL
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "", errScheme
	}
	if u.User != nil || (u.Path != "" && u.Path != "/") || strings.ContainsAny(raw, "?#") {
		return "", errExtra
	}
	loopback, ok := host(u)
	if !ok {
		return "", errHost
	}
	if u.Scheme == "http" && !loopback {
		return "", errScheme
	}
	base := u.Scheme + "://" + strings.ToLower(u.Host)
	switch {
	case base == Live && strings.HasPrefix(projectID, "project-test-"):
		return "", errLive
	case base == Test && strings.HasPrefix(projectID, "project-live-"):
		return "", errTest
	}
	return base, nil
}

// host reports whether u's host and port are well formed, and whether the host
// can only be this machine. Names under .localhost are not known to be: the
// resolver may ask the network for them.
func host(u *url.URL) (loopback, ok bool) {
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false, false
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return false, false
	}
	name := u.Hostname()
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().IsLoopback(), ip.Zone() == ""
	}
	if name == "" || strings.HasPrefix(u.Host, "[") {
		return false, false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool { return !alnum(c) && c != '-' }) {
			return false, false
		}
	}
	return strings.EqualFold(name, "localhost"), true
}

func alnum(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
