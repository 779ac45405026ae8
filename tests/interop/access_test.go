// SPDX-License-Identifier: BSD-3-Clause

// Who may join: the file of keys, verify_client_url and the local tailscaled, with clients that are
// let in, refused, and closed when their access is taken away.

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/backoff"
)

// access is what a test may ask of the section [access]; all may be left out.
type access struct {
	keysFile   string
	tailscaled string // path of a socket
	url        string
	failClosed bool
	timeout    time.Duration
}

func (a *access) lines() string {
	text := fmt.Sprintf("[access]\nverify_client_url_fail_open = %v\n", !a.failClosed)
	if a.timeout != 0 {
		text += fmt.Sprintf("verify_timeout = \"%dms\"\n", a.timeout.Milliseconds())
	}
	for name, value := range map[string]string{"allow_keys_file": a.keysFile,
		"tailscaled_socket": a.tailscaled, "verify_client_url": a.url} {
		text += fmt.Sprintf("%s = %q\n", name, value)
	}
	return text
}

// forEachAccessCell runs a test with the cells in the clear: who may join does not hang on TLS.
func forEachAccessCell(t *testing.T, test func(ctx context.Context, t *testing.T, c cell)) {
	t.Helper()
	t.Parallel()
	for _, c := range matrix {
		if c.tls {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
			defer cancel()
			test(ctx, t, c)
		})
	}
}

// start connects a peer as far as it can be before the relay lets it in.
func (r *relay) start(ctx context.Context, t *testing.T, name string, private key.NodePrivate) *peer {
	t.Helper()
	p := &peer{name: name, private: private, public: private.Public()}
	r.useHTTPClient(ctx, t, p)
	p.listen()
	t.Cleanup(p.leave)
	return p
}

// refuses checks that a client with this key is closed without a word.
func (r *relay) refuses(ctx context.Context, t *testing.T, private key.NodePrivate) {
	t.Helper()
	p := r.start(ctx, t, "refused", private)
	if messages := p.expectEnd(ctx, t, prompt); len(messages) > 0 {
		t.Fatalf("a client that must be refused got %s", describe(messages[0]))
	}
}

// turnsAway checks that a client with this key is told why it may not join. A derper closes its
// connection without a word.
func (r *relay) turnsAway(ctx context.Context, t *testing.T, private key.NodePrivate, why string) {
	t.Helper()
	if r.isReference() {
		r.refuses(ctx, t, private)
		return
	}
	p := r.start(ctx, t, "turned away", private)
	p.expectProblem(ctx, t, why)
	p.leave()
}

// What clients are told.
const (
	notListed = "is not on the list of this DERP relay"
	notKnown  = "does not know this one"
	notLetIn  = "has not let it in"
)

// reload makes the relay read its configuration again, as settings has it now.
func (r *relay) reload(ctx context.Context, t *testing.T, outcome string) {
	t.Helper()
	name := writeConfiguration(t, r.cell, r.settings)
	text := map[string]string{"applied": "reloaded " + name, "refused": "was not reloaded"}[outcome]
	before := strings.Count(r.log(), text)
	if err := r.daemon().cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.awaitLog(ctx, t, text, before+1)
}

