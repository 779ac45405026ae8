// SPDX-License-Identifier: BSD-3-Clause

// TLS handshakes: who the relay is, what the two agree upon, what they do not, and clients that
// come in odd pieces or not at all.

package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// TestTLSDerpkey: behind the relay's own certificate comes one whose name is the relay's key. By it
// Tailscale's client says at once who it is, without waiting for an answer to its request.
func TestTLSDerpkey(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		want := "derpkey" + r.publicKey().UntypedHexString()
		for _, how := range []way{byHTTPClient, byRegion} {
			p := r.connectAs(ctx, t, "p", key.NewNode(), how)
			state, ok := p.client.(*derphttp.Client).TLSConnectionState()
			if !ok {
				t.Fatal("the client has no TLS")
			}
			shown := state.PeerCertificates
			if len(shown) != 2 || shown[1].Subject.CommonName != want {
				t.Errorf("the relay shows %d certificates, the last for %q; want 2 and %q", len(shown),
					shown[len(shown)-1].Subject.CommonName, want)
			}
			if state.Version != tls.VersionTLS13 {
				t.Errorf("version %#x, want TLS 1.3", state.Version)
			}
		}
		counters := r.finish(t)
		counters.check(t, "tls_ok", 2)
		counters.check(t, "handshakes_ok", 2)
		// One request each, and no answer in HTTP: with one, derphttp would have found its letters
		// where frames begin.
		counters.check(t, "protocol_errors", 0)
	})
}

// altered returns a copy of the node in the relay's log that differs in something.
func altered(r *relay, change func(node *tailcfg.DERPNode)) *tailcfg.DERPNode {
	node := *r.node()
	change(&node)
	return &node
}

// TestTLSPins: a client that knows the relay by its hash refuses every other one.
func TestTLSPins(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		pin := r.node().CertName
		if !strings.HasPrefix(pin, "sha256-raw:") || len(pin) != len("sha256-raw:")+64 {
			t.Fatalf("the node's CertName is %q", pin)
		}
		other := strings.Map(func(c rune) rune {
			if c == 'a' {
				return 'b'
			} else if c == '1' {
				return '2'
			}
			return c
		}, pin[len("sha256-raw:"):])
		for _, c := range []struct {
			name, want string
			node       *tailcfg.DERPNode
		}{
			{"another hash", "cert hash does not match",
				altered(r, func(n *tailcfg.DERPNode) { n.CertName = "sha256-raw:" + other })},
			{"another host", "does not match server name", altered(r, func(n *tailcfg.DERPNode) {
				n.HostName, n.IPv4 = "derp.invalid", "127.0.0.1"
			})},
			{"no pin", "signed by unknown authority",
				altered(r, func(n *tailcfg.DERPNode) { n.CertName = "" })},
		} {
			client := regionClient(key.NewNode(), c.node)
			err := client.Connect(ctx)
			client.Close()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			checkPair(ctx, t, pair[0], pair[1])
		}
		counters := r.finish(t)
		counters.check(t, "handshakes_ok", 2)
		counters.check(t, "tls_ok", 2)
		// Each client sends an alert and closes, with what the relay sent unread: the reset may
		// overtake the alert.
		if counters != nil && counters["tls_failed"]+counters["tls_abandoned"] != 3 {
			t.Errorf("%d handshakes failed and %d abandoned, together want 3",
				counters["tls_failed"], counters["tls_abandoned"])
		}
	})
}

