// SPDX-License-Identifier: BSD-3-Clause

// The library's own client (hyperderp/client.h), as tests/client/exercise.c uses it, against the
// relay: derper too, and with Tailscale's client at the other end.

package interop

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// exercise is the program with what it must know of the relay.
func exercise(ctx context.Context, t *testing.T, r *relay, args ...string) *exec.Cmd {
	t.Helper()
	program := os.Getenv("HYPER_DERP_EXERCISE")
	if program == "" {
		t.Fatal("HYPER_DERP_EXERCISE must name the program tests/client/exercise; use make check-interop")
	}
	if node := r.node(); node != nil {
		args = append(args, "-h", node.CertName)
	} else {
		// In the clear it is the key that tells who may know the mesh key.
		args = append(args, "-p", "-k", r.publicKey().String())
	}
	return exec.CommandContext(ctx, program, append(args, r.address())...)
}

// TestClientLibrary has the client do all that it can, with fast start where TLS tells the key.
func TestClientLibrary(t *testing.T) {
	forEachMeshCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		variants := [][]string{{"-m", meshKeyText}}
		if r.tls {
			variants = append(variants, []string{"-f", "-m", meshKeyText})
		}
		for _, args := range variants {
			output, err := exercise(ctx, t, r, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v: %s", args, err, output)
			}
		}
	})
}

// TestClientLibraryAndGo sends packets to it by Tailscale's client, which must get them back.
func TestClientLibraryAndGo(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		echo := exercise(ctx, t, r, "-e")
		input, err := echo.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		output, err := echo.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := echo.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(output).ReadString('\n')
		if err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		var public key.NodePublic
		if err := public.UnmarshalText([]byte(strings.TrimSpace(line))); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		other := &peer{name: "the library's client", public: public}
		p := r.connect(ctx, t, "p")
		for i, size := range []int{0, 1, 1400, 16384, 40000, derp.MaxPacketSize} {
			data := pattern(uint64(i), size)
			p.send(t, public, data)
			p.expectPacket(ctx, t, other, data)
		}
		input.Close()
		if err := echo.Wait(); err != nil {
			t.Fatal(err)
		}
		p.expectGone(ctx, t, public, derp.PeerGoneReasonDisconnected)
	})
}
