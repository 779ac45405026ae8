// SPDX-License-Identifier: BSD-3-Clause

// The end of a TLS connection, in each order that its parts can take: close_notify tells that nothing
// was cut off, and each side says it for its own direction.

package interop

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// watchedConn remembers with what its stream ended: io.EOF is close_notify, io.ErrUnexpectedEOF is
// an end without.
type watchedConn struct {
	net.Conn
	mu  sync.Mutex
	err error
}

func (c *watchedConn) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// checkEnd checks that the relay has said close_notify.
func (c *watchedConn) checkEnd(t *testing.T, name string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != io.EOF {
		t.Errorf("%s: the stream ended with %v, want close_notify", name, c.err)
	}
}

// connectWatched connects a peer with TLS whose end can be seen.
func (r *relay) connectWatched(ctx context.Context, t *testing.T, name string) (*peer, *watchedConn) {
	t.Helper()
	p := &peer{name: name, private: key.NewNode()}
	p.public = p.private.Public()
	conn := r.dial(ctx, t)
	watched := &watchedConn{Conn: conn}
	p.conn, p.tcp = watched, tcpBelow(conn)
	brw := buffered(p.conn)
	requestUpgrade(t, brw, r.address())
	p.useConn(t, brw)
	return r.joined(ctx, t, p), watched
}

// closeWrite ends the sending side alone.
func (c *watchedConn) closeWrite(t *testing.T) {
	t.Helper()
	if err := c.Conn.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// TestTLSClientClosesFirst: the relay answers close_notify with its own, and takes an end without
// it as an end.
func TestTLSClientClosesFirst(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		watcher := r.connect(ctx, t, "watcher")
		for name, leave := range map[string]func(p *peer, c *watchedConn){
			"close_notify, then waits": func(p *peer, c *watchedConn) {
				c.closeWrite(t)
				p.expectEnd(ctx, t, prompt)
				c.checkEnd(t, "close_notify, then waits")
			},
			"close_notify, then closes": func(p *peer, c *watchedConn) { c.Conn.Close() },
			"closes alone":              func(p *peer, c *watchedConn) { p.tcp.Close() },
			"ends its side of TCP alone": func(p *peer, c *watchedConn) {
				p.tcp.CloseWrite()
				p.expectEnd(ctx, t, prompt)
			},
			"close_notify, then a reset": func(p *peer, c *watchedConn) {
				if err := p.tcp.SetLinger(0); err != nil {
					t.Fatal(err)
				}
				c.closeWrite(t)
				p.tcp.Close()
			},
		} {
			p, conn := r.connectWatched(ctx, t, name)
			p.send(t, watcher.public, []byte(name))
			watcher.expectPacket(ctx, t, p, []byte(name))
			leave(p, conn)
			watcher.expectGone(ctx, t, p.public, left)
			watcher.ping(ctx, t)
		}
		counters := r.finish(t)
		counters.check(t, "protocol_errors", 0)
		counters.check(t, "tls_alerts_sent", 0)
		counters.check(t, "tls_alerts_received", 0)
	})
}

// TestTLSHalfClosed: a client that has nothing more to say still gets what was sent to it before,
// whole and in order, and then the relay's close_notify.
func TestTLSHalfClosed(t *testing.T) {
	const packets, size = 900, 1000 // what a relay queues, should the kernel take none of it
	skipOnReference(t, "it drops what is queued")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		sender := r.connect(ctx, t, "sender")
		p := &peer{name: "half closed", private: key.NewNode()}
		p.public = p.private.Public()
		tcp := r.dialTCP(ctx, t)
		if err := tcp.SetReadBuffer(32 << 10); err != nil {
			t.Fatal(err)
		}
		watched := &watchedConn{Conn: r.shakeHands(ctx, t, tcp, r.tlsConfig())}
		p.conn, p.tcp = watched, tcp
		brw := buffered(p.conn)
		requestUpgrade(t, brw, r.address())
		p.useConn(t, brw)
		if _, err := p.client.Recv(); err != nil { // ServerInfo: it has joined
			t.Fatal(err)
		}
		for i := range packets {
			sender.send(t, p.public, pattern(uint64(i), size))
		}
		// All of them are with the relay, and p has read none.
		sender.ping(ctx, t)
		watched.closeWrite(t)
		p.listen()
		t.Cleanup(p.leave)
		for i := range packets {
			p.expectPacket(ctx, t, sender, pattern(uint64(i), size))
		}
		p.expectEnd(ctx, t, prompt)
		watched.checkEnd(t, p.name)
		counters := r.finish(t)
		counters.check(t, "packets_delivered", packets)
	})
}

