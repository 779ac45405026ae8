// SPDX-License-Identifier: BSD-3-Clause

// What `hyper-derp derpmap` prints, read by the types of Tailscale's clients and control servers.

package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tailscale.com/tailcfg"
)

// A field that these types do not have would be ignored by a control server without a word.
func readPolicy(t *testing.T, text []byte) *tailcfg.DERPMap {
	t.Helper()
	var policy struct {
		DERPMap *tailcfg.DERPMap `json:"derpMap"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&policy); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if policy.DERPMap == nil {
		t.Fatalf("no derpMap in\n%s", text)
	}
	return policy.DERPMap
}

func TestDERPMap(t *testing.T) {
	skipOnReference(t, "it has no such command")
	for _, test := range []struct {
		config string
		want   tailcfg.DERPNode
	}{
		{"[tls]\nhostname = \"derp.example.com\"\n",
			tailcfg.DERPNode{HostName: "derp.example.com", DERPPort: 443, STUNPort: -1}},
		{"[[listener]]\naddress = \"127.0.0.1:8443\"\n[tls]\nhostname = \"203.0.113.5\"\n",
			tailcfg.DERPNode{HostName: "203.0.113.5", IPv4: "203.0.113.5", IPv6: "none",
				DERPPort: 8443, STUNPort: -1}},
		{"[tls]\nhostname = \"2001:db8::5\"\n",
			tailcfg.DERPNode{HostName: "2001:db8::5", IPv4: "none", IPv6: "2001:db8::5",
				DERPPort: 443, STUNPort: -1}},
		{"[tls]\nhostname = \"derp.example.com\"\n[stun]\naddress = \":3479\"\n",
			tailcfg.DERPNode{HostName: "derp.example.com", DERPPort: 443, STUNPort: 3479}},
	} {
		t.Run(test.want.HostName, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "config.toml")
			text := "key_file = \"" + folder + "/derp.key\"\n"
			if !strings.Contains(test.config, "[stun]") {
				text += "[stun]\naddress = \"\"\n"
			}
			if err := os.WriteFile(file, []byte(text+test.config), 0o600); err != nil {
				t.Fatal(err)
			}
			printed, err := exec.Command(os.Getenv("HYPER_DERP"), "derpmap", "-c", file).Output()
			if err != nil {
				t.Fatal(err)
			}
			derpMap := readPolicy(t, printed)
			if derpMap.OmitDefaultRegions {
				t.Error("Tailscale's own regions are left out, which is the operator's to say")
			}
			for id, region := range derpMap.Regions {
				if id < 900 || id > 999 || region.RegionID != id || len(region.Nodes) != 1 {
					t.Fatalf("region %v is %+v, want one node, and a number left to operators", id, region)
				}
				node := *region.Nodes[0]
				if !strings.HasPrefix(node.CertName, "sha256-raw:") || node.Name == "" || node.RegionID != id {
					t.Errorf("node %+v", node)
				}
				node.CertName, node.Name, node.RegionID = "", "", 0
				if !reflect.DeepEqual(node, test.want) {
					t.Errorf("node %+v, want %+v", node, test.want)
				}
			}
			if len(derpMap.Regions) != 1 {
				t.Errorf("%d regions, want 1", len(derpMap.Regions))
			}
		})
	}
}