// TestTLSChain: a certificate with an intermediate, as a public authority issues it, for a name.
func TestTLSChain(t *testing.T) {
	root := makeIdentity(t, "", nil)
	chain := makeIdentity(t, "derp.test", makeIdentity(t, "", root))
	for _, c := range matrix {
		if !c.tls {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
			defer cancel()
			r := startRelay(ctx, t, c, settings{host: "derp.test", identity: chain})
			_, port, err := net.SplitHostPort(r.address())
			if err != nil {
				t.Fatal(err)
			}
			node := &tailcfg.DERPNode{Name: "1a", RegionID: 1, HostName: "derp.test",
				IPv4: "127.0.0.1", IPv6: "none", STUNPort: -1}
			if node.DERPPort, err = strconv.Atoi(port); err != nil {
				t.Fatal(err)
			}
			client := regionClient(key.NewNode(), node)
			client.TLSConfig = &tls.Config{RootCAs: root.roots()}
			if err := client.Connect(ctx); err != nil {
				t.Error(err)
			}
			client.Close()
			// Who expects another name is not content, nor who knows another authority.
			for name, config := range map[string]*tls.Config{
				"other name":      {RootCAs: root.roots(), ServerName: "other.test"},
				"other authority": {RootCAs: makeIdentity(t, "", nil).roots(), ServerName: "derp.test"},
			} {
				err := tls.Client(r.dialTCP(ctx, t), config).HandshakeContext(ctx)
				var wrong *tls.CertificateVerificationError
				if !errors.As(err, &wrong) {
					t.Errorf("%s: %v, want a certificate error", name, err)
				} else if len(wrong.UnverifiedCertificates) != 3 {
					t.Errorf("%s: %d certificates shown, want 3", name, len(wrong.UnverifiedCertificates))
				}
			}
		})
	}
}

// A negotiation is what a client offers, and what must come of it.
type negotiation struct {
	name   string
	config *tls.Config
	check  func(state tls.ConnectionState) error
	fault  string // or: the error of a client that is refused
}

func wantCurve(curve tls.CurveID, retry bool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if state.CurveID != curve || state.HelloRetryRequest != retry {
			return fmt.Errorf("curve %v, HelloRetryRequest %v, want %v, %v", state.CurveID,
				state.HelloRetryRequest, curve, retry)
		}
		return nil
	}
}

func wantProtocol(protocol string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol != protocol {
			return fmt.Errorf("protocol %q, want %q", state.NegotiatedProtocol, protocol)
		}
		return nil
	}
}

var negotiations = []negotiation{
	{name: "what Go offers", check: func(state tls.ConnectionState) error {
		suites := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384,
			tls.TLS_CHACHA20_POLY1305_SHA256}
		if state.Version != tls.VersionTLS13 || !slices.Contains(suites, state.CipherSuite) ||
			state.DidResume {
			return fmt.Errorf("version %#x, suite %#x, resumed %v", state.Version, state.CipherSuite,
				state.DidResume)
		}
		return wantCurve(tls.X25519, false)(state)
	}},
	{name: "X25519 alone", config: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}},
		check: wantCurve(tls.X25519, false)},
	{name: "P-256 alone", config: &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}},
		check: wantCurve(tls.CurveP256, false)},
	{name: "a key share of none that the relay has",
		config: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.CurveP256}},
		check:  wantCurve(tls.CurveP256, true)},
	{name: "P-384 and P-521 alone",
		config: &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384, tls.CurveP521}},
		fault:  "handshake failure"},
	{name: "TLS 1.2", config: &tls.Config{MaxVersion: tls.VersionTLS12},
		fault: "protocol version not supported"},
	{name: "TLS 1.0", config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		fault: "protocol version not supported"},
	{name: "HTTP/1.1", config: &tls.Config{NextProtos: []string{"http/1.1"}},
		check: wantProtocol("http/1.1")},
	{name: "HTTP/2 rather than HTTP/1.1", config: &tls.Config{NextProtos: []string{"h2", "http/1.1"}},
		check: wantProtocol("http/1.1")},
	{name: "HTTP/2 alone", config: &tls.Config{NextProtos: []string{"h2"}},
		fault: "no application protocol"},
	{name: "no protocol", check: wantProtocol("")},
	{name: "many protocols", // a ClientHello of some 10 KB
		config: &tls.Config{NextProtos: append(manyProtocols(), "http/1.1")},
		check:  wantProtocol("http/1.1")},
}

func manyProtocols() (names []string) {
	for i := range 100 {
		names = append(names, strings.Repeat("x", 96)+fmt.Sprint(i))
	}
	return names
}

