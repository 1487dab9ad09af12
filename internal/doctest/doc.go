// Package doctest has only tests: they compile the Go code in the project's
// Markdown documents.
package doctest
