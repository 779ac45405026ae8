// SPDX-License-Identifier: BSD-3-Clause

// Tailscale's own server, in this process: the tests must pass against it before they judge another.

package interop

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tailscale.com/derp/derpserver"
	"tailscale.com/envknob"
	"tailscale.com/types/key"
)

const referenceName = "derper"

type reference struct {
	derp     *derpserver.Server
	http     *http.Server
	listener net.Listener
	served   chan struct{} // closed when the accept loop has ended

	mu    sync.Mutex
	lines strings.Builder
}

func startReference(t *testing.T) *reference {
	t.Helper()
	// Its queues of 32 packets are shorter than the windows of packets under way in these tests.
	envknob.Setenv("TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH", fmt.Sprint(2*windowPackets))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ref := &reference{listener: listener, served: make(chan struct{})}
	ref.derp = derpserver.New(key.NewNode(), ref.logf)
	handler := derpserver.Handler(ref.derp)
	mux := http.NewServeMux()
	mux.Handle("/derp", handler)
	mux.Handle("/derp/", handler)
	ref.http = &http.Server{Handler: mux, ErrorLog: log.New(ref, "", 0)}
	go func() {
		defer close(ref.served)
		ref.http.Serve(listener)
	}()
	return ref
}

func (ref *reference) logf(format string, args ...any) {
	ref.mu.Lock()
	defer ref.mu.Unlock()
	fmt.Fprintf(&ref.lines, format+"\n", args...)
}

// Write takes what the HTTP server logs.
func (ref *reference) Write(line []byte) (int, error) {
	ref.mu.Lock()
	defer ref.mu.Unlock()
	return ref.lines.Write(line)
}

func (ref *reference) log() string {
	ref.mu.Lock()
	defer ref.mu.Unlock()
	return ref.lines.String()
}

func (ref *reference) address() string           { return ref.listener.Addr().String() }
func (ref *reference) publicKey() key.NodePublic { return ref.derp.PublicKey() }

func (ref *reference) stop(t *testing.T) counters {
	t.Helper()
	ref.http.Close()
	<-ref.served
	ref.derp.Close()
	return nil
}
