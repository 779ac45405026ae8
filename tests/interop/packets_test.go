// SPDX-License-Identifier: BSD-3-Clause

// Packets: every size, every pair, their order, and much of it at once; pings in between.

package interop

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

func TestPacketSizes(t *testing.T) {
	sizes := []int{0, 1, 1400, 16384, derp.MaxPacketSize}
	const count = 6 // with three workers some pairs share one and others do not
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		peers := r.connectSeveral(ctx, t, count)
		packet := func(from, to, size int) []byte {
			return pattern(uint64(from*count+to), size)
		}
		for to, receiver := range peers {
			for from, sender := range peers {
				if from == to {
					continue
				}
				for _, size := range sizes {
					sender.send(t, receiver.public, packet(from, to, size))
				}
			}
			// What different senders sent may come mixed, what one sent must be in order.
			received := make(map[*peer]int)
			for range (count - 1) * len(sizes) {
				got := expect[derp.ReceivedPacket](ctx, t, receiver)
				from := newTraffic(peers).index[got.Source]
				sender := peers[from]
				if got.Source != sender.public || from == to {
					t.Fatalf("%s got %s: nobody sent it", receiver.name, describe(got))
				}
				want := packet(from, to, sizes[received[sender]])
				if !bytes.Equal(got.Data, want) {
					t.Fatalf("%s got %s from %s, want %s", receiver.name, excerpt(got.Data),
						sender.name, excerpt(want))
				}
				received[sender]++
			}
		}
		total := uint64(count * (count - 1) * len(sizes))
		counters := r.finish(t)
		counters.check(t, "packets_received", total)
		counters.check(t, "packets_delivered", total)
	})
}

// TestPacketToSelf: a relay passes a packet to whom it is addressed, be it the sender.
func TestPacketToSelf(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		p := r.connect(ctx, t, "p")
		for _, size := range []int{0, 100, derp.MaxPacketSize} {
			data := pattern(3, size)
			p.send(t, p.public, data)
			p.expectPacket(ctx, t, p, data)
		}
	})
}

// TestOrder runs three pairs in both directions at once.
func TestOrder(t *testing.T) {
	const pairs, packets = 3, 2000
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		peers := r.connectSeveral(ctx, t, 2*pairs)
		plan := make([][]shipment, len(peers))
		for from := range peers {
			for i := range packets {
				plan[from] = append(plan[from], shipment{from ^ 1, numberedSize + i%1393})
			}
		}
		if err := newTraffic(peers).run(ctx, plan); err != nil {
			t.Fatal(err)
		}
		r.finish(t).check(t, "packets_delivered", 2*pairs*packets)
	})
}

// TestBulk lets everyone send to everyone: nothing is lost, damaged or overtaken.
func TestBulk(t *testing.T) {
	const count, packets = 20, 500
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		peers := r.connectSeveral(ctx, t, count)
		checkBulk(ctx, t, r, peers, rand.New(rand.NewPCG(20, 500)), packets)
	})
}

// checkBulk lets each peer send so many packets of random sizes to random others, and ends the relay:
// all must have arrived.
func checkBulk(ctx context.Context, t *testing.T, r *relay, peers []*peer, random *rand.Rand,
	packets int) {
	t.Helper()
	plan := make([][]shipment, len(peers))
	for from := range plan {
		for range packets {
			to := random.IntN(len(peers) - 1)
			if to >= from {
				to++
			}
			plan[from] = append(plan[from], shipment{to, randomSize(random)})
		}
	}
	if err := newTraffic(peers).run(ctx, plan); err != nil {
		t.Fatal(err)
	}
	counters := r.finish(t)
	want := uint64(len(peers) * packets)
	counters.check(t, "packets_received", want)
	counters.check(t, "packets_delivered", want)
}

// randomSize is mostly that of a packet on the internet, sometimes up to the largest.
func randomSize(random *rand.Rand) int {
	limit := 1400
	switch random.IntN(20) {
	case 0:
		limit = derp.MaxPacketSize
	case 1, 2:
		limit = 16384
	}
	return numberedSize + random.IntN(limit-numberedSize+1)
}

func TestPing(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		p := r.connectAs(ctx, t, "p", key.NewNode(), byUpgrade)
		for range 20 {
			p.ping(ctx, t)
		}
		// A longer Ping is allowed; its first eight bytes come back.
		long := pattern(4, 1000)
		p.writeFrame(t, derp.FramePing, long)
		if pong := expect[derp.PongMessage](ctx, t, p); !bytes.Equal(pong[:], long[:8]) {
			t.Errorf("Pong %x for a Ping that begins with %x", pong, long[:8])
		}
		counters := r.finish(t)
		counters.check(t, "pings", 21)
		counters.check(t, "pongs", 21)
	})
}

// TestPingAmongTraffic has packets under way in both directions whenever it pings.
func TestPingAmongTraffic(t *testing.T) {
	const rounds, packets = 50, 20
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		peers := r.connectSeveral(ctx, t, 2)
		a, b := peers[0], peers[1]
		packet := func(from, round, i int) []byte {
			return pattern(uint64(from), 1+round*packets+i)
		}
		for round := range rounds {
			data := randomBytes8()
			for i := range packets {
				a.send(t, b.public, packet(0, round, i))
				b.send(t, a.public, packet(1, round, i))
				if i == packets/2 {
					if err := a.client.SendPing(data); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i := range packets {
				b.expectPacket(ctx, t, a, packet(0, round, i))
			}
			// The Pong may come before, between or behind the packets.
			received, ponged := 0, false
			for received < packets || !ponged {
				message, err := a.next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				switch m := message.(type) {
				case derp.PongMessage:
					if m != derp.PongMessage(data) || ponged {
						t.Fatalf("Pong %x, want one %x", m, data)
					}
					ponged = true
				case derp.ReceivedPacket:
					if !bytes.Equal(m.Data, packet(1, round, received)) {
						t.Fatalf("packet %d of round %d is %s", received, round, excerpt(m.Data))
					}
					received++
				default:
					t.Fatalf("%s got %s", a.name, describe(m))
				}
			}
		}
	})
}

func TestNotePreferred(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		peers := []*peer{r.connectAs(ctx, t, "a", key.NewNode(), byUpgrade),
			r.connectAs(ctx, t, "b", key.NewNode(), byFastStart)}
		for _, p := range peers {
			for _, preferred := range []byte{1, 1, 0, 1} {
				p.writeFrame(t, derp.FrameNotePreferred, []byte{preferred})
			}
			p.ping(ctx, t)
		}
		checkPair(ctx, t, peers[0], peers[1])
	})
}
