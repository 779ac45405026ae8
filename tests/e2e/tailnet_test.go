// SPDX-License-Identifier: BSD-3-Clause

// A tailnet: the control server, and a tailscaled at each site.

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// patience is how long anything may take that does not hang.
const patience = 30 * time.Second

type tailnet struct {
	region *tailcfg.DERPRegion
	a, b   *node
}

// A node is one tailscaled, without a device of the kernel's: what it is to send comes by SOCKS.
type node struct {
	*process
	site   *site
	folder string
	ip     netip.Addr // in the tailnet
}

// startTailnet joins two nodes to a tailnet whose only relay is this one.
func startTailnet(t *testing.T, r *relay) *tailnet {
	t.Helper()
	begin := time.Now()
	derpMap := r.derpMap(t)
	control := startControl(t, derpMap)
	n := &tailnet{region: regionOf(derpMap)}
	n.a, n.b = startNode(t, sites[0]), startNode(t, sites[1])
	for _, x := range []*node{n.a, n.b} {
		x.join(t, control)
	}
	n.a.awaitPeer(t, n.b)
	n.b.awaitPeer(t, n.a)
	t.Logf("two nodes joined in %v", time.Since(begin).Round(time.Millisecond))
	return n
}

// startControl serves a control server until the end of the test, and returns its URL.
func startControl(t *testing.T, derpMap *tailcfg.DERPMap) string {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(relayV4, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	server := &http.Server{Handler: &testcontrol.Server{
		Logf:            logger.Discard,
		DERPMap:         derpMap,
		AllOnline:       true,
		ExplicitBaseURL: base,
	}}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return base
}

func startNode(t *testing.T, s *site) *node {
	t.Helper()
	x := &node{site: s, folder: t.TempDir()}
	cmd := exec.Command(os.Getenv("TAILSCALED"), "--tun=userspace-networking", "--port=0",
		"--statedir="+x.folder, "--socket="+x.socket(), "--socks5-server="+x.socks())
	cmd.Env = x.environment()
	x.process = startProcess(t, "tailscaled of "+s.name, s, cmd)
	t.Cleanup(func() { x.kill(t) })
	x.awaitLine(t, "got LocalBackend") // it takes commands by then
	return x
}

func (x *node) socket() string { return filepath.Join(x.folder, "socket") }

// socks is where the node takes connections into the tailnet.
func (x *node) socks() string { return netip.AddrPortFrom(x.site.v4, 1080).String() }

func (x *node) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + x.folder, "TS_LOGS_DIR=" + x.folder}
}

// command runs Tailscale's command line at the node's site, and returns what it printed.
func (x *node) command(arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// The program of the tests is both; its name decides which one it is.
	cmd := exec.CommandContext(ctx, os.Getenv("TAILSCALED"))
	cmd.Args = append([]string{"tailscale", "--socket=" + x.socket()}, arguments...)
	cmd.Env = x.environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := x.site.do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("tailscale %s at %s: %w\n%s%s", strings.Join(arguments, " "), x.site.name, err,
			&stdout, &stderr)
	}
	return stdout.String(), err
}

// run is command for what must succeed.
func (x *node) run(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := x.command(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func (x *node) join(t *testing.T, control string) {
	t.Helper()
	x.run(t, "up", "--login-server="+control, "--hostname="+x.site.name, "--accept-dns=false")
	var err error
	if x.ip, err = netip.ParseAddr(strings.TrimSpace(x.run(t, "ip", "-4"))); err != nil {
		t.Fatal(err)
	}
}

func (x *node) status(t *testing.T) *ipnstate.Status {
	t.Helper()
	status := new(ipnstate.Status)
	if err := json.Unmarshal([]byte(x.run(t, "status", "--json")), status); err != nil {
		t.Fatal(err)
	}
	return status
}

// peer is what the node knows of another.
func (x *node) peer(t *testing.T, other *node) *ipnstate.PeerStatus {
	t.Helper()
	for _, peer := range x.status(t).Peer {
		for _, ip := range peer.TailscaleIPs {
			if ip == other.ip {
				return peer
			}
		}
	}
	return nil
}

// awaitPeer waits until the node has been told of the other, and of the region where it is at home.
func (x *node) awaitPeer(t *testing.T, other *node) {
	t.Helper()
	await(t, fmt.Sprintf("%s to hear of %s", x.site.name, other.site.name), func() bool {
		peer := x.peer(t, other)
		return peer != nil && peer.Relay != ""
	})
}

// socksClient sends what it is asked for into the tailnet at this node.
func (x *node) socksClient() *http.Client {
	proxy := &url.URL{Scheme: "socks5", Host: x.socks()}
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true},
		Timeout:   2 * patience,
	}
}

// await asks again and again until the answer is yes.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for late := time.Now().Add(patience); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
