package doctest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTranscript types the README's curl transcript into a shell, against the
// example program, and compares what it prints.
func TestTranscript(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sed", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the transcript needs %s", tool)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindStringSubmatch(string(readme))
	if block == nil {
		t.Fatal("README.md has no transcript")
	}

	program := filepath.Join(t.TempDir(), "nethttp")
	build := exec.Command("go", "build", "-o", program, "./examples/nethttp")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "STYTCH_") && !strings.HasPrefix(v, "COOKIE") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "ADDR=127.0.0.1:0")
	said, err := cmd.StdoutPipe() // where it listens comes here; the log goes to stderr
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	var origin string
	for lines := bufio.NewScanner(said); origin == "" && lines.Scan(); {
		origin = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text())
	}
	if origin == "" {
		t.Fatal("the example did not say where it listens")
	}
	// The commands in one shell; a mark between their outputs.
	const mark = "----8<----"
	var script strings.Builder
	var want []string
	script.WriteString("cd " + t.TempDir() + "\nexport no_proxy='*'\n")
	for line := range strings.Lines(block[1]) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			script.WriteString("echo '" + mark + "'\n" + strings.ReplaceAll(command, "http://127.0.0.1:8080", origin))
			want = append(want, "")
			continue
		}
		want[len(want)-1] += line
	}
	shell := exec.Command("bash")
	shell.Stdin = strings.NewReader(script.String())
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	got := strings.Split(strings.ReplaceAll(string(out), "\r", ""), mark+"\n")[1:]
	if len(got) != len(want) {
		t.Fatalf("%d outputs of %d commands:\n%s", len(got), len(want), out)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("command %d printed %q, the README says %q", i+1, got[i], want[i])
		}
	}
}
