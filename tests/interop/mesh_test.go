// SPDX-License-Identifier: BSD-3-Clause

// What a relay does for the other nodes of its region, as Tailscale's own mesh client asks for it:
// WatchConns, ClosePeer and ForwardPacket.

package interop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

var meshKeyText = strings.Repeat("0123456789abcdef", 4)

func parseMeshKey(t *testing.T, text string) key.DERPMesh {
	t.Helper()
	k, err := key.ParseDERPMesh(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// meshLines are those of the configuration that make a relay a node of a region.
func meshLines(t *testing.T, s settings) string {
	t.Helper()
	file := filepath.Join(s.folder, "mesh.key")
	if err := os.WriteFile(file, []byte(s.meshKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[mesh]\nkey_file = %q\nwith = [", file)
	for _, node := range s.meshWith {
		text += fmt.Sprintf("%q, ", node.url(""))
	}
	text += "]\n"
	if s.identity != nil {
		text += fmt.Sprintf("ca_file = %q\n", filepath.Join(s.folder, identityChainFile))
	}
	return text
}

// forEachMeshCell runs a test on relays that have a mesh key.
func forEachMeshCell(t *testing.T, test func(ctx context.Context, t *testing.T, r *relay)) {
	t.Helper()
	for _, c := range matrix {
		t.Run(c.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
			defer cancel()
			test(ctx, t, startRelay(ctx, t, c, settings{meshKey: meshKeyText}))
		})
	}
}

// connectMesh connects a peer that shows a mesh key.
func (r *relay) connectMesh(ctx context.Context, t *testing.T, name, meshKey string) *peer {
	t.Helper()
	private := key.NewNode()
	p := &peer{name: name, private: private, public: private.Public()}
	p.useDialed(r.dial(ctx, t))
	brw := buffered(p.conn)
	requestUpgrade(t, brw, r.address())
	p.useConn(t, brw, derp.MeshKey(parseMeshKey(t, meshKey)))
	return r.joined(ctx, t, p)
}

func (p *peer) mesh() *derp.Client { return p.client.(*derp.Client) }

func (p *peer) localAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	address, err := netip.ParseAddrPort(p.tcp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// expectPresent waits for PeerPresent of each of these, in whatever order, and nothing else.
func (p *peer) expectPresent(ctx context.Context, t *testing.T, want ...derp.PeerPresentMessage) {
	t.Helper()
	missing := map[key.NodePublic]derp.PeerPresentMessage{}
	for _, message := range want {
		missing[message.Key] = message
	}
	for len(missing) > 0 {
		got := expect[derp.PeerPresentMessage](ctx, t, p)
		if wanted, ok := missing[got.Key]; !ok || got != wanted {
			t.Fatalf("%s got %+v, want %+v", p.name, got, wanted)
		}
		delete(missing, got.Key)
	}
}

func (p *peer) present(t *testing.T, flags derp.PeerPresentFlags) derp.PeerPresentMessage {
	t.Helper()
	return derp.PeerPresentMessage{Key: p.public, IPPort: p.localAddress(t), Flags: flags}
}

// TestMeshWatch: a node is told of all who are connected, and of each who comes and goes.
func TestMeshWatch(t *testing.T) {
	const regular = derp.PeerPresentFlags(derp.PeerPresentIsRegular)
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connectAs(ctx, t, "a", key.NewNode(), byUpgrade)
		b := r.connectAs(ctx, t, "b", key.NewNode(), byFastStart)
		private := key.NewNode()
		prober := &peer{name: "prober", private: private, public: private.Public()}
		prober.useDialed(r.dial(ctx, t))
		brw := buffered(prober.conn)
		requestUpgrade(t, brw, r.address())
		prober.useConn(t, brw, derp.IsProber(true))
		r.joined(ctx, t, prober)

		watcher := r.connectMesh(ctx, t, "watcher", meshKeyText)
		if err := watcher.mesh().WatchConnectionChanges(); err != nil {
			t.Fatal(err)
		}
		watcher.expectPresent(ctx, t, a.present(t, regular), b.present(t, regular),
			prober.present(t, derp.PeerPresentIsProber),
			watcher.present(t, derp.PeerPresentIsMeshPeer))

		c := r.connectAs(ctx, t, "c", key.NewNode(), byUpgrade)
		watcher.expectPresent(ctx, t, c.present(t, regular))
		b.leave()
		watcher.expectGone(ctx, t, b.public, left)
		c.abort(t)
		watcher.expectGone(ctx, t, c.public, left)

		// Of a key that is connected twice the end of the last connection alone is told.
		twin := r.connectAs(ctx, t, "twin of a", a.private, byUpgrade)
		watcher.expectPresent(ctx, t, twin.present(t, regular))
		twin.leave()
		a.leave()
		for {
			message, err := watcher.next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if message == (derp.PeerGoneMessage{Peer: a.public, Reason: left}) {
				break
			}
			// While one of the two is there, that it is may be told again.
			if again, ok := message.(derp.PeerPresentMessage); !ok || again.Key != a.public {
				t.Fatalf("%s got %s", watcher.name, describe(message))
			}
		}

		second := r.connectMesh(ctx, t, "second watcher", meshKeyText)
		watcher.expectPresent(ctx, t, second.present(t, derp.PeerPresentIsMeshPeer))
		if err := second.mesh().WatchConnectionChanges(); err != nil {
			t.Fatal(err)
		}
		second.expectPresent(ctx, t, second.present(t, derp.PeerPresentIsMeshPeer),
			prober.present(t, derp.PeerPresentIsProber),
			watcher.present(t, derp.PeerPresentIsMeshPeer))
		d := r.connectAs(ctx, t, "d", key.NewNode(), byUpgrade)
		for _, w := range []*peer{watcher, second} {
			w.expectPresent(ctx, t, d.present(t, regular))
			w.ping(ctx, t) // and nothing more
		}
		second.leave()
		watcher.expectGone(ctx, t, second.public, left)
	})
}

// TestMeshIdealNode: a client that says which node it would rather be at is told of as one.
func TestMeshIdealNode(t *testing.T) {
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		private := key.NewNode()
		elsewhere := &peer{name: "elsewhere", private: private, public: private.Public()}
		elsewhere.useDialed(r.dial(ctx, t))
		brw := buffered(elsewhere.conn)
		brw.WriteString(upgradeRequest(r.address(), derp.IdealNodeHeader+": 900b"))
		if err := brw.Flush(); err != nil {
			t.Fatal(err)
		}
		readUpgrade(t, brw)
		elsewhere.useConn(t, brw)
		r.joined(ctx, t, elsewhere)

		private = key.NewNode()
		prober := &peer{name: "prober", private: private, public: private.Public()}
		prober.useDialed(r.dial(ctx, t))
		brw = buffered(prober.conn)
		brw.WriteString(upgradeRequest(r.address(), derp.FastStartHeader+": 1",
			derp.IdealNodeHeader+": 900b"))
		prober.useConn(t, brw, derp.IsProber(true), derp.ServerPublicKey(r.publicKey()))
		r.joined(ctx, t, prober)

		private = key.NewNode()
		here := &peer{name: "here", private: private, public: private.Public()}
		here.useDialed(r.dial(ctx, t))
		brw = buffered(here.conn)
		brw.WriteString(upgradeRequest(r.address(), derp.IdealNodeHeader+":"))
		if err := brw.Flush(); err != nil {
			t.Fatal(err)
		}
		readUpgrade(t, brw)
		here.useConn(t, brw)
		r.joined(ctx, t, here)

		watcher := r.connectMesh(ctx, t, "watcher", meshKeyText)
		if err := watcher.mesh().WatchConnectionChanges(); err != nil {
			t.Fatal(err)
		}
		watcher.expectPresent(ctx, t, elsewhere.present(t, derp.PeerPresentNotIdeal),
			prober.present(t, derp.PeerPresentNotIdeal|derp.PeerPresentIsProber),
			here.present(t, derp.PeerPresentIsRegular),
			watcher.present(t, derp.PeerPresentIsMeshPeer))
	})
}

// TestMeshIdealNodeUnreachable: tailscaled's own client says so when the first node of the region
// does not answer.
func TestMeshIdealNodeUnreachable(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := closed.Addr().(*net.TCPAddr).Port
	closed.Close()
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		if !r.tls {
			return // such a client speaks TLS
		}
		private := key.NewNode()
		p := &peer{name: "elsewhere", private: private, public: private.Public()}
		second := r.node()
		first := *second
		first.Name, first.DERPPort = "900-first", port
		region := &tailcfg.DERPRegion{RegionID: second.RegionID, RegionCode: "interop",
			Nodes: []*tailcfg.DERPNode{&first, second}}
		p.connectClient(ctx, t, derphttp.NewRegionClient(p.private, discardLog, netmon.NewStatic(),
			func() *tailcfg.DERPRegion { return region }), r.publicKey())
		r.joined(ctx, t, p)
		watcher := r.connectMesh(ctx, t, "watcher", meshKeyText)
		if err := watcher.mesh().WatchConnectionChanges(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got := expect[derp.PeerPresentMessage](ctx, t, watcher)
			if got.Key == p.public && got.Flags != derp.PeerPresentNotIdeal {
				t.Fatalf("%s got %+v", watcher.name, got)
			}
		}
		watcher.ping(ctx, t)
	})
}

