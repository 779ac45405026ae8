// SPDX-License-Identifier: BSD-3-Clause

// The daemon as a process: how it is started, what is read from its log, how it must end.

package interop

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

var (
	listeningLine = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)
	nodeLine      = regexp.MustCompile(`the node for a DERPMap: (\{.*\})`)
	keyLine       = regexp.MustCompile(`nodekey:[0-9a-f]{64}`)
	counterPair   = regexp.MustCompile(`(?:^|[\s,])([a-z][a-z0-9_]*)=([0-9]+)(?:$|[\s,])`)
)

type daemon struct {
	cmd    *exec.Cmd
	pinned bool          // clients know it by the hash of its certificate
	ready  chan struct{} // closed when the log has told the address, the key and where pinned the node
	exited chan struct{} // closed when the process has ended; then exitErr is set

	exitErr  error
	signaled bool
	trusted  *x509.CertPool // with TLS

	mu    sync.Mutex // guards the rest, which the reader of the log writes
	lines strings.Builder
	addr  string
	key   key.NodePublic
	entry *tailcfg.DERPNode
	pairs counters
}

// writeConfiguration writes the file of a relay, and returns its name.
func writeConfiguration(t *testing.T, c cell, s settings) string {
	t.Helper()
	text := s.more + fmt.Sprintf(`
key_file = "%s/derp.key"
[[listener]]
address = "%s"
tls = %v
[metrics]
address = ""
[stun]
address = "127.0.0.1:0"
[tls]
hostname = "%s"
`, s.folder, s.listen, c.tls, s.host)
	if s.identity != nil {
		text += fmt.Sprintf("cert = %q\nkey = %q\n", s.identity.write(t, s.folder),
			filepath.Join(s.folder, identityKeyFile))
	}
	if s.meshKey != "" {
		text += meshLines(t, s)
	}
	if s.access != nil {
		text += s.access.lines()
	}
	name := filepath.Join(s.folder, "config.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func startDaemon(ctx context.Context, t *testing.T, c cell, s settings) *daemon {
	t.Helper()
	d := &daemon{
		pinned: c.tls && s.identity == nil,
		ready:  make(chan struct{}),
		exited: make(chan struct{}),
		pairs:  counters{},
	}
	where := []string{"--listen", s.listen}
	if c.tls || s.more != "" || s.meshKey != "" || s.access != nil {
		where = []string{"--config", writeConfiguration(t, c, s)}
	}
	if s.takeover {
		where = append(where, "--takeover")
	}
	d.cmd = exec.Command(os.Getenv("HYPER_DERP"), append(where,
		"--workers", strconv.Itoa(c.workers), "--engine", c.engine, "--log-level", "debug")...)
	// A test that is killed must not leave a relay behind.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.exited)
		d.readLog(stderr)
		d.exitErr = d.cmd.Wait()
	}()
	t.Cleanup(func() { d.kill() })

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case <-d.ready:
		if c.tls {
			d.trusted = trustedRoots(t, s)
		}
	case <-d.exited:
		t.Fatalf("%s: ended before it listened: %v\n%s(where io_uring is forbidden, set "+
			"INTEROP_ENGINES=epoll)", d.cmd, d.exitErr, d.log())
	case <-ctx.Done():
		t.Fatalf("%s: its log did not tell the address and the key in time\n%s", d.cmd, d.log())
	}
	return d
}

// readLog keeps every line and picks out what the tests need, until the process closes its end.
func (d *daemon) readLog(stderr io.Reader) {
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		d.noteLine(line)
		if err != nil {
			return
		}
	}
}

