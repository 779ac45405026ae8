// SPDX-License-Identifier: BSD-3-Clause

// The ways to connect: Tailscale's whole HTTP client, or its DERP client on a connection that was
// upgraded by hand, with or without waiting for the relay's answer, or on a WebSocket. With TLS, connections made here
// go through crypto/tls, and every certificate is verified.

package interop

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/net/wsconn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

type way int

const (
	byHTTPClient way = iota // derphttp.Client with a URL
	byUpgrade               // derp.Client behind a 101
	byFastStart             // derp.Client that sends ClientInfo along with the request, without a 101
	byRegion                // derphttp.Client with a DERPMap's region; without TLS as byHTTPClient
	byWebSocket             // derp.Client as in a browser, whose WebSocket is not Tailscale's
	ways
)

// connect connects a new peer with a key of its own. It is connected when it has got ServerInfo:
// from then on the relay routes packets to it.
func (r *relay) connect(ctx context.Context, t *testing.T, name string) *peer {
	t.Helper()
	return r.connectAs(ctx, t, name, key.NewNode(), byHTTPClient)
}

// connectSeveral connects peers, each in another way than the one before.
func (r *relay) connectSeveral(ctx context.Context, t *testing.T, count int) []*peer {
	t.Helper()
	peers := make([]*peer, count)
	for i := range peers {
		peers[i] = r.connectAs(ctx, t, fmt.Sprintf("peer %d", i), key.NewNode(), way(i)%r.ways())
	}
	return peers
}

// ways counts the ways of connecting that take packets of all sizes: Tailscale's own server has a
// limit for WebSocket.
func (r *relay) ways() way {
	if r.engine == referenceName {
		return byWebSocket
	}
	return ways
}

func (r *relay) connectAs(ctx context.Context, t *testing.T, name string, private key.NodePrivate,
	how way) *peer {
	t.Helper()
	p := &peer{name: name, private: private, public: private.Public()}
	switch how {
	case byHTTPClient:
		r.useHTTPClient(ctx, t, p)
	case byRegion:
		if r.tls {
			r.useRegionClient(ctx, t, p)
		} else {
			r.useHTTPClient(ctx, t, p)
		}
	case byUpgrade:
		p.useDialed(r.dial(ctx, t))
		brw := buffered(p.conn)
		requestUpgrade(t, brw, r.address())
		p.useConn(t, brw)
	case byFastStart:
		p.useDialed(r.dial(ctx, t))
		brw := buffered(p.conn)
		// Not flushed: the client's first frame takes the request along.
		brw.WriteString(upgradeRequest(r.address(), derp.FastStartHeader+": 1"))
		p.useConn(t, brw, derp.ServerPublicKey(r.publicKey()))
	case byWebSocket:
		var ws *websocket.Conn
		ws, p.tcp = r.dialWebSocket(ctx, t)
		p.conn = wsconn.NetConn(context.Background(), ws, websocket.MessageBinary, r.address())
		p.useConn(t, buffered(p.conn))
	}
	return r.joined(ctx, t, p)
}

// joined waits until a peer that has said all it must is connected.
func (r *relay) joined(ctx context.Context, t *testing.T, p *peer) *peer {
	t.Helper()
	p.listen()
	t.Cleanup(p.leave)
	expect[derp.ServerInfoMessage](ctx, t, p)
	return p
}

func (r *relay) useHTTPClient(ctx context.Context, t *testing.T, p *peer) {
	t.Helper()
	c, err := derphttp.NewClient(p.private, r.url("/derp"), discardLog, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	if r.tls {
		c.TLSConfig = &tls.Config{RootCAs: r.roots()}
	}
	c.SetURLDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialTimed(ctx, address)
		if err != nil {
			return nil, err
		}
		p.tcp = conn
		return conn, nil
	})
	p.connectClient(ctx, t, c, r.publicKey())
}

// useRegionClient connects as tailscaled does: with a region of a DERPMap, which pins the relay's
// certificate.
func (r *relay) useRegionClient(ctx context.Context, t *testing.T, p *peer) {
	t.Helper()
	p.connectClient(ctx, t, regionClient(p.private, r.node()), r.publicKey())
}

// regionClient returns a client for a region that consists of this node.
func regionClient(private key.NodePrivate, node *tailcfg.DERPNode) *derphttp.Client {
	region := &tailcfg.DERPRegion{RegionID: node.RegionID, RegionCode: "interop",
		Nodes: []*tailcfg.DERPNode{node}}
	return derphttp.NewRegionClient(private, discardLog, netmon.NewStatic(),
		func() *tailcfg.DERPRegion { return region })
}