func writeKeys(t *testing.T, file string, keys ...key.NodePublic) {
	t.Helper()
	text := "# who may join\n"
	for _, k := range keys {
		text += k.String() + "  # one of them\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAllowKeys(t *testing.T) {
	skipOnReference(t, "it has no file of keys")
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		file := filepath.Join(t.TempDir(), "keys")
		stays, goes, comes := key.NewNode(), key.NewNode(), key.NewNode()
		writeKeys(t, file, stays.Public(), goes.Public())
		r := startRelay(ctx, t, c, settings{meshKey: meshKeyText, access: &access{keysFile: file}})

		a := r.connectAs(ctx, t, "stays", stays, byHTTPClient)
		b := r.connectAs(ctx, t, "goes", goes, byUpgrade)
		b2 := r.connectAs(ctx, t, "goes, again", goes, byFastStart)
		// A mesh partner is none of the clients that the list is about.
		partner := r.connectMesh(ctx, t, "partner", meshKeyText)
		r.turnsAway(ctx, t, comes, notListed)
		checkPair(ctx, t, a, partner)

		// A list that is wrong changes nothing.
		if err := os.WriteFile(file, []byte("# nobody\nnodekey:123\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.reload(ctx, t, "refused")
		if where := file + ":2:1: expected nodekey:"; !strings.Contains(r.log(), where) {
			t.Errorf("the log does not tell %q", where)
		}
		r.turnsAway(ctx, t, comes, notListed)
		checkPair(ctx, t, a, partner)

		writeKeys(t, file, stays.Public(), comes.Public())
		r.reload(ctx, t, "applied")
		b.expectEnd(ctx, t, prompt)
		b2.expectEnd(ctx, t, prompt)
		r.turnsAway(ctx, t, goes, notListed)
		d := r.connectAs(ctx, t, "comes", comes, byHTTPClient)
		checkPair(ctx, t, a, d)
		checkPair(ctx, t, d, partner)

		for _, p := range []*peer{a, d, partner} {
			p.leave()
		}
		counters := r.finish(t)
		counters.check(t, "access_refused_allow_keys", 3)
		counters.check(t, "handshakes_denied", 3)
		text := "it is not in access.allow_keys_file: " + comes.Public().String() + " from 127.0.0.1:"
		if !strings.Contains(r.log(), "client refused, "+text) {
			t.Errorf("the log does not tell who was refused")
		}
	})
}

// A client that is told why it is denied takes its next try for the first one: as Tailscale's do,
// it would come back some milliseconds after its connection ends.
func TestTurnedAwayOnce(t *testing.T) {
	skipOnReference(t, "it tells nobody why")
	const watched = 4 * time.Second // its connection is kept for longer
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		file := filepath.Join(t.TempDir(), "keys")
		writeKeys(t, file, key.NewNode().Public())
		r := startRelay(ctx, t, c, settings{access: &access{keysFile: file}})
		client, err := derphttp.NewClient(key.NewNode(), r.url("/derp"), discardLog,
			netmon.NewStatic())
		if err != nil {
			t.Fatal(err)
		}
		// The loop of magicsock.
		short, cancel := context.WithTimeout(ctx, watched)
		defer cancel()
		context.AfterFunc(short, func() { client.Close() })
		retry := backoff.NewBackoff("interop", discardLog, 5*time.Second)
		tries, told := 1, 0
		for {
			message, err := client.Recv()
			if short.Err() != nil {
				break
			}
			retry.BackOff(short, err)
			if err != nil {
				tries++
				continue
			}
			health, ok := message.(derp.HealthMessage)
			if !ok || !strings.Contains(health.Problem, notListed) {
				t.Fatalf("the client got %s", describe(message))
			}
			told++
		}
		if tries != 1 || told != 1 {
			t.Errorf("the client came %d times and was told %d times", tries, told)
		}
		counters := r.finish(t)
		counters.check(t, "access_refused_allow_keys", 1)
		counters.check(t, "handshakes_denied", 1)
		counters.check(t, "health_frames", 1)
	})
}

// A verifier stands behind verify_client_url. It says yes but about those that it denies.
type verifier struct {
	*httptest.Server

	mu           sync.Mutex    // guards the rest
	gate         chan struct{} // answers wait until it is closed; nil: they do not
	status       int
	denied       map[key.NodePublic]bool
	asked        []tailcfg.DERPAdmitClientRequest
	atOnce, most int
}

func startVerifier(t *testing.T) *verifier {
	v := &verifier{status: http.StatusOK, denied: map[key.NodePublic]bool{}}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *verifier) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var question tailcfg.DERPAdmitClientRequest
	body, err := io.ReadAll(req.Body)
	if err != nil || req.Method != "POST" || json.Unmarshal(body, &question) != nil {
		http.Error(w, "no question", http.StatusBadRequest)
		return
	}
	v.mu.Lock()
	v.asked = append(v.asked, question)
	v.atOnce++
	v.most = max(v.most, v.atOnce)
	gate := v.gate
	v.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-req.Context().Done():
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.atOnce--
	w.WriteHeader(v.status)
	json.NewEncoder(w).Encode(tailcfg.DERPAdmitClientResponse{Allow: !v.denied[question.NodePublic]})
}

// closeGate makes it wait with its answers until the channel is closed.
func (v *verifier) closeGate() chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gate = make(chan struct{})
	return v.gate
}

func (v *verifier) deny(k key.NodePublic) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.denied[k] = true
}

func (v *verifier) answerWith(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status = status
}

// questions returns those about a key.
func (v *verifier) questions(k key.NodePublic) (about []tailcfg.DERPAdmitClientRequest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, question := range v.asked {
		if question.NodePublic == k {
			about = append(about, question)
		}
	}
	return about
}