// TestMeshWatchMany: hundreds of keys are told whole.
func TestMeshWatchMany(t *testing.T) {
	const count = 300
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		var want []derp.PeerPresentMessage
		for i := range count {
			p := r.connectAs(ctx, t, fmt.Sprintf("peer %d", i), key.NewNode(), byFastStart)
			want = append(want, p.present(t, derp.PeerPresentIsRegular))
		}
		watcher := r.connectMesh(ctx, t, "watcher", meshKeyText)
		want = append(want, watcher.present(t, derp.PeerPresentIsMeshPeer))
		if err := watcher.mesh().WatchConnectionChanges(); err != nil {
			t.Fatal(err)
		}
		watcher.expectPresent(ctx, t, want...)
		watcher.ping(ctx, t)
	})
}

// TestMeshClosePeer: all connections of the key are closed, and no other.
func TestMeshClosePeer(t *testing.T) {
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		others := r.connectSeveral(ctx, t, 2)
		victim := r.connectAs(ctx, t, "victim", key.NewNode(), byUpgrade)
		twin := r.connectAs(ctx, t, "its twin", victim.private, byUpgrade)
		node := r.connectMesh(ctx, t, "node", meshKeyText)
		if err := node.mesh().ClosePeer(victim.public); err != nil {
			t.Fatal(err)
		}
		victim.expectEnd(ctx, t, prompt)
		twin.expectEnd(ctx, t, prompt)
		checkPair(ctx, t, others[0], others[1])
		// Of nobody, nothing comes.
		if err := node.mesh().ClosePeer(key.NewNode().Public()); err != nil {
			t.Fatal(err)
		}
		node.ping(ctx, t)
		// It may come back.
		again := r.connectAs(ctx, t, "again", victim.private, byUpgrade)
		checkPair(ctx, t, again, others[0])
	})
}