func TestTLSNegotiation(t *testing.T) {
	skipOnReference(t, "it offers more")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		refused := uint64(0)
		for _, n := range negotiations {
			config := &tls.Config{}
			if n.config != nil {
				config = n.config.Clone()
			}
			config.RootCAs, config.ServerName = r.roots(), r.host
			secure := tls.Client(r.dialTCP(ctx, t), config)
			err := secure.HandshakeContext(ctx)
			if n.fault != "" {
				refused++
				if err == nil || !strings.Contains(err.Error(), "remote error: tls: "+n.fault) {
					t.Errorf("%s: %v, want the alert %q", n.name, err, n.fault)
				}
				continue
			}
			if err == nil {
				err = n.check(secure.ConnectionState())
			}
			if err != nil {
				t.Errorf("%s: %v", n.name, err)
				continue
			}
			requestUpgrade(t, buffered(secure), r.address())
			secure.Close()
			checkPair(ctx, t, pair[0], pair[1])
		}
		counters := r.finish(t)
		counters.check(t, "tls_failed", refused)
		counters.check(t, "tls_ok", uint64(len(negotiations))-refused+2)
	})
}

// TestTLSNoResumption: the relay sends no ticket, so every handshake is a whole one.
func TestTLSNoResumption(t *testing.T) {
	skipOnReference(t, "it resumes sessions")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		cache := tls.NewLRUClientSessionCache(8)
		for range 3 {
			config := r.tlsConfig()
			config.ClientSessionCache = cache
			conn := r.shakeHands(ctx, t, r.dialTCP(ctx, t), config)
			requestUpgrade(t, buffered(conn), r.address())
			if conn.ConnectionState().DidResume {
				t.Error("a session was resumed: the relay has sent a ticket")
			}
			if _, ok := cache.Get(r.host); ok {
				t.Error("the relay has sent a ticket")
			}
			conn.Close()
		}
	})
}

// fragmentConn puts the bytes of the handshake's first record, the ClientHello, into many records.
type fragmentConn struct {
	net.Conn
	size int // of the content of each
	done bool
}

func (c *fragmentConn) Write(data []byte) (int, error) {
	if c.done {
		return c.Conn.Write(data)
	}
	c.done = true
	var records []byte
	for rest := data[recordHeader:]; len(rest) > 0; {
		part := rest[:min(c.size, len(rest))]
		records = append(records, typeHandshake, 3, 1, byte(len(part)>>8), byte(len(part)))
		records = append(records, part...)
		rest = rest[len(part):]
	}
	if _, err := c.Conn.Write(records); err != nil {
		return 0, err
	}
	return len(data), nil
}

// TestTLSClientHelloInRecords: a ClientHello may be split over records (RFC 8446, section 5.1).
func TestTLSClientHelloInRecords(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		for _, size := range []int{4, 5, 16, 100, 512, 1000} {
			for _, slow := range []bool{false, true} {
				var conn net.Conn = r.dialTCP(ctx, t)
				if slow {
					conn = &slowConn{conn}
				}
				secure := r.shakeHands(ctx, t, &fragmentConn{Conn: conn, size: size}, r.tlsConfig())
				requestUpgrade(t, buffered(secure), r.address())
				conn.Close()
			}
		}
		r.finish(t).check(t, "tls_ok", 12)
	})
}

// heldConn sends the first write, the ClientHello, and holds the next until it is released.
type heldConn struct {
	corkedConn
	greeted bool
}

func (c *heldConn) Write(data []byte) (int, error) {
	if !c.greeted {
		c.greeted = true
		return c.Conn.Write(data)
	}
	return c.corkedConn.Write(data)
}

