// Package securitytest holds SECURITY.md against the tests it names, and
// carries the tests of what happened to others.
package securitytest