func (p *peer) connectClient(ctx context.Context, t *testing.T, c *derphttp.Client,
	server key.NodePublic) {
	t.Helper()
	c.AppName = "interop ✓"
	c.SetCanAckPings(true)
	if err := c.Connect(ctx); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	if got := c.ServerPublicKey(); got != server {
		t.Fatalf("%s: the relay's key is %v, its log says %v", p.name, got, server)
	}
	p.client = c
	p.close = func() { c.Close() }
}

// useDialed takes a connection made by dial.
func (p *peer) useDialed(conn net.Conn) {
	p.conn, p.tcp = conn, tcpBelow(conn)
}

// url returns the URL of a path.
func (r *relay) url(path string) string {
	if r.tls {
		return "https://" + r.address() + path
	}
	return "http://" + r.address() + path
}

func (p *peer) useConn(t *testing.T, brw *bufio.ReadWriter, options ...derp.ClientOpt) {
	t.Helper()
	c, err := derp.NewClient(p.private, p.conn, brw, discardLog, options...)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	p.client = c
	p.close = func() { p.conn.Close() }
}

func discardLog(string, ...any) {}

// timedConn is a TCP connection on which no Write waits for ever for a relay that does not read.
type timedConn struct{ *net.TCPConn }

func (c *timedConn) Write(data []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(cellDeadline)); err != nil {
		return 0, err
	}
	return c.TCPConn.Write(data)
}

func dialTimed(ctx context.Context, address string) (*timedConn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &timedConn{conn.(*net.TCPConn)}, nil
}

// dialTCP opens a connection on which nothing was said yet.
func (r *relay) dialTCP(ctx context.Context, t *testing.T) *timedConn {
	t.Helper()
	conn, err := dialTimed(ctx, r.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dial opens a connection on which HTTP is to be spoken: with TLS its handshake is done.
func (r *relay) dial(ctx context.Context, t *testing.T) net.Conn {
	t.Helper()
	conn := r.dialTCP(ctx, t)
	if !r.tls {
		return conn
	}
	return r.shakeHands(ctx, t, conn, r.tlsConfig())
}

// shakeHands puts TLS on a connection.
func (r *relay) shakeHands(ctx context.Context, t *testing.T, conn net.Conn,
	config *tls.Config) *tls.Conn {
	t.Helper()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		t.Fatalf("TLS handshake: %v", err)
	}
	t.Cleanup(func() { secure.Close() })
	return secure
}

// tlsConfig is that of a client which knows the relay by its certificate.
func (r *relay) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: r.roots(), ServerName: r.host}
}

// tcpBelow returns the TCP connection below another one.
func tcpBelow(conn net.Conn) *timedConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return conn.(*timedConn)
}

func buffered(conn net.Conn) *bufio.ReadWriter {
	return bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
}

// upgradeRequest returns the head of the request that opens a DERP connection.
func upgradeRequest(host string, more ...string) string {
	head := "GET /derp HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"
	for _, header := range more {
		head += header + "\r\n"
	}
	return head + "\r\n"
}

// requestUpgrade sends the request and reads the answer, which must be the switch to DERP.
func requestUpgrade(t *testing.T, brw *bufio.ReadWriter, host string) *http.Response {
	t.Helper()
	brw.WriteString(upgradeRequest(host))
	if err := brw.Flush(); err != nil {
		t.Fatal(err)
	}
	return readUpgrade(t, brw)
}

func readUpgrade(t *testing.T, brw *bufio.ReadWriter) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(brw.Reader, nil)
	if err != nil {
		t.Fatalf("no answer to the upgrade: %v", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the answer to the upgrade is %s, want 101", response.Status)
	}
	return response
}

// appendFrame appends a whole DERP frame.
func appendFrame(to []byte, frameType derp.FrameType, payload []byte) []byte {
	to = append(to, byte(frameType))
	to = binary.BigEndian.AppendUint32(to, uint32(len(payload)))
	return append(to, payload...)
}

// appendSendPacket appends the frame that sends a packet.
func appendSendPacket(to []byte, destination key.NodePublic, packet []byte) []byte {
	return appendFrame(to, derp.FrameSendPacket, append(destination.AppendTo(nil), packet...))
}

func randomBytes8() (data [8]byte) {
	rand.Read(data[:])
	return data
}
