// SPDX-License-Identifier: BSD-3-Clause

package e2e

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// exitDeadline is how long a process may take to end once asked.
const exitDeadline = 20 * time.Second

// A process is a program that runs beside the tests; whoever starts it sees to its end.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended; then err is set
	err    error

	mu    sync.Mutex // guards the rest, which the reader of the log writes
	lines []string
	more  chan struct{} // closed, and made anew, with each line
}

// startProcess starts a program in a site's network, or in the relay's when there is no site.
func startProcess(t *testing.T, name string, in *site, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, exited: make(chan struct{}), more: make(chan struct{})}
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	start := cmd.Start
	if in != nil {
		start = func() error { return in.do(cmd.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.readLog(output)
		p.err = cmd.Wait()
	}()
	return p
}

// kill ends the process for good, and shows what it said if the test failed.
func (p *process) kill(t *testing.T) {
	p.cmd.Process.Kill()
	<-p.exited
	if t.Failed() {
		t.Logf("%s said:\n%s", p.name, p.log())
	}
}

// readLog keeps every line until the process closes its end.
func (p *process) readLog(output io.Reader) {
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		// tailscaled marks some lines with a zero byte, which makes a log no text for grep.
		p.lines = append(p.lines, strings.ReplaceAll(line, "\x00", ""))
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// log returns the last lines, which tell what went wrong.
func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-150):], "")
}

// awaitLine waits until the process has written a line with this text.
func (p *process) awaitLine(t *testing.T, text string) {
	t.Helper()
	late := time.After(exitDeadline)
	for next := 0; ; {
		p.mu.Lock()
		fresh, more := p.lines[next:], p.more
		next = len(p.lines)
		p.mu.Unlock()
		for _, line := range fresh {
			if strings.Contains(line, text) {
				return
			}
		}
		select {
		case <-more:
		case <-p.exited:
			t.Fatalf("%s ended before it said %q: %v", p.name, text, p.err)
		case <-late:
			t.Fatalf("%s did not say %q in %v", p.name, text, exitDeadline)
		}
	}
}

// stop ends the process with SIGTERM and checks its exit status.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(exitDeadline):
		t.Fatalf("%s still runs %v after SIGTERM", p.name, exitDeadline)
	}
	if p.err != nil {
		t.Errorf("%s ended with %v", p.name, p.err)
	}
}
