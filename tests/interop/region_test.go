// SPDX-License-Identifier: BSD-3-Clause

// Regions of several nodes: relays under test, alone and together with Tailscale's own server, whose
// clients reach each other through links that the nodes make to each other.

package interop

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
)

// regionDeadline bounds a test of a region: a link that breaks is made again within seconds.
const regionDeadline = 60 * time.Second

// meshWith makes the reference server a node of a region that includes another one, as derper does.
func (ref *reference) meshWith(ctx context.Context, t *testing.T, other *relay) {
	t.Helper()
	c, err := derphttp.NewClient(ref.derp.PrivateKey(), other.url("/derp"), ref.logf, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	if other.tls {
		c.TLSConfig = &tls.Config{RootCAs: other.roots()}
	}
	c.MeshKey = ref.derp.MeshKey()
	c.WatchConnectionChanges = true
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.RunWatchConnectionLoop(ctx, ref.publicKey(), ref.logf,
			func(m derp.PeerPresentMessage) { ref.derp.AddPacketForwarder(m.Key, c) },
			func(m derp.PeerGoneMessage) { ref.derp.RemovePacketForwarder(m.Peer, c) },
			func(error) {})
	}()
	t.Cleanup(func() {
		cancel()
		c.Close()
		<-ended
	})
}

// meshWith makes the daemon a node of a region with others, by a reload.
func (r *relay) meshWith(ctx context.Context, t *testing.T, others ...*relay) {
	t.Helper()
	if ref, ok := r.server.(*reference); ok {
		for _, other := range others {
			ref.meshWith(ctx, t, other)
		}
		return
	}
	r.settings.meshWith = others
	writeConfiguration(t, r.cell, r.settings)
	if err := r.daemon().cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		r.awaitLog(ctx, t, "mesh with "+other.url("")+": connected", 1)
	}
}

// awaitLog waits until the log has so many lines that contain a text.
func (r *relay) awaitLog(ctx context.Context, t *testing.T, text string, count int) {
	t.Helper()
	for strings.Count(r.log(), text) < count {
		select {
		case <-ctx.Done():
			t.Fatalf("the log of %s does not tell %q %d times", r.address(), text, count)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// startNode starts a relay that has the region's mesh key; with TLS it shows an identity that the
// others trust.
func startNode(ctx context.Context, t *testing.T, c cell, id *identity) *relay {
	t.Helper()
	return startRelay(ctx, t, c, settings{meshKey: meshKeyText, identity: id})
}

// startRegion starts nodes and connects each to all others.
func startRegion(ctx context.Context, t *testing.T, cells ...cell) []*relay {
	t.Helper()
	var id *identity
	if cells[0].tls {
		id = makeIdentity(t, "127.0.0.1", nil)
	}
	var nodes []*relay
	for _, c := range cells {
		nodes = append(nodes, startNode(ctx, t, c, id))
	}
	for i, node := range nodes {
		var others []*relay
		others = append(append(others, nodes[:i]...), nodes[i+1:]...)
		node.meshWith(ctx, t, others...)
	}
	return nodes
}

// awaitRoute sends until something arrives: a node learns of another's clients a moment after they
// have connected there.
func awaitRoute(ctx context.Context, t *testing.T, from, to *peer) {
	t.Helper()
	var number uint64
	receive := func(limit time.Duration) bool {
		switch m := to.within(ctx, t, limit).(type) {
		case nil:
			return false
		case derp.ReceivedPacket:
			if m.Source != from.public || len(m.Data) != 8 {
				t.Fatalf("%s got %s", to.name, describe(m))
			}
			return binary.BigEndian.Uint64(m.Data) == number
		default:
			t.Fatalf("%s got %s", to.name, describe(m))
		}
		return false
	}
	for {
		number++
		from.send(t, to.public, binary.BigEndian.AppendUint64(nil, number))
		if receive(50 * time.Millisecond) {
			break
		}
	}
}

// checkRegion checks that clients of two nodes reach each other with packets of all sizes.
func checkRegion(ctx context.Context, t *testing.T, a, b *peer) {
	t.Helper()
	awaitRoute(ctx, t, a, b)
	awaitRoute(ctx, t, b, a)
	for i, size := range []int{0, 1, 32, 1400, 16000, 20000, derp.MaxPacketSize} {
		data := pattern(uint64(i), size)
		a.send(t, b.public, data)
		b.expectPacket(ctx, t, a, data)
		b.send(t, a.public, data)
		a.expectPacket(ctx, t, b, data)
	}
}

func forEachRegion(t *testing.T, test func(ctx context.Context, t *testing.T, c cell)) {
	t.Helper()
	for _, c := range matrix {
		t.Run(c.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), regionDeadline)
			defer cancel()
			test(ctx, t, c)
		})
	}
}

