// SPDX-License-Identifier: BSD-3-Clause

// Traffic among many peers at once: numbered packets whose every byte is checked, with few enough
// under way that no queue of a relay overflows, so that each loss is a fault.

package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

const (
	// windowPackets and windowBytes bound what is under way to one destination. A relay must be
	// able to queue at least that much (hyper-derp: 1024 packets, 1 MiB).
	windowPackets = 200
	windowBytes   = 512 << 10

	// numberedSize is the smallest size of a numbered packet.
	numberedSize = 8
)

// A window lets senders wait while too much is under way to one destination.
type window struct {
	mu             sync.Mutex
	changed        *sync.Cond
	packets, bytes int
}

func newWindow() *window {
	w := &window{}
	w.changed = sync.NewCond(&w.mu)
	return w
}

func (w *window) acquire(ctx context.Context, size int) error {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.packets >= windowPackets || w.bytes+size > windowBytes {
		if ctx.Err() != nil {
			return fmt.Errorf("waits until packets have arrived: %w", context.Cause(ctx))
		}
		w.changed.Wait()
	}
	w.packets++
	w.bytes += size
	return nil
}

func (w *window) release(size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets--
	w.bytes -= size
	w.changed.Broadcast()
}

// A shipment is a packet to be sent: to which peer and how large.
type shipment struct {
	to, size int
}

// traffic is what runs among some peers. Nobody else may take their messages meanwhile.
type traffic struct {
	peers   []*peer
	index   map[key.NodePublic]int
	windows []*window // by destination

	// other takes a message that is no packet; nil makes such a message an error.
	other func(at int, message derp.ReceivedMessage) error
}

func newTraffic(peers []*peer) *traffic {
	tr := &traffic{peers: peers, index: map[key.NodePublic]int{}}
	for i, p := range peers {
		tr.index[p.public] = i
		tr.windows = append(tr.windows, newWindow())
	}
	return tr
}

// run sends plan[i] from peer i, all peers at once, and returns when everything has arrived.
func (tr *traffic) run(ctx context.Context, plan [][]shipment) error {
	expected := make([]int, len(tr.peers))
	var tasks []func(context.Context) error
	for from, shipments := range plan {
		for _, s := range shipments {
			expected[s.to]++
		}
		tasks = append(tasks, func(ctx context.Context) error {
			return tr.sendAll(ctx, from, shipments)
		})
	}
	for at, count := range expected {
		tasks = append(tasks, func(ctx context.Context) error {
			return tr.receiveAll(ctx, at, count)
		})
	}
	return together(ctx, tasks...)
}

func (tr *traffic) sendAll(ctx context.Context, from int, shipments []shipment) error {
	numbers := make([]uint64, len(tr.peers))
	for _, s := range shipments {
		if err := tr.windows[s.to].acquire(ctx, s.size); err != nil {
			return fmt.Errorf("%s to %s: %w", tr.peers[from].name, tr.peers[s.to].name, err)
		}
		packet := numberedPacket(from, s.to, numbers[s.to], s.size)
		numbers[s.to]++
		if err := tr.peers[from].client.Send(tr.peers[s.to].public, packet); err != nil {
			return fmt.Errorf("%s to %s: %w", tr.peers[from].name, tr.peers[s.to].name, err)
		}
	}
	return nil
}

func (tr *traffic) receiveAll(ctx context.Context, at, count int) error {
	numbers := make([]uint64, len(tr.peers))
	for received := 0; received < count; {
		message, err := tr.peers[at].next(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d packets received: %w", received, count, err)
		}
		packet, ok := message.(derp.ReceivedPacket)
		if !ok {
			if tr.other == nil {
				return fmt.Errorf("%s got %s", tr.peers[at].name, describe(message))
			}
			if err := tr.other(at, message); err != nil {
				return err
			}
			continue
		}
		if err := tr.checkPacket(at, packet, numbers); err != nil {
			return fmt.Errorf("%s, packet %d of %d: %w", tr.peers[at].name, received+1, count, err)
		}
		received++
		tr.windows[at].release(len(packet.Data))
	}
	return nil
}

// checkPacket checks that a packet is the next one of its sender, whole and undamaged.
func (tr *traffic) checkPacket(at int, packet derp.ReceivedPacket, numbers []uint64) error {
	from, ok := tr.index[packet.Source]
	if !ok {
		return fmt.Errorf("from %v, who sends nothing", packet.Source.ShortString())
	}
	if len(packet.Data) < numberedSize {
		return fmt.Errorf("from %s: only %d bytes", tr.peers[from].name, len(packet.Data))
	}
	if got := binary.BigEndian.Uint64(packet.Data); got != numbers[from] {
		return fmt.Errorf("from %s: number %d, want %d: lost or out of order",
			tr.peers[from].name, got, numbers[from])
	}
	if !bytes.Equal(packet.Data, numberedPacket(from, at, numbers[from], len(packet.Data))) {
		return fmt.Errorf("from %s: number %d of %d bytes is damaged", tr.peers[from].name,
			numbers[from], len(packet.Data))
	}
	numbers[from]++
	return nil
}

// numberedPacket makes the packet of a number between two peers: the number, then bytes that follow
// from its sender, destination, number and size.
func numberedPacket(from, to int, number uint64, size int) []byte {
	seed := number<<32 | uint64(from)<<24 | uint64(to)<<16
	packet := pattern(seed^uint64(size), size)
	binary.BigEndian.PutUint64(packet, number)
	return packet
}

// pattern makes bytes that differ for each seed.
func pattern(seed uint64, size int) []byte {
	source := rand.NewPCG(seed, uint64(size))
	data := make([]byte, 0, size+8)
	for len(data) < size {
		data = binary.LittleEndian.AppendUint64(data, source.Uint64())
	}
	return data[:size]
}

// together runs tasks at once and returns when all have ended; the first error ends the others.
func together(ctx context.Context, tasks ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	var mu sync.Mutex
	var first error
	for _, task := range tasks {
		group.Go(func() {
			err := task(ctx)
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
				cancel(errors.New("another part of the test has failed"))
			}
		})
	}
	group.Wait()
	return first
}