// TestTLSFinishedWithMore: the client's Finished, its request, its ClientInfo, a packet and a Ping
// come in one piece. What follows the handshake is no longer OpenSSL's.
func TestTLSFinishedWithMore(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		receiver := r.connect(ctx, t, "receiver")
		for _, size := range []int{100, 1200, 40000, derp.MaxPacketSize} {
			tcp := r.dialTCP(ctx, t)
			held := &heldConn{corkedConn: corkedConn{Conn: tcp}}
			p := &peer{name: "sender", private: key.NewNode(), tcp: tcp}
			p.public = p.private.Public()
			p.conn = r.shakeHands(ctx, t, held, r.tlsConfig())
			brw := buffered(p.conn)
			brw.WriteString(upgradeRequest(r.address(), derp.FastStartHeader+": 1"))
			p.useConn(t, brw, derp.ServerPublicKey(r.publicKey()))
			data := pattern(11, size)
			p.send(t, receiver.public, data)
			ping := randomBytes8()
			if err := p.client.SendPing(ping); err != nil {
				t.Fatal(err)
			}
			held.release(t)
			r.joined(ctx, t, p)
			if pong := expect[derp.PongMessage](ctx, t, p); pong != derp.PongMessage(ping) {
				t.Errorf("Pong %x for Ping %x", pong, ping)
			}
			receiver.expectPacket(ctx, t, p, data)
		}
	})
}

// firstBytes returns the ClientHello that a client sends.
func firstBytes(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go tls.Client(client, &tls.Config{ServerName: "derp.test"}).Handshake()
	hello, err := readRecord(server)
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

// TestTLSLeavesDuringHandshake: a client may go away after any byte of its handshake.
func TestTLSLeavesDuringHandshake(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		hello := firstBytes(t)
		tries := 0
		for cut := 0; cut < len(hello); cut += 1 + cut/10 {
			for _, reset := range []bool{false, true} {
				conn := r.dialTCP(ctx, t)
				if _, err := conn.Write(hello[:cut]); err != nil {
					t.Fatal(err)
				}
				if reset {
					conn.SetLinger(0)
				}
				conn.Close()
				tries++
			}
		}
		// Whole, and gone before or after the answer.
		for range 20 {
			conn := r.dialTCP(ctx, t)
			conn.Write(hello)
			conn.Close()
			conn = r.dialTCP(ctx, t)
			conn.Write(hello)
			if _, err := readRecord(conn); err != nil {
				t.Fatal(err)
			}
			conn.SetLinger(0)
			conn.Close()
			tries += 2
		}
		checkPair(ctx, t, pair[0], pair[1])
		counters := r.finish(t)
		counters.check(t, "tls_ok", 2)
		counters.check(t, "handshakes_ok", 2)
		if counters != nil && counters.get(t, "tls_abandoned") > uint64(tries) {
			t.Errorf("%d handshakes abandoned, of %d", counters["tls_abandoned"], tries)
		}
	})
}

// TestTLSStrangers: what is no TLS is told so where it can be, and ended at once.
func TestTLSStrangers(t *testing.T) {
	skipOnReference(t, "it waits for a whole record")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		response, err := http.Get("http://" + r.address() + "/derp/probe")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusBadRequest ||
			!strings.Contains(string(text), "HTTPS") {
			t.Errorf("a request in the clear is answered with %s %q, %v", response.Status, text, err)
		}
		response.Body.Close()
		strangers := map[string]string{
			"SSH":                  "SSH-2.0-OpenSSH_9.2\r\n",
			"a POST":               "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
			"zeros":                string(make([]byte, 100)),
			"a DERP frame":         string(appendFrame(nil, derp.FramePing, make([]byte, 8))),
			"an SSL 2 ClientHello": "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
			"a record of data":     string(noise(typeData, 100)),
			"an alert":             "\x15\x03\x01\x00\x02\x02\x28",
			"no ClientHello":       "\x16\x03\x01\x00\x28\x02" + string(make([]byte, 39)),
			"a record too long":    "\x16\x03\x01\x40\x01\x01",
			"another version":      "\x16\x04\x01\x00\x28\x01",
		}
		for name, bytes := range strangers {
			conn := r.dialTCP(ctx, t)
			conn.Write([]byte(bytes))
			if answer := checkCloses(t, name, conn); len(answer) > 0 {
				t.Errorf("%s: answered with %x", name, answer)
			}
			checkPair(ctx, t, pair[0], pair[1])
		}
		r.finish(t).check(t, "tls_not_tls", uint64(len(strangers)+1))
	})
}

