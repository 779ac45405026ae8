// SPDX-License-Identifier: BSD-3-Clause

// A key that is connected more than once: the connection that was active last receives.

package interop

import (
	"context"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// takesOver sends packets to a key until one of its connections gets one, and returns that. The
// relay learns in its own time that another connection was closed; what it sends there is lost.
func takesOver(ctx context.Context, t *testing.T, sender *peer, connections ...*peer) *peer {
	t.Helper()
	data := []byte("who is there?")
	for ctx.Err() == nil {
		sender.send(t, connections[0].public, data)
		for _, p := range connections {
			message := p.within(ctx, t, 10*time.Millisecond)
			if message == nil {
				continue
			}
			packet, ok := message.(derp.ReceivedPacket)
			if !ok || string(packet.Data) != string(data) || packet.Source != sender.public {
				t.Fatalf("%s got %s", p.name, describe(message))
			}
			// Earlier ones may still be on their way to the same connection.
			sender.send(t, p.public, []byte("the last"))
			for {
				got := expect[derp.ReceivedPacket](ctx, t, p)
				if string(got.Data) == "the last" {
					return p
				}
			}
		}
	}
	t.Fatalf("no other connection of the key takes over: %v", context.Cause(ctx))
	return nil
}

func TestDuplicateKey(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		sender := r.connect(ctx, t, "sender")
		private := key.NewNode()
		first := r.connectAs(ctx, t, "first", private, byHTTPClient)
		checkPair(ctx, t, sender, first)

		second := r.connectAs(ctx, t, "second", private, byUpgrade)
		sender.send(t, first.public, []byte("to the second"))
		second.expectPacket(ctx, t, sender, []byte("to the second"))

		// Each becomes the receiver by sending something. When the sender has got that, the relay
		// has seen it.
		for _, active := range []*peer{first, first, second, second} {
			active.send(t, sender.public, []byte("I am here"))
			sender.expectPacket(ctx, t, active, []byte("I am here"))
			sender.send(t, active.public, []byte(active.name))
			active.expectPacket(ctx, t, sender, []byte(active.name))
		}

		// The active one leaves, the other takes over; the key is not gone.
		second.leave()
		if p := takesOver(ctx, t, sender, first); p != first {
			t.Fatalf("%s takes over", p.name)
		}
		checkPair(ctx, t, sender, first)
		sender.ping(ctx, t)

		first.leave()
		sender.expectGone(ctx, t, first.public, left)
		sender.ping(ctx, t)
		r.finish(t).check(t, "duplicate_connections", 1)
	})
}

// TestDuplicateKeyInactiveLeaves: nothing changes for the active connection.
func TestDuplicateKeyInactiveLeaves(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		sender := r.connect(ctx, t, "sender")
		private := key.NewNode()
		first := r.connectAs(ctx, t, "first", private, byFastStart)
		checkPair(ctx, t, sender, first)
		second := r.connectAs(ctx, t, "second", private, byUpgrade)
		checkPair(ctx, t, sender, second)

		first.leave()
		for range 20 {
			checkPair(ctx, t, sender, second)
		}
		second.leave()
		sender.expectGone(ctx, t, second.public, left)
	})
}

// TestManyDuplicates: with several connections the key stays reachable until the last has left.
func TestManyDuplicates(t *testing.T) {
	const count = 5
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		sender := r.connect(ctx, t, "sender")
		private := key.NewNode()
		var connections []*peer
		for i := range count {
			p := r.connectAs(ctx, t, "connection", private, way(i)%r.ways())
			connections = append(connections, p)
			checkPair(ctx, t, sender, p)
		}
		active := connections[count-1]
		for len(connections) > 1 {
			for i, p := range connections {
				if p == active {
					connections = append(connections[:i:i], connections[i+1:]...)
					break
				}
			}
			active.leave()
			active = takesOver(ctx, t, sender, connections...)
		}
		sender.ping(ctx, t)
		active.leave()
		sender.expectGone(ctx, t, active.public, left)
		r.finish(t).check(t, "duplicate_connections", count-1)
	})
}

// forEachFighterCell runs a test on relays that mute the connections of a key that is fought about.
func forEachFighterCell(t *testing.T, test func(ctx context.Context, t *testing.T, r *relay)) {
	t.Helper()
	for _, c := range matrix {
		t.Run(c.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
			defer cancel()
			test(ctx, t, startRelay(ctx, t, c, settings{fighters: true}))
		})
	}
}