// TestRegionWithReference: a node beside Tailscale's own server, both ways.
func TestRegionWithReference(t *testing.T) {
	forEachRegion(t, func(ctx context.Context, t *testing.T, c cell) {
		nodes := startRegion(ctx, t, c, cell{engine: referenceName, tls: c.tls})
		a, b := nodes[0].connect(ctx, t, "a"), nodes[1].connect(ctx, t, "b")
		checkRegion(ctx, t, a, b)
		// Each is told when the other leaves the region, and not before.
		c2 := nodes[1].connect(ctx, t, "c")
		checkRegion(ctx, t, a, c2)
		c2.leave()
		a.expectGone(ctx, t, c2.public, left)
		a.leave()
		b.expectGone(ctx, t, a.public, left)
		// A client that changes from one node to the other is reached there.
		moved := nodes[0].connectAs(ctx, t, "b at the first node", b.private, byHTTPClient)
		d := nodes[1].connect(ctx, t, "d")
		b.leave()
		checkRegion(ctx, t, moved, d)
	})
}

// TestRegionOfThree: three nodes, and one of them dies and comes back.
func TestRegionOfThree(t *testing.T) {
	skipOnReference(t, "it is no process")
	forEachRegion(t, func(ctx context.Context, t *testing.T, c cell) {
		nodes := startRegion(ctx, t, c, c, c)
		var peers []*peer
		for i, node := range nodes {
			peers = append(peers, node.connect(ctx, t, fmt.Sprintf("client of node %d", i)))
		}
		checkRegion(ctx, t, peers[0], peers[1])
		checkRegion(ctx, t, peers[1], peers[2])
		checkRegion(ctx, t, peers[2], peers[0])

		dead := nodes[2]
		dead.stopped = true // there is nothing to check in the counters of one that is killed
		dead.daemon().kill()
		for _, p := range peers[:2] {
			p.expectGone(ctx, t, peers[2].public, left)
		}
		checkPair(ctx, t, peers[0], peers[1])

		again := dead.settings
		again.listen = dead.address()
		nodes[2] = startRelay(ctx, t, c, again)
		for _, node := range nodes[:2] {
			node.awaitLog(ctx, t, "mesh with "+dead.url("")+": connected", 2)
		}
		back := nodes[2].connect(ctx, t, "client of the node that is back")
		checkRegion(ctx, t, peers[0], back)
		checkRegion(ctx, t, back, peers[1])
	})
}

// TestRegionFrozenNode: a node that stands still is given up, and picked up when it goes on.
func TestRegionFrozenNode(t *testing.T) {
	skipOnReference(t, "it is no process")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), regionDeadline)
	defer cancel()
	nodes := startRegion(ctx, t, matrix[0], matrix[0])
	a, b := nodes[0].connect(ctx, t, "a"), nodes[1].connect(ctx, t, "b")
	checkRegion(ctx, t, a, b)
	process := nodes[1].daemon().cmd.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	nodes[0].awaitLog(ctx, t, "does not answer any more", 1)
	a.expectGone(ctx, t, b.public, left)
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	nodes[0].awaitLog(ctx, t, "mesh with "+nodes[1].url("")+": connected", 2)
	checkRegion(ctx, t, a, b)
}

// TestRegionDuplicateKey: a key that is connected at two nodes is reached, and is gone with the last
// of the two.
func TestRegionDuplicateKey(t *testing.T) {
	skipOnReference(t, "it is no process")
	forEachRegion(t, func(ctx context.Context, t *testing.T, c cell) {
		nodes := startRegion(ctx, t, c, c)
		a := nodes[0].connect(ctx, t, "a")
		private := key.NewNode()
		there := nodes[1].connectAs(ctx, t, "key at the other node", private, byHTTPClient)
		checkRegion(ctx, t, a, there)
		here := nodes[0].connectAs(ctx, t, "key at this node", private, byHTTPClient)
		checkPair(ctx, t, a, here) // who is here comes first
		here.leave()
		checkRegion(ctx, t, a, there)
		there.leave()
		a.expectGone(ctx, t, there.public, left)
	})
}
