// SPDX-License-Identifier: BSD-3-Clause

// What Tailscale's own tools find when they examine the relay.

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/netcheck"
)

// TestNetcheck: the region answers STUN over both families, and so has a latency.
func TestNetcheck(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		r := startRelay(t, engine, selfSigned)
		n := startTailnet(t, r)
		for _, x := range []*node{n.a, n.b} {
			before := r.metrics(t)
			var report netcheck.Report
			if err := json.Unmarshal([]byte(x.run(t, "netcheck", "--format=json")), &report); err != nil {
				t.Fatal(err)
			}
			id := n.region.RegionID
			if !report.UDP || !report.IPv4 || !report.IPv6 || report.PreferredDERP != id {
				t.Errorf("netcheck at %s: %+v, want UDP, IPv4, IPv6 and region %d", x.site.name, report, id)
			}
			for _, latency := range []time.Duration{report.RegionLatency[id], report.RegionV4Latency[id],
				report.RegionV6Latency[id]} {
				if latency <= 0 || latency > time.Second {
					t.Errorf("a latency of the region is %v", latency)
				}
			}
			if got := report.GlobalV4.Addr(); got != x.site.v4 {
				t.Errorf("%s is told that its address is %v, want %v", x.site.name, got, x.site.v4)
			}
			if got := report.GlobalV6.Addr(); got != x.site.v6 {
				t.Errorf("%s is told that its address is %v, want %v", x.site.name, got, x.site.v6)
			}
			after := r.metrics(t)
			for _, family := range []string{"ipv4", "ipv6"} {
				name := fmt.Sprintf("hyper_derp_stun_answers_total{family=%q}", family)
				if after[name] <= before[name] {
					t.Errorf("the relay does not count an answer over %s", family)
				}
			}
		}
	})
}

// TestDebugDERP asks a node what is wrong with the region.
func TestDebugDERP(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		r := startRelay(t, engine, selfSigned)
		n := startTailnet(t, r)
		var report ipnstate.DebugDERPRegionReport
		output := n.a.run(t, "debug", "derp", fmt.Sprint(n.region.RegionID))
		if err := json.Unmarshal([]byte(output), &report); err != nil {
			t.Fatalf("%v in %s", err, output)
		}
		// That a tailnet with one region stands and falls with it is not the relay's doing.
		warnings := slices.DeleteFunc(report.Warnings, func(warning string) bool {
			return strings.Contains(warning, "only a single DERP region")
		})
		if len(report.Errors) != 0 || len(warnings) != 0 {
			t.Errorf("errors %q, warnings %q", report.Errors, warnings)
		}
		for _, finding := range []string{"has working IPv4 and IPv6 connectivity",
			"Successfully established a DERP connection", "returned IPv4 STUN response"} {
			if !slices.ContainsFunc(report.Info, func(info string) bool {
				return strings.Contains(info, finding)
			}) {
				t.Errorf("no finding %q among %q", finding, report.Info)
			}
		}
	})
}
