// SPDX-License-Identifier: BSD-3-Clause

// What two nodes say to each other through the relay.

package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const fileSize = 50_000_000

// reconnectDeadline is how long two nodes may be apart once the relay is back.
const reconnectDeadline = 15 * time.Second

// TestPing pings with each kind of ping that Tailscale knows to send to another node.
func TestPing(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		r := startRelay(t, engine, selfSigned)
		n := startTailnet(t, r)
		before := r.metrics(t)["hyper_derp_packets_delivered_total"]
		for _, pair := range [][2]*node{{n.a, n.b}, {n.b, n.a}} {
			from, to := pair[0], pair[1]
			want := fmt.Sprintf("pong from %s (%v) via DERP(%s) in ", to.site.name, to.ip, n.region.RegionCode)
			pongs := nonEmptyLines(from.run(t, "ping", "-c", "3", "--until-direct=false", to.ip.String()))
			if len(pongs) != 3 {
				t.Errorf("%d lines for 3 pings: %q", len(pongs), pongs)
			}
			for _, pong := range pongs {
				if !strings.HasPrefix(pong, want) {
					t.Errorf("ping said %q, want %q", pong, want)
				}
			}
			for _, kind := range []string{"TSMP", "ICMP"} {
				flag := "--" + strings.ToLower(kind)
				pong := from.run(t, "ping", "-c", "1", flag, to.ip.String())
				if !strings.HasPrefix(pong, "pong from ") || !strings.Contains(pong, " via "+kind+" in ") {
					t.Errorf("ping %s said %q", flag, pong)
				}
			}
			from.checkRelayed(t, n, to)
		}
		// Each pong is two packets through the relay.
		if got := r.metrics(t)["hyper_derp_packets_delivered_total"] - before; got < 20 {
			t.Errorf("the relay delivered %v packets for 10 pings and their answers", got)
		}
	})
}

func nonEmptyLines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// checkRelayed checks that a node sends to the other through the region, and by no other way.
func (x *node) checkRelayed(t *testing.T, n *tailnet, other *node) {
	t.Helper()
	peer := x.peer(t, other)
	if peer == nil {
		t.Fatalf("%s knows nothing of %s", x.site.name, other.site.name)
	}
	if peer.CurAddr != "" || peer.PeerRelay != "" || peer.Relay != n.region.RegionCode {
		t.Errorf("%s reaches %s by address %q, peer relay %q, region %q, want the region %s alone",
			x.site.name, other.site.name, peer.CurAddr, peer.PeerRelay, peer.Relay, n.region.RegionCode)
	}
}

// TestFile fetches a file from the other node.
func TestFile(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		r := startRelay(t, engine, selfSigned)
		n := startTailnet(t, r)
		before := r.metrics(t)
		d := startDownload(t, n)
		d.finish(t)
		after := r.metrics(t)
		for _, name := range []string{"hyper_derp_recv_bytes_total", "hyper_derp_send_bytes_total"} {
			if got := after[name] - before[name]; got < fileSize {
				t.Errorf("%s grew by %v with a file of %d bytes", name, got, fileSize)
			}
		}
		n.a.checkRelayed(t, n, n.b)
		n.b.checkRelayed(t, n, n.a)
	})
}

// TestRestart stops the relay and starts it again while a file is on its way.
func TestRestart(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		r := startRelay(t, engine, selfSigned)
		n := startTailnet(t, r)
		d := startDownload(t, n)
		d.read(t, fileSize/5)
		r.stop(t)
		if output, err := n.a.command("ping", "-c", "1", "--timeout=2s", n.b.ip.String()); err == nil {
			t.Errorf("without the relay the other node answers: %s", output)
		}
		r.start(t)
		back := time.Now()
		await(t, "an answer through the relay that came back", func() bool {
			_, err := n.a.command("ping", "-c", "1", "--timeout=1s", "--tsmp", n.b.ip.String())
			return err == nil
		})
		apart := time.Since(back)
		t.Logf("the other node answered %v after the relay was back", apart.Round(time.Millisecond))
		if apart > reconnectDeadline {
			t.Errorf("more than %v", reconnectDeadline)
		}
		d.finish(t)
		// What had been read, and what could wait on the way, came through the first one.
		if got := r.metrics(t)["hyper_derp_recv_bytes_total"]; got < fileSize/4 {
			t.Errorf("only %v bytes came through the relay that was started again", got)
		}
		n.a.checkRelayed(t, n, n.b)
	})
}

// A download is a file on its way from b to a.
type download struct {
	body  io.ReadCloser
	got   int64
	hash  [sha256.Size]byte // of what b sends
	begin time.Time
	sum   interface {
		io.Writer
		Sum([]byte) []byte
	}
}

// startDownload offers a file at b, to connections from b itself, and asks for it at a.
func startDownload(t *testing.T, n *tailnet) *download {
	t.Helper()
	content := make([]byte, fileSize)
	rand.NewChaCha8([32]byte{1}).Read(content)
	var listener net.Listener
	if err := n.b.site.do(func() (err error) {
		// tailscaled hands connections from the tailnet on to this address.
		listener, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(content)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })

	d := &download{hash: sha256.Sum256(content), sum: sha256.New(), begin: time.Now()}
	port := listener.Addr().(*net.TCPAddr).Port
	response, err := n.a.socksClient().Get(fmt.Sprintf("http://%v:%d/", n.b.ip, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	d.body = response.Body
	return d
}

// read takes a part of the file.
func (d *download) read(t *testing.T, size int64) {
	t.Helper()
	count, err := io.CopyN(d.sum, d.body, size)
	d.got += count
	if err != nil {
		t.Fatalf("after %d bytes: %v", d.got, err)
	}
}

// finish takes the rest, and compares it with what was sent.
func (d *download) finish(t *testing.T) {
	t.Helper()
	d.read(t, fileSize-d.got)
	if extra, err := d.body.Read(make([]byte, 1)); extra != 0 || err != io.EOF {
		t.Errorf("after the file: %d bytes, %v", extra, err)
	}
	if sum := d.sum.Sum(nil); string(sum) != string(d.hash[:]) {
		t.Errorf("the file has SHA-256 %x, want %x", sum, d.hash)
	}
	seconds := time.Since(d.begin).Seconds()
	t.Logf("%d bytes in %.1f s, %.0f Mbit/s", d.got, seconds, float64(d.got)*8/1e6/seconds)
}
