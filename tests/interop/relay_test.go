// SPDX-License-Identifier: BSD-3-Clause

// Package interop runs Tailscale's own DERP clients against a relay. This file starts and stops the
// relay under test: the daemon, or Tailscale's own server, against which the tests prove themselves.
package interop

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const (
	// cellDeadline bounds one test on one relay. Nothing here takes a fraction of it; a relay built
	// with sanitizers needs some room.
	cellDeadline = 30 * time.Second

	// prompt is how fast a connection that breaks the rules must end. It lies well below the ten
	// seconds that a handshake may take, so that a close at the deadline does not pass for one.
	prompt = 3 * time.Second

	// exitDeadline bounds the time from SIGTERM to the end of the daemon.
	exitDeadline = 10 * time.Second
)

// A cell is one combination of settings that the whole suite runs with.
type cell struct {
	engine  string
	workers int
	tls     bool // clients speak TLS
}

func (c cell) String() string {
	name := c.engine
	if c.engine != referenceName {
		name = fmt.Sprintf("%s/%d", c.engine, c.workers)
	}
	if c.tls {
		name += "/tls"
	}
	return name
}

// matrix holds the cells of this run; TestMain sets it.
var matrix []cell

func TestMain(m *testing.M) {
	var err error
	if matrix, err = chooseMatrix(); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// chooseMatrix reads the environment. A run without a relay is an error and never a skip: it would
// look like a success.
func chooseMatrix() ([]cell, error) {
	switch ref := os.Getenv("INTEROP_REFERENCE"); ref {
	case "":
	case referenceName:
		return []cell{{engine: referenceName}, {engine: referenceName, tls: true}}, nil
	default:
		return nil, fmt.Errorf("INTEROP_REFERENCE=%q: only %q is known", ref, referenceName)
	}

	path := os.Getenv("HYPER_DERP")
	if path == "" {
		return nil, fmt.Errorf("no relay to test: set HYPER_DERP to the hyper-derp program, or "+
			"INTEROP_REFERENCE=%s to run against Tailscale's own server", referenceName)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("HYPER_DERP: %w", err)
	}

	known := []string{"io_uring", "epoll"}
	engines := known
	if list := os.Getenv("INTEROP_ENGINES"); list != "" {
		engines = strings.Split(list, ",")
	}
	var cells []cell
	for _, engine := range engines {
		if !slices.Contains(known, engine) {
			return nil, fmt.Errorf("INTEROP_ENGINES: %q is none of %s", engine,
				strings.Join(known, ", "))
		}
		for _, workers := range []int{1, 3} {
			cells = append(cells, cell{engine: engine, workers: workers},
				cell{engine: engine, workers: workers, tls: true})
		}
	}
	return cells, nil
}

// forEachCell runs a test once for each cell, each time with a relay of its own, which is stopped
// and checked at the end.
func forEachCell(t *testing.T, test func(ctx context.Context, t *testing.T, r *relay)) {
	t.Helper()
	for _, c := range matrix {
		t.Run(c.String(), func(t *testing.T) {
			runCell(t, c, test)
		})
	}
}

// forEachTLSCell does the same with the cells that speak TLS alone.
func forEachTLSCell(t *testing.T, test func(ctx context.Context, t *testing.T, r *relay)) {
	t.Helper()
	for _, c := range matrix {
		if c.tls {
			t.Run(c.String(), func(t *testing.T) {
				runCell(t, c, test)
			})
		}
	}
}

// forEachCellAtOnce does the same with all cells side by side, and beside other such tests: it is
// for those that mostly wait.
func forEachCellAtOnce(t *testing.T, test func(ctx context.Context, t *testing.T, r *relay)) {
	t.Helper()
	t.Parallel()
	for _, c := range matrix {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			runCell(t, c, test)
		})
	}
}

func runCell(t *testing.T, c cell, test func(ctx context.Context, t *testing.T, r *relay)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
	defer cancel()
	test(ctx, t, startRelay(ctx, t, c, settings{}))
}

// isReference tells whether the relay is Tailscale's own server.
func (r *relay) isReference() bool { return r.engine == referenceName }

// skipOnReference skips what Tailscale's server does not do, or does in another way.
func skipOnReference(t *testing.T, why string) {
	t.Helper()
	if matrix[0].engine == referenceName {
		t.Skip("not on the reference server: " + why)
	}
}

// A server is what can stand behind a relay.
type server interface {
	address() string
	publicKey() key.NodePublic
	// node is what a DERPMap says of the server; nil without TLS.
	node() *tailcfg.DERPNode
	// roots are the certificates that a client must trust; nil without TLS.
	roots() *x509.CertPool
	// stop ends the server in an orderly way and returns its counters, nil when it has none.
	stop(t *testing.T) counters
	log() string
}

// settings are what a test may ask of a relay; all may be left out.
type settings struct {
	listen   string    // address and port
	host     string    // the name that clients know it by
	folder   string    // of its key and certificates: another relay in it is the same for clients
	identity *identity // what it shows to clients; nil: what it made itself
	more     string    // lines of the configuration, which begin at its top
	meshKey  string    // 64 hexadecimal digits
	meshWith []*relay  // nodes of the region that this one is to connect to
	fighters bool      // keys that are fought about are muted; ours always does that
	access   *access   // who may join; nil: everybody
	takeover bool      // it takes the place of the one that runs
}

func (s *settings) complete(t *testing.T) {
	t.Helper()
	if s.listen == "" {
		s.listen = "127.0.0.1:0"
	}
	if s.host == "" {
		s.host = "127.0.0.1"
	}
	if s.folder == "" {
		s.folder = t.TempDir()
	}
}

// A relay is a running server and what the tests need to know of it.
type relay struct {
	cell
	server
	settings
	stopped  bool
	counters counters
}

// startRelay starts the relay of a cell. When the test ends it is stopped and checked, if the test
// did not do so itself; its log is shown if the test failed.
func startRelay(ctx context.Context, t *testing.T, c cell, s settings) *relay {
	t.Helper()
	s.complete(t)
	r := &relay{cell: c, settings: s}
	if c.engine == referenceName {
		r.server = startReference(t, c, s)
	} else {
		r.server = startDaemon(ctx, t, c, s)
	}
	t.Cleanup(func() {
		r.finish(t)
		if t.Failed() {
			t.Logf("log of the relay %s:\n%s", c, r.log())
		}
	})
	return r
}

// finish stops the relay unless that was done before, and checks that it accounts for every packet.
// The counters are nil on the reference server.
func (r *relay) finish(t *testing.T) counters {
	t.Helper()
	if r.stopped {
		return r.counters
	}
	r.stopped = true
	r.counters = r.stop(t)
	if r.counters != nil {
		r.counters.checkAtRest(t)
	}
	return r.counters
}

// daemon returns the process behind the relay, for tests that are skipped on the reference server.
func (r *relay) daemon() *daemon {
	return r.server.(*daemon)
}
