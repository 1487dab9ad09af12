package demotest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram in the environment makes a test binary be the program.
const asProgram = "STYTCHWARE_TEST_AS_PROGRAM=1"

// Main is for TestMain: it runs the tests, or main where [Program] started the
// test binary in place of the program.
func Main(m *testing.M, main func()) int {
	name, value, _ := strings.Cut(asProgram, "=")
	if os.Getenv(name) != value {
		return m.Run()
	}
	main()
	return 0
}

// command is the program with an environment of nothing but the variables
// given.
func command(t *testing.T, variables ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, self)
	// GOCOVERDIR keeps a binary built for coverage from complaining.
	c.Env = append([]string{asProgram, "GOCOVERDIR=" + t.TempDir()}, variables...)
	return c
}

// Program checks the program as a process: its start, its mistakes and its
// end.
func Program(t *testing.T) {
	t.Run("mistakes", func(t *testing.T) {
		for _, test := range []struct {
			name      string
			variables []string
			want      []string
		}{
			{"half an account", []string{"STYTCH_PROJECT_ID=project-test-1"}, []string{"STYTCH_SECRET is not"}},
			{"other half", []string{"STYTCH_SECRET=hush-hush"}, []string{"STYTCH_PROJECT_ID is not"}},
			{"several at once", []string{"STYTCH_SECRET=hush-hush", "OPAQUE_TTL=soon", "COOKIES=private", "COOKIE_KEYS=00ff"}, []string{"STYTCH_PROJECT_ID is not", "OPAQUE_TTL", "middleware: "}},
			{"no address", []string{"ADDR=nowhere"}, []string{"ADDR"}},
		} {
			t.Run(test.name, func(t *testing.T) {
				fails(t, command(t, test.variables...), test.want...)
			})
		}
	})
	t.Run("address in use", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		fails(t, command(t, "ADDR="+ln.Addr().String()), ln.Addr().String()+" is in use")
	})
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) { shutdown(t, sig) })
	}
}

// fails runs c and wants status 1 and exactly these lines on stderr.
func fails(t *testing.T, c *exec.Cmd, want ...string) {
	t.Helper()
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	_ = c.Run()
	lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
	if code := c.ProcessState.ExitCode(); code != 1 || len(lines) != len(want) {
		t.Fatalf("status %d with %q, want 1 and %d lines", code, stderr.String(), len(want))
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) || strings.Contains(line, "hush") {
			t.Errorf("line %d is %q, want %q in it", i, line, want[i])
		}
	}
	if stdout.String() != "" {
		t.Errorf("a program that does not start says %q", stdout.String())
	}
}

// shutdown starts the program, logs somebody in, opens a stream, and stops the
// program.
func shutdown(t *testing.T, sig os.Signal) {
	c := command(t, "ADDR=127.0.0.1:0")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	origin := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	if err != nil || origin == "" {
		t.Fatalf("no address in %q, %v; stderr %q", line, err, stderr.String())
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string) *http.Response {
		t.Helper()
		res, err := client.Get(origin + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, res.Status)
		}
		return res
	}
	res, err := client.Post(origin+"/demo/login", "application/json", strings.NewReader(`{"email":"ada@example.com"}`))
	if err != nil || res.StatusCode != http.StatusAccepted {
		t.Fatalf("magic link: %v, %v", res, err)
	}
	res.Body.Close()
	inbox, err := io.ReadAll(get("/demo/state").Body)
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`"token":"([^"]+)"`).FindSubmatch(inbox)
	if token == nil {
		t.Fatalf("no magic link in %s", inbox)
	}
	get(fmt.Sprintf("/demo/authenticate?token=%s", token[1]))
	events := bufio.NewReader(get("/api/events").Body)
	if line, err := events.ReadString('\n'); line != "event: session\n" {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}

	began := time.Now()
	if err := c.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(events); err != nil || !strings.HasPrefix(string(rest), "data: {") {
		t.Errorf("the stream did not end cleanly: %v after %q", err, rest)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the program ended with %v; stderr %q", err, stderr.String())
	}
	// The program gives itself 4 s and says so when they are over, which is
	// looked for below; the rest is for a machine under load.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
	if strings.Contains(stderr.String(), string(token[1])) || strings.Contains(stderr.String(), "cutting off") {
		t.Errorf("stderr: %s", stderr.String())
	}
}
