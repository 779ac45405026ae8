// SPDX-License-Identifier: BSD-3-Clause

// How a client joins: the upgrade, its answer, fast start, and heads that come in odd pieces.

package interop

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

func TestHandshake(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		// connectAs compares the relay's key with its log and waits for ServerInfo.
		a := r.connectAs(ctx, t, "derphttp client", key.NewNode(), byHTTPClient)
		b := r.connectAs(ctx, t, "derp client", key.NewNode(), byUpgrade)
		c := r.connectAs(ctx, t, "fast start client", key.NewNode(), byFastStart)
		checkPair(ctx, t, a, b)
		checkPair(ctx, t, b, c)
		checkPair(ctx, t, c, a)
		r.finish(t).check(t, "handshakes_ok", 3)
	})
}

func TestUpgradeAnswer(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		brw := buffered(r.dial(ctx, t))
		header := requestUpgrade(t, brw, r.address()).Header
		for name, want := range map[string]string{
			"Upgrade":         "DERP",
			"Connection":      "Upgrade",
			"Derp-Version":    "2",
			"Derp-Public-Key": r.publicKey().UntypedHexString(),
		} {
			if got := header.Get(name); !strings.EqualFold(got, want) {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
		// The relay speaks first: its magic and its key.
		length, err := derp.ReadFrameTypeHeader(brw.Reader, derp.FrameServerKey)
		if err != nil {
			t.Fatal(err)
		}
		want := derp.Magic + string(r.publicKey().AppendTo(nil))
		if length < uint32(len(want)) {
			t.Fatalf("ServerKey of %d bytes", length)
		}
		if got, err := brw.Peek(len(want)); err != nil || string(got) != want {
			t.Errorf("ServerKey %x (%v), want %x", got, err, want)
		}
	})
}

// corkedConn holds back what is written until it is released, to send several things at once.
type corkedConn struct {
	net.Conn
	held     []byte
	released bool
}

func (c *corkedConn) Write(data []byte) (int, error) {
	if c.released {
		return c.Conn.Write(data)
	}
	c.held = append(c.held, data...)
	return len(data), nil
}

func (c *corkedConn) release(t *testing.T) {
	t.Helper()
	c.released = true
	if _, err := c.Conn.Write(c.held); err != nil {
		t.Fatal(err)
	}
}

// TestEverythingInOneWrite sends request, ClientInfo, a packet and a Ping as one piece: what follows
// the request belongs to DERP and must not be lost.
func TestEverythingInOneWrite(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		receiver := r.connect(ctx, t, "receiver")
		for _, fastStart := range []bool{true, false} {
			p := &peer{name: "sender", private: key.NewNode()}
			p.public = p.private.Public()
			corked := &corkedConn{Conn: r.dial(ctx, t)}
			p.conn, p.tcp = corked, tcpBelow(corked.Conn)
			brw := buffered(corked)
			if fastStart {
				brw.WriteString(upgradeRequest(r.address(), derp.FastStartHeader+": 1"))
			} else {
				brw.WriteString(upgradeRequest(r.address()))
			}
			p.useConn(t, brw, derp.ServerPublicKey(r.publicKey()))
			data := pattern(7, 1200)
			p.send(t, receiver.public, data)
			ping := randomBytes8()
			if err := p.client.SendPing(ping); err != nil {
				t.Fatal(err)
			}
			corked.release(t)

			if fastStart {
				first, err := brw.Peek(1)
				if err != nil {
					t.Fatal(err)
				}
				if derp.FrameType(first[0]) != derp.FrameServerKey {
					t.Fatalf("with fast start the first byte is %#x, want a ServerKey frame", first)
				}
			} else {
				readUpgrade(t, brw)
			}
			p.listen()
			t.Cleanup(p.leave)
			expect[derp.ServerInfoMessage](ctx, t, p)
			if pong := expect[derp.PongMessage](ctx, t, p); pong != derp.PongMessage(ping) {
				t.Errorf("Pong %x for Ping %x", pong, ping)
			}
			receiver.expectPacket(ctx, t, p, data)
		}
	})
}

// slowConn sends each byte by itself.
type slowConn struct{ net.Conn }

func (c *slowConn) Write(data []byte) (int, error) {
	for i := range data {
		if _, err := c.Conn.Write(data[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(data), nil
}

func TestByteByByte(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		other := r.connect(ctx, t, "other")
		for _, fastStart := range []bool{true, false} {
			p := &peer{name: "slow peer", private: key.NewNode()}
			p.public = p.private.Public()
			p.tcp = r.dialTCP(ctx, t)
			p.conn = &slowConn{p.tcp}
			if r.tls {
				p.conn = r.shakeHands(ctx, t, p.conn, r.tlsConfig())
			}
			brw := buffered(p.conn)
			if fastStart {
				brw.WriteString(upgradeRequest(r.address(), derp.FastStartHeader+": 1"))
				p.useConn(t, brw, derp.ServerPublicKey(r.publicKey()))
			} else {
				requestUpgrade(t, brw, r.address())
				p.useConn(t, brw)
			}
			p.listen()
			t.Cleanup(p.leave)
			expect[derp.ServerInfoMessage](ctx, t, p)
			checkPair(ctx, t, p, other)
			data := pattern(1, 1400)
			p.send(t, other.public, data)
			other.expectPacket(ctx, t, p, data)
			p.ping(ctx, t)
		}
	})
}

// TestIdle only waits: a connection on which nothing happens stays open.
func TestIdle(t *testing.T) {
	forEachCellAtOnce(t, func(ctx context.Context, t *testing.T, r *relay) {
		a, b := r.connect(ctx, t, "a"), r.connect(ctx, t, "b")
		if message := a.within(ctx, t, 3*time.Second); message != nil {
			t.Fatalf("the idle peer got %s", describe(message))
		}
		checkPair(ctx, t, a, b)
	})
}