// speak lets each of these send something, and waits until the relay has seen it.
func speak(ctx context.Context, t *testing.T, to *peer, who ...*peer) {
	t.Helper()
	for _, p := range who {
		p.send(t, to.public, []byte(p.name))
		to.expectPacket(ctx, t, p, []byte(p.name))
	}
}

// checkMuted checks that none of a key's connections gets what is sent to it, and that the sender
// is not told that the key is not here. It takes two packets.
func checkMuted(ctx context.Context, t *testing.T, sender *peer, connections ...*peer) {
	t.Helper()
	sender.send(t, connections[0].public, []byte("to nobody"))
	sender.send(t, connections[0].public, discoPacket())
	sender.ping(ctx, t)
	for _, p := range connections {
		p.ping(ctx, t)
	}
}

// TestDuplicateKeyFight: two that take turns in sending get nothing until one of them has left, and
// are told why. Who comes later is no part of that.
func TestDuplicateKeyFight(t *testing.T) {
	forEachFighterCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		sender := r.connect(ctx, t, "sender")
		private := key.NewNode()
		first := r.connectAs(ctx, t, "first", private, byUpgrade)
		checkPair(ctx, t, sender, first)
		second := r.connectAs(ctx, t, "second", private, byFastStart)
		checkPair(ctx, t, sender, second)
		speak(ctx, t, sender, first)
		checkMuted(ctx, t, sender, first, second)
		speak(ctx, t, sender, second, second, first)
		checkMuted(ctx, t, sender, first, second)
		if !r.isReference() {
			first.checkHealth(ctx, t, true)
			second.checkHealth(ctx, t, true)
		}

		third := r.connectAs(ctx, t, "third", private, byHTTPClient)
		checkPair(ctx, t, sender, third)
		speak(ctx, t, sender, first, third, second)
		checkPair(ctx, t, sender, third)
		third.checkHealth(ctx, t)

		third.leave()
		second.leave()
		if p := takesOver(ctx, t, sender, first); p != first {
			t.Fatalf("%s takes over", p.name)
		}
		checkPair(ctx, t, sender, first)
		if !r.isReference() {
			first.checkHealth(ctx, t, true, false)
		}
		first.leave()
		sender.expectGone(ctx, t, first.public, left)
		counters := r.finish(t)
		counters.check(t, "health_frames", 3)
		if counters != nil && counters.get(t, "drop_duplicate_key_disco") != 2 {
			t.Errorf("counters: %v", counters)
		}
	})
}

// TestDuplicateKeyWordsOfOld: the last words of the connection that was replaced are no fight, nor
// is what the new one sends then; one more word of the old one is.
func TestDuplicateKeyWordsOfOld(t *testing.T) {
	forEachFighterCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		sender := r.connect(ctx, t, "sender")
		private := key.NewNode()
		old := r.connectAs(ctx, t, "old", private, byFastStart)
		speak(ctx, t, sender, old)
		replacement := r.connectAs(ctx, t, "new", private, byUpgrade)
		speak(ctx, t, sender, old, old, replacement, replacement)
		if r.isReference() { // with that policy, who came last receives
			sender.send(t, replacement.public, []byte("to the new one"))
			replacement.expectPacket(ctx, t, sender, []byte("to the new one"))
		} else {
			checkPair(ctx, t, sender, replacement)
		}
		speak(ctx, t, sender, old)
		checkMuted(ctx, t, sender, old, replacement)
		old.leave()
		if p := takesOver(ctx, t, sender, replacement); p != replacement {
			t.Fatalf("%s takes over", p.name)
		}
		checkPair(ctx, t, sender, replacement)
	})
}

// TestDuplicateKeyThird: from the third on a connection counts as one that has sent. All three are
// muted, and two of them still.
func TestDuplicateKeyThird(t *testing.T) {
	forEachFighterCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		sender := r.connect(ctx, t, "sender")
		private := key.NewNode()
		var three []*peer
		for _, name := range []string{"first", "second", "third"} {
			three = append(three, r.connectAs(ctx, t, name, private, byUpgrade))
		}
		speak(ctx, t, sender, three[2], three[1], three[1])
		sender.send(t, three[0].public, []byte("no fight yet"))
		got := three[1] // sent last
		if r.isReference() {
			got = three[2] // came last
		}
		got.expectPacket(ctx, t, sender, []byte("no fight yet"))
		speak(ctx, t, sender, three[0])
		checkMuted(ctx, t, sender, three...)
		if !r.isReference() {
			for _, p := range three {
				p.checkHealth(ctx, t, true)
			}
		}
		three[1].leave()
		checkMuted(ctx, t, sender, three[0], three[2])
		three[2].leave()
		takesOver(ctx, t, sender, three[0])
	})
}