// TestTLSRelayCloses: a relay that stops tells its clients so, and that nothing is missing.
func TestTLSRelayCloses(t *testing.T) {
	skipOnReference(t, "it does not announce its end")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		var peers []*peer
		var conns []*watchedConn
		for range 6 {
			p, conn := r.connectWatched(ctx, t, "p")
			peers, conns = append(peers, p), append(conns, conn)
		}
		recordPeer, records := r.connectRecords(ctx, t, "records")
		for _, p := range peers[1:] {
			p.send(t, peers[0].public, pattern(1, 1000))
		}
		for range peers[1:] {
			expect[derp.ReceivedPacket](ctx, t, peers[0])
		}
		r.finish(t)
		for i, p := range append(peers, recordPeer) {
			expectRestarting(ctx, t, p)
			if i < len(conns) {
				conns[i].checkEnd(t, p.name)
			}
		}
		records.checkAlert(t, "the relay stops", alertCloseNotify)
	})
}

// TestTLSAfterAnswer: a page ends with close_notify, so that its end is known to be one.
func TestTLSAfterAnswer(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		for _, path := range []string{"/derp/probe", "/derp", "/derp/latency-check"} {
			conn := r.dial(ctx, t)
			if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(prompt))
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
				t.Errorf("%s: %q, %v", path, answer, err)
			}
		}
	})
}

// TestTLSCrossingCloses: packets are under way to clients that close at the same time.
func TestTLSCrossingCloses(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		sender := r.connect(ctx, t, "sender")
		for i := range 30 {
			p, conn := r.connectWatched(ctx, t, "p")
			for range 50 {
				sender.send(t, p.public, pattern(uint64(i), 1400))
			}
			switch i % 3 {
			case 0:
				conn.closeWrite(t)
				for range p.expectEnd(ctx, t, prompt) {
				}
				if r.engine != referenceName {
					conn.checkEnd(t, "packets under way")
				}
			case 1:
				conn.Conn.Close()
			case 2:
				p.abort(t)
			}
			checkPair(ctx, t, pair[0], pair[1])
		}
		// finish checks that each packet was delivered or dropped for a reason.
		r.finish(t).check(t, "protocol_errors", 0)
	})
}

// TestTLSCloseNotify: behind it nothing is taken, and the relay says the same.
func TestTLSCloseNotify(t *testing.T) {
	skipOnReference(t, "it does not tell others of a client that left in this way")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		watcher := r.connect(ctx, t, "watcher")
		p, records := r.connectRecords(ctx, t, "p")
		packet := func(text string) []byte {
			return records.out.seal(typeData, appendSendPacket(nil, watcher.public, []byte(text)), 0)
		}
		records.send(packet("before"), records.out.seal(typeAlert, []byte{1, alertCloseNotify}, 0),
			packet("behind"), noise(typeData, 100), noise(typeHandshake, 10))
		watcher.expectPacket(ctx, t, p, []byte("before"))
		p.expectEnd(ctx, t, prompt)
		records.checkAlert(t, "close_notify", alertCloseNotify)
		watcher.expectGone(ctx, t, p.public, left)
		watcher.ping(ctx, t)

		// An alert that gives up is answered with the end alone.
		p, records = r.connectRecords(ctx, t, "p again")
		records.send(packet("before"), records.out.seal(typeAlert, []byte{2, alertHandshakeFailure}, 0),
			packet("behind"))
		watcher.expectPacket(ctx, t, p, []byte("before"))
		p.expectEnd(ctx, t, prompt)
		watcher.expectGone(ctx, t, p.public, left)
		watcher.ping(ctx, t)
		counters := r.finish(t)
		counters.check(t, "tls_alerts_received", 1)
		counters.check(t, "tls_alerts_sent", 0)
		counters.check(t, "packets_received", 2)
	})
}
