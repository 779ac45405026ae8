// SPDX-License-Identifier: BSD-3-Clause

// Frames that a peer should not send: unknown ones are skipped, malformed ones end the connection,
// and those of a mesh do nothing for a peer that does not belong to it.

package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// TestUnknownFrames sends frames whose contents look like frames: a relay that does not skip exactly
// the announced length finds a packet in them.
func TestUnknownFrames(t *testing.T) {
	types := []derp.FrameType{0x00, 0x0b, 0x0f, 0x16, 0x20, 0x7f, 0x80, 0xff}
	lengths := []int{0, 1, 4, 1000, 16384, derp.KeyLen + derp.MaxPacketSize + 1, 300000}
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connectAs(ctx, t, "a", key.NewNode(), byUpgrade)
		b := r.connect(ctx, t, "b")
		for _, frameType := range types {
			for _, length := range lengths {
				trap := appendSendPacket(nil, b.public, []byte("a part of an unknown frame"))
				for len(trap) < length {
					trap = append(trap, trap...)
				}
				data := []byte(fmt.Sprintf("behind %#x of %d", frameType, length))
				// In one piece, so that frames share what the relay reads at once.
				frames := appendFrame(nil, frameType, trap[:length])
				frames = appendSendPacket(frames, b.public, data)
				if _, err := a.conn.Write(frames); err != nil {
					t.Fatal(err)
				}
				b.expectPacket(ctx, t, a, data)
			}
		}
		a.ping(ctx, t)
		counters := r.finish(t)
		counters.check(t, "unknown_frames", uint64(len(types)*len(lengths)))
		counters.check(t, "protocol_errors", 0)
	})
}

// TestFramesOfTheRelay sends what only a relay sends. A client that does so is odd, not hostile.
func TestFramesOfTheRelay(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		a := r.connectAs(ctx, t, "a", key.NewNode(), byUpgrade)
		b := r.connect(ctx, t, "b")
		forged := append(key.NewNode().Public().AppendTo(nil), "forged"...)
		for _, frame := range []struct {
			frameType derp.FrameType
			payload   []byte
		}{
			{derp.FrameServerKey, append([]byte(derp.Magic), pattern(1, derp.KeyLen)...)},
			{derp.FrameServerInfo, pattern(2, 60)},
			{derp.FrameRecvPacket, forged},
			{derp.FrameRecvPacket, append(b.public.AppendTo(nil), "forged"...)},
			{derp.FrameKeepAlive, nil},
			{derp.FramePeerGone, append(b.public.AppendTo(nil), 0)},
			{derp.FramePeerPresent, b.public.AppendTo(nil)},
			{derp.FramePong, pattern(3, 8)},
			{derp.FrameHealth, []byte("ill")},
			{derp.FrameRestarting, make([]byte, 8)},
		} {
			a.writeFrame(t, frame.frameType, frame.payload)
			data := []byte(fmt.Sprintf("behind %#x", frame.frameType))
			a.send(t, b.public, data)
			b.expectPacket(ctx, t, a, data)
			a.ping(ctx, t)
		}
	})
}

// TestMeshFramesWithoutKey: watching, closing and forwarding are for nodes with the mesh key. The
// relay closes the connection of another who tries, and nothing comes of it.
func TestMeshFramesWithoutKey(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		victim, friend := r.connect(ctx, t, "victim"), r.connect(ctx, t, "friend")
		forward := append(friend.public.AppendTo(nil), victim.public.AppendTo(nil)...)
		for _, frame := range []struct {
			frameType derp.FrameType
			payload   []byte
		}{
			{derp.FrameWatchConns, nil},
			{derp.FrameClosePeer, victim.public.AppendTo(nil)},
			{derp.FrameForwardPacket, append(forward, "forged"...)},
		} {
			attacker := r.connectAs(ctx, t, "attacker", key.NewNode(), byUpgrade)
			attacker.writeFrame(t, frame.frameType, frame.payload)
			for _, message := range attacker.expectEnd(ctx, t, prompt) {
				t.Errorf("after frame %#x the attacker got %s", frame.frameType, describe(message))
			}
			checkPair(ctx, t, victim, friend)
			attacker.leave()
		}
	})
}

// A badFrame breaks the rules by its length.
type badFrame struct {
	name      string
	frameType derp.FrameType
	length    uint32
}

// checkBadFrames sends each frame on a connection of its own, which must end, while another pair
// goes on. Only the header is sent, and of the contents what fits: the length alone is the fault.
func checkBadFrames(t *testing.T, frames []badFrame) {
	t.Helper()
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		watcher := r.connect(ctx, t, "watcher")
		for _, frame := range frames {
			bad := r.connectAs(ctx, t, frame.name, key.NewNode(), byUpgrade)
			bad.send(t, watcher.public, []byte("not bad yet"))
			watcher.expectPacket(ctx, t, bad, []byte("not bad yet"))

			header := binary.BigEndian.AppendUint32([]byte{byte(frame.frameType)}, frame.length)
			rest := append(watcher.public.AppendTo(nil), make([]byte, 1<<17)...)
			// An error is no fault: the relay may have closed the connection half way.
			bad.conn.Write(append(header, rest[:min(int(frame.length), len(rest))]...))
			if got := bad.expectEnd(ctx, t, prompt); len(got) > 0 {
				t.Errorf("%s: the relay answered with %s", frame.name, describe(got[0]))
			}
			watcher.expectGone(ctx, t, bad.public, left)
			checkPair(ctx, t, pair[0], pair[1])
		}
		for _, p := range pair {
			p.ping(ctx, t)
		}
		r.finish(t).check(t, "protocol_errors", uint64(len(frames)))
	})
}

func TestBadFrames(t *testing.T) {
	checkBadFrames(t, []badFrame{
		{"SendPacket without a key", derp.FrameSendPacket, 0},
		{"SendPacket with a short key", derp.FrameSendPacket, derp.KeyLen - 1},
		{"SendPacket one byte too long", derp.FrameSendPacket, derp.KeyLen + derp.MaxPacketSize + 1},
		{"SendPacket of 4 GiB", derp.FrameSendPacket, 1<<32 - 1},
		{"empty Ping", derp.FramePing, 0},
		{"Ping of 7 bytes", derp.FramePing, 7},
		{"Ping of 1001 bytes", derp.FramePing, 1001},
		{"empty NotePreferred", derp.FrameNotePreferred, 0},
		{"NotePreferred of 2 bytes", derp.FrameNotePreferred, 2},
	})
}

func TestEndlessUnknownFrame(t *testing.T) {
	skipOnReference(t, "it skips unknown frames of any length")
	checkBadFrames(t, []badFrame{
		{"unknown frame of 1 MiB and a byte", 0x7f, 1<<20 + 1},
		{"unknown frame of 4 GiB", 0x7f, 1<<32 - 1},
	})
}