// awaitAtOnce waits until so many questions are open.
func (v *verifier) awaitAtOnce(ctx context.Context, t *testing.T, count int) {
	t.Helper()
	for {
		v.mu.Lock()
		atOnce := v.atOnce
		v.mu.Unlock()
		if atOnce >= count {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d questions are open, not %d", atOnce, count)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestVerifyURL(t *testing.T) {
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		v := startVerifier(t)
		r := startRelay(ctx, t, c, settings{meshKey: meshKeyText, access: &access{url: v.URL}})
		good, bad := key.NewNode(), key.NewNode()
		v.deny(bad.Public())

		a := r.connectAs(ctx, t, "good", good, byHTTPClient)
		r.turnsAway(ctx, t, bad, notLetIn)
		b := r.connect(ctx, t, "another")
		checkPair(ctx, t, a, b)
		asked := v.questions(good.Public())
		want := tailcfg.DERPAdmitClientRequest{NodePublic: good.Public(),
			Source: netip.MustParseAddr("127.0.0.1")}
		if len(asked) != 1 || asked[0] != want {
			t.Errorf("it was asked %v, want %v once", asked, want)
		}
		partner := r.connectMesh(ctx, t, "partner", meshKeyText)
		if asked := v.questions(partner.public); len(asked) > 0 {
			t.Errorf("it was asked about a mesh partner: %v", asked)
		}

		// An error is an answer, and no yes, although it fails open.
		v.answerWith(http.StatusInternalServerError)
		r.refuses(ctx, t, key.NewNode())
		v.answerWith(http.StatusNoContent)
		r.refuses(ctx, t, key.NewNode())
		for _, p := range []*peer{a, b, partner} {
			p.leave()
		}
		counters := r.finish(t)
		counters.check(t, "access_refused_verify_url", 1)
		counters.check(t, "access_refused_verify_url_failed", 2)
	})
}

func TestVerifyURLUnreachable(t *testing.T) {
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		v := startVerifier(t)
		v.Close()
		open := startRelay(ctx, t, c, settings{access: &access{url: v.URL}})
		a, b := open.connect(ctx, t, "a"), open.connect(ctx, t, "b")
		checkPair(ctx, t, a, b)
		a.leave()
		b.leave()
		open.finish(t).check(t, "access_unasked", 2)

		closed := startRelay(ctx, t, c, settings{access: &access{url: v.URL, failClosed: true}})
		closed.refuses(ctx, t, key.NewNode())
		closed.finish(t).check(t, "access_refused_verify_url_failed", 1)
	})
}

// Who waits for an answer keeps nobody else waiting, the worker that both have in common least of
// all.
func TestVerifyURLSlow(t *testing.T) {
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		v := startVerifier(t)
		r := startRelay(ctx, t, c, settings{access: &access{url: v.URL}})
		a, b := r.connect(ctx, t, "a"), r.connect(ctx, t, "b")
		gate := v.closeGate()
		waits := []*peer{r.start(ctx, t, "waits", key.NewNode()),
			r.start(ctx, t, "waits, too", key.NewNode())}
		v.awaitAtOnce(ctx, t, len(waits))
		for range 100 {
			checkPair(ctx, t, a, b)
		}
		select {
		case <-waits[0].received:
			t.Error("a client was closed while the answer was waited for")
		default:
		}
		close(gate)
		for _, p := range waits {
			expect[derp.ServerInfoMessage](ctx, t, p)
			checkPair(ctx, t, p, a)
		}
	})
}

func TestVerifyTimeout(t *testing.T) {
	skipOnReference(t, "its timeout cannot be set")
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		v := startVerifier(t)
		defer close(v.closeGate())
		r := startRelay(ctx, t, c, settings{access: &access{url: v.URL, failClosed: true,
			timeout: 200 * time.Millisecond}})
		r.refuses(ctx, t, key.NewNode())
		r.settings.access.failClosed = false
		r.reload(ctx, t, "applied")
		a, b := r.connect(ctx, t, "a"), r.connect(ctx, t, "b")
		checkPair(ctx, t, a, b)
		a.leave()
		b.leave()
		counters := r.finish(t)
		counters.check(t, "access_refused_timeout", 1)
		counters.check(t, "access_unasked", 2)
	})
}

