// SPDX-License-Identifier: BSD-3-Clause

// How a relay ends and comes back: an orderly end that tells its clients, and a sudden one.

package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/types/key"
)

func TestOrderlyEnd(t *testing.T) {
	skipOnReference(t, "it is no process and does not announce its end")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
				peers := r.connectSeveral(ctx, t, 6)
				checkPair(ctx, t, peers[0], peers[1])

				// Connections in the middle of their handshake must not delay the end.
				r.dialTCP(ctx, t)
				r.dial(ctx, t)
				halfRequest := r.dial(ctx, t)
				if _, err := halfRequest.Write([]byte("GET /derp HTTP/1.1\r\nHost:")); err != nil {
					t.Fatal(err)
				}
				requestUpgrade(t, buffered(r.dial(ctx, t)), r.address())

				r.daemon().signal(t, sig)
				for _, p := range peers {
					expectRestarting(ctx, t, p)
				}
				r.finish(t)
			})
		})
	}
}

// TestEndDespiteStubbornClient: a client that takes no notice of the end does not prevent it.
func TestEndDespiteStubbornClient(t *testing.T) {
	skipOnReference(t, "it closes without asking")
	forEachCellAtOnce(t, func(ctx context.Context, t *testing.T, r *relay) {
		stubborn := &peer{name: "stubborn", private: key.NewNode()}
		stubborn.useDialed(r.dial(ctx, t))
		brw := buffered(stubborn.conn)
		requestUpgrade(t, brw, r.address())
		stubborn.useConn(t, brw)
		if _, err := stubborn.client.Recv(); err != nil {
			t.Fatal(err)
		}
		// It neither reads nor closes. finish checks how long the end takes.
		r.finish(t)
	})
}

// expectRestarting waits for the announcement and for the end of the connection. A peer whose
// connection ended before may be reported as gone in between.
func expectRestarting(ctx context.Context, t *testing.T, p *peer) {
	t.Helper()
	announced := false
	for _, message := range p.expectEnd(ctx, t, exitDeadline) {
		switch message.(type) {
		case derp.ServerRestartingMessage:
			announced = true
		case derp.PeerGoneMessage:
		default:
			t.Errorf("%s got %s", p.name, describe(message))
		}
	}
	if !announced {
		t.Errorf("%s was not told that the relay restarts", p.name)
	}
}

// TestKilledAndStartedAgain kills the relay while clients are connected. The next one must be able
// to bind the port at once although the kernel still knows connections of the first, and
// Tailscale's client finds its way back.
func TestKilledAndStartedAgain(t *testing.T) {
	skipOnReference(t, "it is no process")
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connectAs(ctx, t, "a", key.NewNode(), byHTTPClient)
		b := r.connectAs(ctx, t, "b", key.NewNode(), byHTTPClient)
		checkPair(ctx, t, a, b)

		// Nothing to check in the counters of a relay that is killed.
		r.stopped = true
		r.daemon().kill()
		for _, p := range []*peer{a, b} {
			p.expectEnd(ctx, t, prompt)
		}

		again := startRelay(ctx, t, r.cell, settings{listen: r.address(), folder: r.folder})
		if again.address() != r.address() {
			t.Fatalf("listens on %s, want %s", again.address(), r.address())
		}
		for _, p := range []*peer{a, b} {
			p.listen() // Recv connects anew
			expect[derp.ServerInfoMessage](ctx, t, p)
			got := p.client.(*derphttp.Client).ServerPublicKey()
			if got != again.publicKey() {
				t.Errorf("%s is connected to %v, not to %v", p.name, got, again.publicKey())
			}
		}
		checkPair(ctx, t, a, b)
		again.finish(t).check(t, "handshakes_ok", 2)
	})
}

// TestTakeover exchanges the process while clients are connected: each is told, and Tailscale's
// client is with the new one after one reconnect.
func TestTakeover(t *testing.T) {
	skipOnReference(t, "it is no process")
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		folder := t.TempDir()
		more := fmt.Sprintf("takeover.socket = %q\n", filepath.Join(folder, "takeover.sock"))
		before := startRelay(ctx, t, r.cell, settings{folder: folder, more: more})
		a := before.connectAs(ctx, t, "a", key.NewNode(), byHTTPClient)
		b := before.connectAs(ctx, t, "b", key.NewNode(), byHTTPClient)
		checkPair(ctx, t, a, b)

		after := startRelay(ctx, t, r.cell, settings{listen: before.address(), folder: folder, more: more, takeover: true})
		for _, p := range []*peer{a, b} {
			expectRestarting(ctx, t, p)
		}
		before.daemon().signaled = true // it ends by itself
		before.finish(t).check(t, "handshakes_ok", 2)
		for _, p := range []*peer{a, b} {
			p.listen() // Recv connects anew
			expect[derp.ServerInfoMessage](ctx, t, p)
		}
		if after.publicKey() != before.publicKey() {
			t.Errorf("the new one is %v, not %v", after.publicKey(), before.publicKey())
		}
		checkPair(ctx, t, a, b)
		after.finish(t).check(t, "handshakes_ok", 2)
	})
}
