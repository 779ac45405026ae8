// SPDX-License-Identifier: BSD-3-Clause

// PeerGone: who is told that a peer has left, and who learns that a peer was never here.

package interop

import (
	"context"
	"slices"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/disco"
	"tailscale.com/types/key"
)

const (
	left    = derp.PeerGoneReasonDisconnected
	notHere = derp.PeerGoneReasonNotHere
)

// discoPacket makes the shortest packet that looks like path discovery.
func discoPacket() []byte {
	return append([]byte(disco.Magic), pattern(9, 32+disco.NonceLen)...)
}

// checkNeverGone checks that a peer got no PeerGone about these up to the end of the relay.
func checkNeverGone(ctx context.Context, t *testing.T, p *peer, who []key.NodePublic) {
	t.Helper()
	for _, message := range p.expectEnd(ctx, t, prompt) {
		gone, ok := message.(derp.PeerGoneMessage)
		if ok && slices.Contains(who, gone.Peer) {
			t.Errorf("%s got %s", p.name, describe(gone))
		}
	}
}

// TestPeerLeaves: those who got packets from the one who left are told, and nobody else.
func TestPeerLeaves(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		receivers := r.connectSeveral(ctx, t, 5)
		stranger := r.connect(ctx, t, "stranger")
		onlySender := r.connect(ctx, t, "only a sender")
		var gone []key.NodePublic
		for i, leave := range []func(*peer){
			func(p *peer) { p.leave() },
			func(p *peer) { p.abort(t) },
		} {
			b := r.connectAs(ctx, t, "b", key.NewNode(), byUpgrade)
			gone = append(gone, b.public)
			data := pattern(uint64(i), 100)
			for _, a := range receivers {
				b.send(t, a.public, data)
				a.expectPacket(ctx, t, b, data)
			}
			onlySender.send(t, b.public, data)
			b.expectPacket(ctx, t, onlySender, data)

			leave(b)
			for _, a := range receivers {
				a.expectGone(ctx, t, b.public, left)
			}
			// Neither the stranger nor who only sent gets anything but this.
			checkPair(ctx, t, stranger, onlySender)
		}
		for _, a := range receivers {
			a.ping(ctx, t) // and no second PeerGone
		}
		r.finish(t)
		for _, p := range []*peer{stranger, onlySender} {
			checkNeverGone(ctx, t, p, gone)
		}
	})
}

// TestPeerLeavesAgain: each time that a peer has sent and left is told.
func TestPeerLeavesAgain(t *testing.T) {
	skipOnReference(t, "it tells a connection once of each peer")
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connect(ctx, t, "a")
		private := key.NewNode()
		for i := range 3 {
			b := r.connectAs(ctx, t, "b", private, way(i)%r.ways())
			b.send(t, a.public, []byte("hello"))
			a.expectPacket(ctx, t, b, []byte("hello"))
			b.leave()
			a.expectGone(ctx, t, b.public, left)
		}
		// Once more, without a packet: nothing to tell.
		b := r.connectAs(ctx, t, "b", private, byUpgrade)
		b.leave()
		a.ping(ctx, t)
		r.finish(t).check(t, "peer_gone_frames", 3)
	})
}

// TestReceiverReturns: the connection that got packets is told, not a later one of the same key.
func TestReceiverReturns(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		witness := r.connect(ctx, t, "witness")
		a := r.connectAs(ctx, t, "a", key.NewNode(), byUpgrade)
		b := r.connectAs(ctx, t, "b", key.NewNode(), byFastStart)
		checkPair(ctx, t, a, b)
		b.send(t, witness.public, nil)
		witness.expectPacket(ctx, t, b, nil)
		a.leave()
		b.expectGone(ctx, t, a.public, left)
		again := r.connectAs(ctx, t, "a again", a.private, byHTTPClient)
		b.leave()
		witness.expectGone(ctx, t, b.public, left)
		again.ping(ctx, t)
		r.finish(t).check(t, "peer_gone_frames", 2)
		checkNeverGone(ctx, t, again, []key.NodePublic{b.public})
	})
}

