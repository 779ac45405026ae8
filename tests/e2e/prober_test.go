// SPDX-License-Identifier: BSD-3-Clause

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tailscale.com/prober"
)

// derpprobeSize is what derpprobe sends to measure the bandwidth, unless told otherwise.
const derpprobeSize = 1_000_000

// TestProber runs each check of Tailscale's derpprobe once, as derpprobe -once does.
func TestProber(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		r := startRelay(t, engine, fromAuthority)
		runProbes(t, r, derpprobeSize)
	})
}

// TestProberLargeBandwidth: the probe keeps up to 30 packets of 64 KiB under way and takes none for
// lost: so much must find room in a client's queue.
func TestProberLargeBandwidth(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		r := startRelay(t, engine, fromAuthority)
		runProbes(t, r, 20*derpprobeSize)
		dropped := r.metrics(t)[`hyper_derp_drops_total{reason="queue_full",kind="data"}`]
		if dropped != 0 {
			t.Errorf("%v packets found a queue full", dropped)
		}
	})
}

// runProbes checks that there are all probes of a region with one node, and that each succeeds.
func runProbes(t *testing.T, r *relay, bandwidthSize int64) {
	t.Helper()
	file, probe, pair := writeProberMap(t, r)
	p := prober.New().WithOnce(true)
	derp, err := prober.DERP(p, "file://"+file,
		prober.WithTLSProbing(patience),
		prober.WithSTUNProbing(patience),
		prober.WithMeshProbing(patience),
		prober.WithBandwidthProbing(patience, bandwidthSize, ""))
	if err != nil {
		t.Fatal(err)
	}
	const mapProbe = "derpmap"
	p.Run(mapProbe, patience, nil, derp.ProbeMap)
	p.Wait()

	results := p.ProbeInfo()
	for _, name := range []string{mapProbe, probe + "tls", probe + "udp", probe + "udp6",
		pair + "mesh", pair + "bw"} {
		result, ok := results[name]
		delete(results, name)
		if !ok || result.Status != prober.ProbeStatusSucceeded || result.Error != "" {
			t.Errorf("probe %s (run: %v): %s: %s", name, ok, result.Status, result.Error)
			continue
		}
		t.Logf("probe %s: %s in %v", name, result.Status, result.Latency.Round(time.Microsecond))
	}
	if len(results) != 0 {
		t.Errorf("probes that this test does not know: %v", results)
	}
}

// writeProberMap writes the relay's map with its addresses, without which the prober sends no STUN.
// It returns the file, and what the names of probes begin with: of the node, and of the way from it to
// itself, as the region has no other.
func writeProberMap(t *testing.T, r *relay) (file, probe, pair string) {
	t.Helper()
	derpMap := r.derpMap(t)
	region := regionOf(derpMap)
	node := region.Nodes[0]
	node.IPv4, node.IPv6 = relayV4.String(), relayV6.String()
	text, err := json.Marshal(derpMap)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "derpmap.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	probe = fmt.Sprintf("derp/%s/%s/", region.RegionCode, node.Name)
	return file, probe, probe + node.Name + "/"
}
