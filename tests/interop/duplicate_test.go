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
		for range 3 {
			for _, active := range []*peer{first, second} {
				active.send(t, sender.public, []byte("I am here"))
				sender.expectPacket(ctx, t, active, []byte("I am here"))
				sender.send(t, active.public, []byte(active.name))
				active.expectPacket(ctx, t, sender, []byte(active.name))
			}
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
