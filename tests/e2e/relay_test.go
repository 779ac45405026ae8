// SPDX-License-Identifier: BSD-3-Clause

// The relay: the built daemon, with a configuration as an operator would write it.

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

var (
	counterPair = regexp.MustCompile(`([a-z_]+)=([0-9]+)`)
	sampleLine  = regexp.MustCompile(`(?m)^(hyper_derp_\S+) ([0-9.e+]+)$`)
	metricsURL  = fmt.Sprintf("http://%v/metrics", netip.AddrPortFrom(relayV4, 9090))
)

type relay struct {
	*process
	engine string
	folder string
}

// A relay's certificate is its own, or one of the tests' authority.
type trust int

const (
	selfSigned trust = iota
	fromAuthority
)

// startRelay starts a relay at the addresses that all know, with these tables in its configuration
// besides. It is stopped, and its counters are checked, at the end of the test.
func startRelay(t *testing.T, engine string, by trust, tables ...string) *relay {
	t.Helper()
	r := &relay{engine: engine, folder: t.TempDir()}
	text := fmt.Sprintf(`
key_file = "%s/derp.key"
workers = 2
[[listener]]
address = ":443"
[[listener]]
address = ":80"
tls = false
[metrics]
address = "%v"
[io]
engine = %q
[tls]
hostname = %q
`, r.folder, netip.AddrPortFrom(relayV4, 9090), engine, hostName)
	if by == fromAuthority {
		certificate, key := writeCertificate(t, r.folder)
		text += fmt.Sprintf("cert = %q\nkey = %q\n", certificate, key)
	}
	text += strings.Join(tables, "")
	if err := os.WriteFile(r.configuration(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	t.Cleanup(func() {
		if !t.Failed() {
			r.end(t)
		}
		r.kill(t)
	})
	return r
}

func (r *relay) configuration() string { return filepath.Join(r.folder, "relay.toml") }

func (r *relay) start(t *testing.T) {
	t.Helper()
	r.process = startProcess(t, "hyper-derp", nil,
		exec.Command(os.Getenv("HYPER_DERP"), "-c", r.configuration()))
	r.awaitLine(t, "public key nodekey:") // it listens by then
}

// end stops the relay and checks that it accounts for every packet.
func (r *relay) end(t *testing.T) {
	t.Helper()
	r.stop(t)
	counters := map[string]uint64{}
	for _, pair := range counterPair.FindAllStringSubmatch(r.log(), -1) {
		counters[pair[1]], _ = strconv.ParseUint(pair[2], 10, 64)
	}
	received, ok := counters["packets_received"]
	if !ok {
		t.Fatal("the relay did not log its counters")
	}
	accounted := counters["packets_delivered"]
	for name, count := range counters {
		if strings.HasPrefix(name, "drop_") {
			accounted += count
		}
	}
	if received != accounted {
		t.Errorf("the relay received %d packets and accounts for %d", received, accounted)
	}
	for _, name := range []string{"connections", "peers_active", "home_clients", "queued_bytes",
		"protocol_errors", "unknown_frames", "tls_alerts_sent"} {
		if count, ok := counters[name]; !ok || count != 0 {
			t.Errorf("counter %s at the end: %d (logged: %v), want 0", name, count, ok)
		}
	}
}

// derpMap is the map that the daemon prints for the policy of a tailnet.
func (r *relay) derpMap(t *testing.T) *tailcfg.DERPMap {
	t.Helper()
	printed, err := exec.Command(os.Getenv("HYPER_DERP"), "derpmap", "-c", r.configuration()).Output()
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		DERPMap *tailcfg.DERPMap `json:"derpMap"`
	}
	decoder := json.NewDecoder(bytes.NewReader(printed))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&policy); err != nil {
		t.Fatal(err)
	}
	if policy.DERPMap == nil || len(policy.DERPMap.Regions) != 1 {
		t.Fatalf("not a map of one region: %s", printed)
	}
	return policy.DERPMap
}

// regionOf returns the only region of a map.
func regionOf(derpMap *tailcfg.DERPMap) *tailcfg.DERPRegion {
	for _, region := range derpMap.Regions {
		return region
	}
	return nil
}

// metrics asks the relay for its counters as Prometheus does. Samples with labels carry these in
// their name.
func (r *relay) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(metricsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for _, match := range sampleLine.FindAllStringSubmatch(string(body), -1) {
		if samples[match[1]], err = strconv.ParseFloat(match[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	if got := samples[fmt.Sprintf(`hyper_derp_build_info{version=%q,engine=%q}`, version(t), r.engine)]; got != 1 {
		t.Fatalf("the metrics do not tell of the engine %s:\n%s", r.engine, body)
	}
	return samples
}

// version is what the daemon says it is.
func version(t *testing.T) string {
	t.Helper()
	printed, err := exec.Command(os.Getenv("HYPER_DERP"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(printed))
	return words[len(words)-1]
}