// However many come at once, the URL has to do with a bounded number of them.
func TestVerifyAtOnce(t *testing.T) {
	skipOnReference(t, "it asks about all at once")
	const bound, clients = 64, 100
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		v := startVerifier(t)
		gate := v.closeGate()
		r := startRelay(ctx, t, c, settings{access: &access{url: v.URL}})
		peers := make([]*peer, clients)
		for i := range peers {
			peers[i] = r.start(ctx, t, fmt.Sprint("client ", i), key.NewNode())
		}
		v.awaitAtOnce(ctx, t, bound)
		close(gate)
		for _, p := range peers {
			expect[derp.ServerInfoMessage](ctx, t, p)
		}
		if v.most != bound {
			t.Errorf("%d questions were open at once, want %d", v.most, bound)
		}
		for _, p := range peers {
			p.leave()
		}
		r.finish(t).check(t, "access_to_url", clients)
	})
}

func TestVerifyReload(t *testing.T) {
	skipOnReference(t, "it reloads nothing")
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		v := startVerifier(t)
		r := startRelay(ctx, t, c, settings{meshKey: meshKeyText, access: &access{url: v.URL}})
		stays, goes := r.connect(ctx, t, "stays"), r.connect(ctx, t, "goes")
		partner := r.connectMesh(ctx, t, "partner", meshKeyText)
		v.deny(goes.public)
		v.deny(partner.public)
		r.reload(ctx, t, "applied")
		goes.expectEnd(ctx, t, 2*prompt)
		r.turnsAway(ctx, t, goes.private, notLetIn)
		checkPair(ctx, t, stays, partner)

		// That nobody can be asked takes nothing from those who are here.
		v.Close()
		r.settings.access.failClosed = true
		r.reload(ctx, t, "applied")
		r.refuses(ctx, t, key.NewNode())
		checkPair(ctx, t, stays, partner)

		// Without all of it everybody may.
		r.settings.access = nil
		r.reload(ctx, t, "applied")
		back := r.connectAs(ctx, t, "goes, again", goes.private, byHTTPClient)
		checkPair(ctx, t, back, stays)
	})
}

// A localAPI is as much of a tailscaled as is asked.
type localAPI struct {
	socket string
	mu     sync.Mutex // guards the rest
	known  map[string]bool
	asked  []string
}

func startLocalAPI(t *testing.T, known ...key.NodePublic) *localAPI {
	// Not TempDir, which may be too long for the name of a socket.
	folder, err := os.MkdirTemp("", "interop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	api := &localAPI{socket: filepath.Join(folder, "sock"), known: map[string]bool{}}
	for _, k := range known {
		api.known[k.String()] = true
	}
	listener, err := net.Listen("unix", api.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return api
}

func (api *localAPI) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	addr := req.URL.Query().Get("addr")
	api.mu.Lock()
	defer api.mu.Unlock()
	api.asked = append(api.asked, req.Method+" "+req.Host+req.URL.Path+" "+addr)
	if !api.known[addr] {
		http.Error(w, "no match for IP:port", http.StatusNotFound)
		return
	}
	io.WriteString(w, "{}")
}

func TestTailscaled(t *testing.T) {
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		known, unknown := key.NewNode(), key.NewNode()
		api := startLocalAPI(t, known.Public())
		client := local.Client{Socket: api.socket, UseSocketOnly: true}
		if _, err := client.WhoIsNodeKey(ctx, known.Public()); err != nil {
			t.Fatal(err)
		}
		r := startRelay(ctx, t, c, settings{access: &access{tailscaled: api.socket}})
		a := r.connectAs(ctx, t, "known", known, byHTTPClient)
		r.turnsAway(ctx, t, unknown, notKnown)
		a.ping(ctx, t)
		a.leave()
		r.finish(t).check(t, "access_refused_tailscaled", 1)
		// The relay asks as Tailscale's own client does.
		if len(api.asked) < 2 || api.asked[0] != api.asked[1] {
			t.Errorf("the relay asked %q", api.asked)
		}
	})
}

// Without tailscaled nobody is let in, whatever becomes of the URL.
func TestTailscaledUnreachable(t *testing.T) {
	forEachAccessCell(t, func(ctx context.Context, t *testing.T, c cell) {
		r := startRelay(ctx, t, c, settings{access: &access{
			tailscaled: filepath.Join(t.TempDir(), "none"), url: "http://127.0.0.1:1/"}})
		r.refuses(ctx, t, key.NewNode())
		r.finish(t).check(t, "access_refused_tailscaled_failed", 1)
	})
}
