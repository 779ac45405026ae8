// SPDX-License-Identifier: BSD-3-Clause

// DERP in WebSocket messages, as Tailscale's client speaks it in a browser: by a WebSocket client
// that is not ours, mixed with clients that speak DERP itself.

package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// dialWebSocket opens a WebSocket, and returns the connection below it, too.
func (r *relay) dialWebSocket(ctx context.Context, t *testing.T) (*websocket.Conn, *timedConn) {
	t.Helper()
	var tcp *timedConn
	transport := &http.Transport{
		TLSClientConfig: r.tlsConfig(),
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			var err error
			tcp, err = dialTimed(ctx, r.address())
			return tcp, err
		},
	}
	ws, response, err := websocket.Dial(ctx, r.url("/derp"), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{"chat", "derp"},
	})
	if err != nil {
		t.Fatalf("WebSocket: %v", err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	if ws.Subprotocol() != "derp" {
		t.Fatalf("WebSocket: the subprotocol is %q", ws.Subprotocol())
	}
	if extensions := response.Header.Get("Sec-WebSocket-Extensions"); extensions != "" {
		t.Fatalf("WebSocket: the relay agrees to %q", extensions)
	}
	// Its limit stays as it is: 32 KiB a message, as in a browser.
	return ws, tcp
}

// connectMixed connects peers, every other one by WebSocket.
func (r *relay) connectMixed(ctx context.Context, t *testing.T, count int) []*peer {
	t.Helper()
	peers := make([]*peer, count)
	for i := range peers {
		how := byWebSocket
		if i%2 == 1 {
			how = way(i/2) % byWebSocket
		}
		peers[i] = r.connectAs(ctx, t, fmt.Sprintf("peer %d", i), key.NewNode(), how)
	}
	return peers
}

// TestWebSocketSizes passes packets of all sizes around the borders of lengths: of a WebSocket frame,
// of wslay's buffer, of a record and of a receive chunk.
func TestWebSocketSizes(t *testing.T) {
	var sizes []int
	largest := derp.MaxPacketSize
	if matrix[0].engine == referenceName {
		largest = 32000 // its WebSocket takes no more, nor does it heed its clients' limit
	}
	for _, near := range []int{0, 88, 125, 1400, 4096, 16384, 32768, largest} {
		for size := max(near-4, 0); size <= min(near+4, largest); size++ {
			sizes = append(sizes, size)
		}
	}
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		peers := r.connectMixed(ctx, t, 3) // WebSocket, plain, WebSocket
		for _, pair := range [][2]int{{0, 1}, {1, 0}, {0, 2}} {
			for i, size := range sizes {
				packet := pattern(uint64(i), size)
				peers[pair[0]].send(t, peers[pair[1]].public, packet)
				peers[pair[1]].expectPacket(ctx, t, peers[pair[0]], packet)
			}
		}
		counters := r.finish(t)
		counters.check(t, "packets_delivered", uint64(3*len(sizes)))
		counters.check(t, "websocket_upgrades", 2)
		counters.check(t, "websocket_connections", 0)
	})
}

// TestWebSocketBulk lets everyone send to everyone.
func TestWebSocketBulk(t *testing.T) {
	skipOnReference(t, "its WebSocket takes no message above 32 KiB")
	const count, packets = 10, 500
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		peers := r.connectMixed(ctx, t, count)
		checkBulk(ctx, t, r, peers, rand.New(rand.NewPCG(6455, count)), packets)
	})
}

// TestWebSocketControl: pings are answered, Close frames too, and a text gets its status.
func TestWebSocketControl(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		ws, _ := r.dialWebSocket(ctx, t)
		received := make(chan error, 1)
		go func() {
			kind, greeting, err := ws.Read(ctx)
			if err == nil && (kind != websocket.MessageBinary || len(greeting) == 0) {
				err = fmt.Errorf("the relay's first message is %v of %d bytes", kind, len(greeting))
			}
			received <- err
			if err == nil {
				_, _, err = ws.Read(ctx) // Ping needs a reader
				received <- err
			}
		}()
		if err := <-received; err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := ws.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := ws.Write(ctx, websocket.MessageText, []byte("text")); err != nil {
			t.Fatal(err)
		}
		if got := websocket.CloseStatus(<-received); got != websocket.StatusUnsupportedData {
			t.Errorf("a text got status %v", got)
		}

		ws, _ = r.dialWebSocket(ctx, t)
		if _, _, err := ws.Read(ctx); err != nil {
			t.Fatal(err)
		}
		// Nil only when the relay's Close frame has come, with the same status.
		if err := ws.Close(websocket.StatusNormalClosure, "enough"); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestWebSocketRestarting: who is asked to come back later learns it before the Close frame.
func TestWebSocketRestarting(t *testing.T) {
	skipOnReference(t, "it says nothing when it ends")
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		p := r.connectAs(ctx, t, "p", key.NewNode(), byWebSocket)
		r.daemon().signal(t, syscall.SIGTERM)
		expect[derp.ServerRestartingMessage](ctx, t, p)
		if rest := p.expectEnd(ctx, t, prompt); len(rest) > 0 {
			t.Errorf("got %s behind Restarting", describe(rest[0]))
		}
		if !errors.Is(p.err, io.EOF) { // as wsconn tells "going away"
			t.Errorf("the end is %v, want one in order", p.err)
		}
	})
}