// TestTLSDamagedHandshake: a client whose ClientHello or Finished is not what it should be is
// refused with an alert.
func TestTLSDamagedHandshake(t *testing.T) {
	skipOnReference(t, "it answers with other alerts")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		hello := firstBytes(t)
		for name, bytes := range map[string][]byte{
			"a length inside":        flip(slices.Clone(hello), recordHeader+3),
			"of nothing":             {typeHandshake, 3, 1, 0, 4, 1, 0, 0, 0},
			"of 16 MiB":              append([]byte{typeHandshake, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 1<<14-4)...),
			"with a record of data":  append(slices.Clone(hello), noise(typeData, 50)...),
			"with an early Finished": append(slices.Clone(hello), typeHandshake, 3, 3, 0, 4, 20, 0, 0, 0),
		} {
			conn := r.dialTCP(ctx, t)
			conn.Write(bytes)
			conn.Write(make([]byte, 1<<15)) // zeros are no record
			answer := checkCloses(t, name, conn)
			if len(answer) > 0 && answer[0] != typeAlert && answer[0] != typeHandshake {
				t.Errorf("%s: answered with %x", name, answer)
			}
			checkPair(ctx, t, pair[0], pair[1])
		}
		counters := r.finish(t)
		counters.check(t, "tls_failed", 5)
		counters.check(t, "tls_ok", 2)
	})
}

// TestTLSDeadline: a client that takes its time is ended when the time for a handshake is over,
// wherever it is.
func TestTLSDeadline(t *testing.T) {
	skipOnReference(t, "it has another deadline")
	const limit = 2 * time.Second
	t.Parallel()
	for _, c := range matrix {
		if !c.tls {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
			defer cancel()
			r := startRelay(ctx, t, c, settings{more: "limits.handshake_timeout = \"2s\"\n"})
			pair := r.connectSeveral(ctx, t, 2)
			hello := firstBytes(t)
			slow := map[string]func(conn net.Conn){
				"says nothing": func(net.Conn) {},
				"a byte a second": func(conn net.Conn) {
					tick := time.NewTicker(time.Second)
					defer tick.Stop()
					for i := range hello {
						if _, err := conn.Write(hello[i : i+1]); err != nil {
							return
						}
						select {
						case <-tick.C:
						case <-ctx.Done():
							return
						}
					}
				},
				"stops before the end of its ClientHello": func(conn net.Conn) {
					conn.Write(hello[:len(hello)-1])
				},
				"stops after its ClientHello": func(conn net.Conn) { conn.Write(hello) },
			}
			// Who has shaken hands and says no more is no better.
			silent := r.dial(ctx, t)
			var tasks []func(context.Context) error
			for name, write := range slow {
				conn := r.dialTCP(ctx, t)
				tasks = append(tasks, func(ctx context.Context) error {
					began := time.Now()
					go write(conn)
					conn.SetReadDeadline(began.Add(limit + prompt))
					_, err := io.Copy(io.Discard, conn)
					var late net.Error
					if errors.As(err, &late) && late.Timeout() {
						return fmt.Errorf("a client that %s is not ended", name)
					}
					if took := time.Since(began); took < limit-100*time.Millisecond {
						return fmt.Errorf("a client that %s is ended after %v, want %v", name, took, limit)
					}
					return nil
				})
			}
			if err := together(ctx, tasks...); err != nil {
				t.Error(err)
			}
			checkCloses(t, "a client that says nothing over TLS", silent)
			checkPair(ctx, t, pair[0], pair[1])
			counters := r.finish(t)
			counters.check(t, "tls_timed_out", uint64(len(slow)))
			counters.check(t, "handshakes_timed_out", uint64(len(slow)+1))
			counters.check(t, "tls_ok", 3)
		})
	}
}

// TestHTTP2IsNotOffered: a client that would rather speak HTTP/2 is served by HTTP/1.1.
func TestHTTP2IsNotOffered(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		transport := &http.Transport{TLSClientConfig: r.tlsConfig(), ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		got := ask(ctx, t, &http.Client{Transport: transport}, "GET", r.url("/derp/probe"), nil)
		if got.status != http.StatusOK {
			t.Errorf("GET /derp/probe by a client that knows HTTP/2: %d, want 200", got.status)
		}
	})
}
