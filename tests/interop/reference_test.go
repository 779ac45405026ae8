// SPDX-License-Identifier: BSD-3-Clause

// Tailscale's own server, in this process: the tests must pass against it before they judge another.

package interop

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"tailscale.com/derp/derpserver"
	"tailscale.com/envknob"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const referenceName = "derper"

type reference struct {
	derp     *derpserver.Server
	http     *http.Server
	listener net.Listener
	identity *identity     // nil without TLS
	served   chan struct{} // closed when the accept loop has ended

	mu    sync.Mutex
	lines strings.Builder
}

func startReference(t *testing.T, c cell, s settings) *reference {
	t.Helper()
	// Its queues of 32 packets are shorter than the windows of packets under way in these tests.
	envknob.Setenv("TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH", fmt.Sprint(2*windowPackets))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ref := &reference{listener: listener, served: make(chan struct{})}
	ref.derp = derpserver.New(key.NewNode(), ref.logf)
	if s.meshKey != "" {
		if err := ref.derp.SetMeshKey(s.meshKey); err != nil {
			t.Fatal(err)
		}
	}
	if s.fighters {
		disableFighters(t, ref.derp)
	}
	if s.access != nil {
		ref.derp.SetVerifyClient(s.access.tailscaled != "")
		ref.derp.SetTailscaledSocketPath(s.access.tailscaled)
		ref.derp.SetVerifyClientURL(s.access.url)
		ref.derp.SetVerifyClientURLFailOpen(!s.access.failClosed)
	}
	handler := derpserver.Handler(ref.derp)
	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.AddWebSocketSupport(ref.derp, handler))
	mux.Handle("/derp/", handler)
	mux.HandleFunc("/generate_204", derpserver.ServeNoContent)
	ref.http = &http.Server{Handler: mux, ErrorLog: log.New(ref, "", 0)}
	if c.tls {
		ref.identity = cmp.Or(s.identity, makeIdentity(t, s.host, nil))
		ref.http.TLSConfig = &tls.Config{GetCertificate: ref.identity.get}
		ref.http.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
		ref.derp.ModifyTLSConfigToAddMetaCert(ref.http.TLSConfig)
	}
	go func() {
		defer close(ref.served)
		if c.tls {
			ref.http.ServeTLS(listener, "", "")
		} else {
			ref.http.Serve(listener)
		}
	}()
	return ref
}

// disableFighters turns on what the server can do and leaves off: that nobody receives for a key
// whose connections take turns in sending. Nothing that is exported does it.
func disableFighters(t *testing.T, s *derpserver.Server) {
	t.Helper()
	policy := reflect.ValueOf(s).Elem().FieldByName("dupPolicy")
	if !policy.IsValid() || policy.Kind() != reflect.Int8 {
		t.Fatal("this version of the server keeps its policy for duplicate keys elsewhere")
	}
	*(*int8)(policy.Addr().UnsafePointer()) = 1
}

func (ref *reference) roots() *x509.CertPool {
	if ref.identity == nil {
		return nil
	}
	return ref.identity.roots()
}

func (ref *reference) node() *tailcfg.DERPNode {
	if ref.identity == nil {
		return nil
	}
	return &tailcfg.DERPNode{Name: "900a", RegionID: 900, HostName: "127.0.0.1",
		DERPPort: ref.listener.Addr().(*net.TCPAddr).Port, STUNPort: -1,
		CertName: ref.identity.pin()}
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
