// SPDX-License-Identifier: BSD-3-Clause

package interop

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"tailscale.com/net/stun"
)

var stunLine = regexp.MustCompile(`answering STUN on (\S+)`)

// TestSTUN asks as Tailscale's clients do, and reads the answer as they do.
func TestSTUN(t *testing.T) {
	skipOnReference(t, "its STUN server is another program's part")
	for _, c := range matrix {
		if !c.tls {
			continue // the command line alone has no STUN
		}
		t.Run(c.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
			defer cancel()
			d := startDaemon(ctx, t, c, settings{folder: t.TempDir(), listen: "127.0.0.1:0", host: "127.0.0.1"})
			match := stunLine.FindStringSubmatch(d.log())
			if match == nil {
				t.Fatalf("the log does not tell where STUN is answered:\n%s", d.log())
			}
			conn, err := net.Dial("udp", match[1])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(prompt))
			id := stun.NewTxID()
			if _, err := conn.Write(stun.Request(id)); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 1500)
			n, err := conn.Read(answer)
			if err != nil {
				t.Fatal(err)
			}
			if n > len(stun.Request(id)) {
				t.Errorf("an answer of %d bytes to a request of %d", n, len(stun.Request(id)))
			}
			gotID, addr, err := stun.ParseResponse(answer[:n])
			if err != nil {
				t.Fatal(err)
			}
			if want := netip.MustParseAddrPort(conn.LocalAddr().String()); gotID != id || addr != want {
				t.Errorf("the answer tells %v of %v, want %v of %v", addr, gotID, want, id)
			}
			d.stop(t)
		})
	}
}