// TestTwinReceivers: of the connections of a key those are told that got packets.
func TestTwinReceivers(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		private := key.NewNode()
		var twins []*peer
		for _, name := range []string{"first", "second", "third"} {
			twins = append(twins, r.connectAs(ctx, t, name, private, byUpgrade))
		}
		b := r.connectAs(ctx, t, "b", key.NewNode(), byFastStart)
		b.send(t, private.Public(), []byte("to the third"))
		twins[2].expectPacket(ctx, t, b, []byte("to the third"))
		twins[1].send(t, b.public, []byte("second"))
		b.expectPacket(ctx, t, twins[1], []byte("second"))
		b.send(t, private.Public(), []byte("to the second"))
		twins[1].expectPacket(ctx, t, b, []byte("to the second"))

		b.leave()
		twins[1].expectGone(ctx, t, b.public, left)
		twins[2].expectGone(ctx, t, b.public, left)
		twins[0].ping(ctx, t)
		r.finish(t).check(t, "peer_gone_frames", 2)
		checkNeverGone(ctx, t, twins[0], []key.NodePublic{b.public})
	})
}

// TestToItself: who sends to itself is told of nobody.
func TestToItself(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connectAs(ctx, t, "a", key.NewNode(), byUpgrade)
		checkPair(ctx, t, a, a)
		a.send(t, a.public, discoPacket())
		a.expectPacket(ctx, t, a, discoPacket())
		a.ping(ctx, t)
		a.leave()
		r.finish(t).check(t, "peer_gone_frames", 0)
	})
}

// TestPeerReturns: who has left is not here, until it comes back.
func TestPeerReturns(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connect(ctx, t, "a")
		private := key.NewNode()
		b := r.connectAs(ctx, t, "b", private, byUpgrade)
		checkPair(ctx, t, a, b)
		b.leave()
		a.expectGone(ctx, t, b.public, left)

		// A packet to the one who left finds nobody; one that looks like disco is answered.
		a.send(t, b.public, []byte("too late"))
		a.send(t, b.public, discoPacket())
		a.expectGone(ctx, t, b.public, notHere)

		b = r.connectAs(ctx, t, "b again", private, byHTTPClient)
		checkPair(ctx, t, a, b)
		counters := r.finish(t)
		counters.check(t, "drop_unknown_peer_data", 1)
		counters.check(t, "drop_unknown_peer_disco", 1)
	})
}

// TestNotHere: a disco packet to a key that nobody has is answered, three times at once, then once
// a second; nothing else is.
func TestNotHere(t *testing.T) {
	forEachCellAtOnce(t, func(ctx context.Context, t *testing.T, r *relay) {
		p, other := r.connect(ctx, t, "p"), r.connect(ctx, t, "other")

		p.send(t, key.NewNode().Public(), pattern(1, 100))
		p.send(t, key.NewNode().Public(), nil)
		short := discoPacket()
		p.send(t, key.NewNode().Public(), short[:len(short)-1])
		p.ping(ctx, t)

		const burst = 3
		began := time.Now()
		asked := map[key.NodePublic]bool{}
		questions := uint64(0)
		ask := func() {
			questions++
			unknown := key.NewNode().Public()
			asked[unknown] = true
			p.send(t, unknown, discoPacket())
		}
		checkAnswer := func(gone derp.PeerGoneMessage) {
			if !asked[gone.Peer] || gone.Reason != notHere {
				t.Fatalf("%s got %s", p.name, describe(gone))
			}
			delete(asked, gone.Peer) // one answer for one packet
		}
		for range burst {
			ask()
		}
		for range burst {
			checkAnswer(expect[derp.PeerGoneMessage](ctx, t, p))
		}

		// From here on one answer a second, however often the peer asks.
		answers := 0
		for answers < 2 {
			ask()
			message := p.within(ctx, t, 20*time.Millisecond)
			if message == nil {
				continue
			}
			gone, ok := message.(derp.PeerGoneMessage)
			if !ok {
				t.Fatalf("%s got %s", p.name, describe(message))
			}
			checkAnswer(gone)
			answers++
			if waited := time.Since(began); waited < time.Duration(answers)*900*time.Millisecond {
				t.Fatalf("%d answers within %v", burst+answers, waited)
			}
		}
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("the answers after the burst took %v", waited)
		}

		// A peer that is here gets its disco packets, and the other's allowance is its own.
		other.send(t, p.public, discoPacket())
		p.expectPacket(ctx, t, other, discoPacket())
		unknown := key.NewNode().Public()
		other.send(t, unknown, discoPacket())
		other.expectGone(ctx, t, unknown, notHere)

		counters := r.finish(t)
		counters.check(t, "drop_unknown_peer_data", 3)
		counters.check(t, "drop_unknown_peer_disco", questions+1)
	})
}