func (d *daemon) noteLine(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines.WriteString(line)

	if !d.isReady() {
		if match := listeningLine.FindStringSubmatch(line); match != nil {
			d.addr = match[1]
		}
		// The first key in the log is the relay's own: no client has connected yet.
		if text := keyLine.FindString(line); text != "" && d.key.IsZero() {
			if err := d.key.UnmarshalText([]byte(text)); err != nil {
				fmt.Fprintf(&d.lines, "interop: %v\n", err)
			}
		}
		if match := nodeLine.FindStringSubmatch(line); match != nil {
			d.entry = new(tailcfg.DERPNode)
			if err := json.Unmarshal([]byte(match[1]), d.entry); err != nil {
				fmt.Fprintf(&d.lines, "interop: %v\n", err)
			}
		}
		if d.isReady() {
			close(d.ready)
		}
	}

	for text := line; ; {
		match := counterPair.FindStringSubmatchIndex(text)
		if match == nil {
			break
		}
		name, digits := text[match[2]:match[3]], text[match[4]:match[5]]
		if value, err := strconv.ParseUint(digits, 10, 64); err == nil {
			d.pairs[name] = value
		}
		// The space behind a pair may be the one in front of the next.
		text = text[match[5]:]
	}
}

// isReady tells whether the log has told all that is needed.
func (d *daemon) isReady() bool {
	return d.addr != "" && !d.key.IsZero() && (d.entry != nil || !d.pinned)
}

func (d *daemon) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines.String()
}

func (d *daemon) address() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addr
}

func (d *daemon) publicKey() key.NodePublic {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.key
}

func (d *daemon) roots() *x509.CertPool { return d.trusted }

// node is the one that the log proposes for a DERPMap; nil when it proposes none, as any map will do.
func (d *daemon) node() *tailcfg.DERPNode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entry
}

// signal sends the signal that asks for an orderly end; stop then waits for it.
func (d *daemon) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	d.signaled = true
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Errorf("cannot send %v: %v", sig, err)
	}
}

// stop ends the daemon with SIGTERM, unless it got a signal already, and checks its exit status.
func (d *daemon) stop(t *testing.T) counters {
	t.Helper()
	if !d.signaled {
		d.signal(t, syscall.SIGTERM)
	}
	late := time.NewTimer(exitDeadline)
	defer late.Stop()
	select {
	case <-d.exited:
	case <-late.C:
		t.Errorf("the daemon still runs %v after it was asked to end", exitDeadline)
		d.kill()
	}
	if d.exitErr != nil {
		t.Errorf("the daemon ended with %v, not with exit status 0", d.exitErr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pairs
}

// kill ends the daemon at once, as a crash would, and waits until it is gone.
func (d *daemon) kill() {
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err)
	}
	<-d.exited
}

// counters are the figures that the daemon logs at its end, by name.
type counters map[string]uint64

// checkAtRest checks what must hold of the counters whatever a test did: every packet that came in
// was delivered or dropped for a reason, and nothing is left over.
func (c counters) checkAtRest(t *testing.T) {
	t.Helper()
	var drops uint64
	for _, reason := range []string{"unknown_peer", "queue_full", "gone", "write_error", "memory",
		"duplicate_key", "expired"} {
		for _, kind := range []string{"data", "disco"} {
			drops += c.get(t, "drop_"+reason+"_"+kind)
		}
	}
	received, delivered := c.get(t, "packets_received"), c.get(t, "packets_delivered")
	if received != delivered+drops {
		t.Errorf("%d packets received, but %d delivered + %d dropped = %d",
			received, delivered, drops, delivered+drops)
	}
	for _, gauge := range []string{"connections", "peers_active", "home_clients", "queued_bytes",
		"muted_connections", "not_ideal_connections"} {
		c.check(t, gauge, 0)
	}
}

// get returns a counter; one that was not logged is an error.
func (c counters) get(t *testing.T, name string) uint64 {
	t.Helper()
	value, ok := c[name]
	if !ok {
		t.Errorf("the daemon did not log the counter %s at its end", name)
	}
	return value
}

// check compares a counter with what the test did. Without counters there is nothing to compare.
func (c counters) check(t *testing.T, name string, want uint64) {
	t.Helper()
	if c == nil {
		return
	}
	if got := c.get(t, name); got != want {
		t.Errorf("counter %s is %d, want %d", name, got, want)
	}
}