// TestMeshForwardPacket: a node's packet reaches the client here, as from the client there.
func TestMeshForwardPacket(t *testing.T) {
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connect(ctx, t, "a")
		node := r.connectMesh(ctx, t, "node", meshKeyText)
		there := &peer{name: "a client elsewhere", public: key.NewNode().Public()}
		for i, size := range []int{0, 1, 31, 32, 33, 1400, 16000, 20000, derp.MaxPacketSize} {
			data := pattern(uint64(i), size)
			if err := node.mesh().ForwardPacket(there.public, a.public, data); err != nil {
				t.Fatal(err)
			}
			a.expectPacket(ctx, t, there, data)
		}
		// Many, from many.
		for i := range 500 {
			from := &peer{name: "one of many", public: key.NewNode().Public()}
			data := pattern(uint64(i), 100+i)
			if err := node.mesh().ForwardPacket(from.public, a.public, data); err != nil {
				t.Fatal(err)
			}
			a.expectPacket(ctx, t, from, data)
		}
		// Whoever is not here is told of for disco alone.
		nobody := key.NewNode().Public()
		if err := node.mesh().ForwardPacket(there.public, nobody, []byte("data")); err != nil {
			t.Fatal(err)
		}
		node.ping(ctx, t)
		if err := node.mesh().ForwardPacket(there.public, nobody, discoPacket()); err != nil {
			t.Fatal(err)
		}
		node.expectGone(ctx, t, nobody, notHere)
		node.ping(ctx, t)
	})
}

// TestMeshWrongKey: who shows another key is a client like any other.
func TestMeshWrongKey(t *testing.T) {
	wrong := strings.Repeat("0123456789abcdee", 4)
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connect(ctx, t, "a")
		for _, frame := range []struct {
			frameType derp.FrameType
			payload   []byte
		}{
			{derp.FrameWatchConns, nil},
			{derp.FrameClosePeer, a.public.AppendTo(nil)},
			{derp.FrameForwardPacket, append(a.public.AppendTo(nil), a.public.AppendTo(nil)...)},
		} {
			other := r.connectMesh(ctx, t, "other", wrong)
			checkPair(ctx, t, a, other)
			other.writeFrame(t, frame.frameType, frame.payload)
			for _, message := range other.expectEnd(ctx, t, prompt) {
				t.Errorf("after frame %#x it got %s", frame.frameType, describe(message))
			}
			a.expectGone(ctx, t, other.public, left)
		}
	})
}
