// SPDX-License-Identifier: BSD-3-Clause

// Connections that never become a peer: garbage, forged and oversized beginnings. Each must end
// promptly, well before the deadline of a handshake, and leave nothing behind.

package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// checkCloses checks that the relay ends a connection promptly, and returns what it sent before.
func checkCloses(t *testing.T, name string, conn net.Conn) []byte {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(prompt)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	// A reset is an end too: the relay may close before it has read everything. So is one without
	// close_notify: who broke the rules is not told that nothing was cut off.
	if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s: the relay did not close the connection: %v", name, err)
	}
	return answer
}

// clientInfo makes a ClientInfo payload: the key it names, and the box sealed with another or not.
func clientInfo(named key.NodePublic, sealer key.NodePrivate, server key.NodePublic,
	json string) []byte {
	return append(named.AppendTo(nil), sealer.SealTo(server, []byte(json))...)
}

func TestBadClientInfo(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		honest, other := key.NewNode(), key.NewNode()
		server := r.publicKey()
		const json = `{"version":2,"CanAckPings":true}`
		damaged := clientInfo(honest.Public(), honest, server, json)
		damaged[len(damaged)-1] ^= 1
		good := clientInfo(honest.Public(), honest, server, json)

		cases := []struct {
			name  string
			frame []byte
		}{
			{"sealed by another key",
				appendFrame(nil, derp.FrameClientInfo, clientInfo(honest.Public(), other, server, json))},
			{"sealed for another relay",
				appendFrame(nil, derp.FrameClientInfo, clientInfo(honest.Public(), honest,
					other.Public(), json))},
			{"damaged", appendFrame(nil, derp.FrameClientInfo, damaged)},
			{"not JSON",
				appendFrame(nil, derp.FrameClientInfo, clientInfo(honest.Public(), honest, server, "{"))},
			{"empty", appendFrame(nil, derp.FrameClientInfo, nil)},
			{"too short for a nonce",
				appendFrame(nil, derp.FrameClientInfo, good[:derp.KeyLen+derp.NonceLen-1])},
			{"without a box",
				appendFrame(nil, derp.FrameClientInfo, good[:derp.KeyLen+derp.NonceLen])},
			{"of 1 MiB", binary.BigEndian.AppendUint32([]byte{byte(derp.FrameClientInfo)}, 1<<20)},
			{"a zero key",
				appendFrame(nil, derp.FrameClientInfo, make([]byte, len(good)))},
			{"a Ping instead", appendFrame(nil, derp.FramePing, make([]byte, 8))},
			{"a packet instead", appendSendPacket(nil, pair[0].public, []byte("too early"))},
			{"an unknown frame instead", appendFrame(nil, 0x7f, make([]byte, 100))},
		}
		for _, c := range cases {
			conn := r.dial(ctx, t)
			brw := buffered(conn)
			requestUpgrade(t, brw, r.address())
			// A packet behind it must not be taken either.
			conn.Write(appendSendPacket(c.frame, pair[0].public, []byte("from nobody")))
			checkCloses(t, "ClientInfo "+c.name, conn)
			checkPair(ctx, t, pair[0], pair[1])
		}

		// None of them has joined.
		pair[0].send(t, honest.Public(), discoPacket())
		pair[0].expectGone(ctx, t, honest.Public(), notHere)
		counters := r.finish(t)
		counters.check(t, "handshakes_ok", uint64(len(pair)))
		counters.check(t, "handshakes_failed", uint64(len(cases)))
	})
}

// TestGarbage sends what is no request. Whether the relay says a word before it closes is its own
// affair, as long as it is an error in HTTP.
func TestGarbage(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		for _, garbage := range []string{
			"hello\r\n\r\n",
			"GET\r\n\r\n",
			"GET /derp\r\n\r\n",
			"GET /derp HTTP/3.7\r\n\r\n",
			"GET /derp HTTP/1.1\r\nno header\r\n\r\n",
			"GET /derp HTTP/1.1\r\nHost : x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n",
			"GET /derp HTTP/1.1\r\nHost: x\r\nHost: y\r\nUpgrade: DERP\r\n\r\n",
			"\x00\x01\x02\x03\r\n\r\n",
		} {
			conn := r.dial(ctx, t)
			if _, err := conn.Write([]byte(garbage)); err != nil {
				t.Fatal(err)
			}
			answer := checkCloses(t, garbage, conn)
			if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) &&
				!bytes.HasPrefix(answer, []byte("HTTP/1.1 505")) {
				t.Errorf("%q is answered with %q", garbage, answer)
			}
			checkPair(ctx, t, pair[0], pair[1])
		}
	})
}

// TestGarbageWithoutEnd sends what can no longer become a request, but is no whole head either.
func TestGarbageWithoutEnd(t *testing.T) {
	skipOnReference(t, "it waits for the end of a line")
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		for name, garbage := range map[string]string{
			"TLS ClientHello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(pattern(1, 100)),
			"zeros":           string(make([]byte, 64)),
			"DERP frame":      string(appendFrame(nil, derp.FramePing, make([]byte, 8))),
			"long head": "GET /derp HTTP/1.1\r\nHost: x\r\nX-Long: " +
				strings.Repeat("a", 20000),
			"many headers": "GET /derp HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 2000),
			"long target":  "GET /" + strings.Repeat("a", 20000),
		} {
			conn := r.dial(ctx, t)
			conn.Write([]byte(garbage))
			checkCloses(t, name, conn)
			checkPair(ctx, t, pair[0], pair[1])
		}
	})
}

// TestLeavesDuringHandshake: a client may go away after any byte; nothing may stay behind, which the
// counters show at the end.
func TestLeavesDuringHandshake(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		private := key.NewNode()
		hello := upgradeRequest(r.address(), derp.FastStartHeader+": 1") +
			string(appendFrame(nil, derp.FrameClientInfo,
				clientInfo(private.Public(), private, r.publicKey(), `{"version":2}`)))
		for cut := 0; cut < len(hello); cut += 7 {
			conn := r.dial(ctx, t)
			if _, err := conn.Write([]byte(hello[:cut])); err != nil {
				t.Fatal(err)
			}
			if cut%2 == 0 {
				tcpBelow(conn).SetLinger(0)
			}
			tcpBelow(conn).Close()
		}
		checkPair(ctx, t, pair[0], pair[1])
		r.finish(t).check(t, "handshakes_ok", uint64(len(pair)))
	})
}
