package main

import (
	"os"
	"testing"

	"github.com/stytchware/stytchware/examples/internal/demotest"
)

func TestMain(m *testing.M) { os.Exit(demotest.Main(m, main)) }

func TestRoutes(t *testing.T) { demotest.Run(t, routes) }

func TestProgram(t *testing.T) { demotest.Program(t) }
