// SPDX-License-Identifier: BSD-3-Clause

// What the relay answers to those who do not come to speak DERP, asked by Go's HTTP client.

package interop

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

func ask(ctx context.Context, t *testing.T, client *http.Client, method, url string,
	header map[string]string) answer {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("a body")
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatalf("%s %s: the body breaks off: %v", method, url, err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func TestHTTP(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		transport := &http.Transport{TLSClientConfig: r.tlsConfig()}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		url := r.url("")

		for _, header := range []map[string]string{
			nil,
			{"Upgrade": "h2c", "Connection": "Upgrade"},
		} {
			got := ask(ctx, t, client, "GET", url+"/derp", header)
			if got.status != http.StatusUpgradeRequired {
				t.Errorf("GET /derp with %v: %d, want 426", header, got.status)
			}
		}

		for _, path := range []string{"/derp/probe", "/derp/latency-check"} {
			for _, method := range []string{"GET", "HEAD"} {
				got := ask(ctx, t, client, method, url+path, nil)
				if got.status != http.StatusOK {
					t.Errorf("%s %s: %d, want 200", method, path, got.status)
				}
				if origin := got.header.Get("Access-Control-Allow-Origin"); origin != "*" {
					t.Errorf("%s %s: Access-Control-Allow-Origin is %q", method, path, origin)
				}
			}
			got := ask(ctx, t, client, "POST", url+path, nil)
			if got.status != http.StatusMethodNotAllowed {
				t.Errorf("POST %s: %d, want 405", path, got.status)
			}
		}
	})
}

func TestHTTPPages(t *testing.T) {
	skipOnReference(t, "its pages belong to another program")
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		transport := &http.Transport{TLSClientConfig: r.tlsConfig()}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		url := r.url("")

		home := ask(ctx, t, client, "GET", url+"/", nil)
		if home.status != http.StatusOK {
			t.Errorf("GET /: %d, want 200", home.status)
		}
		if len(home.body) == 0 || len(home.body) > 4096 {
			t.Errorf("the page at / has %d bytes, want a short one", len(home.body))
		}
		if kind := home.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/") {
			t.Errorf("the page at / is of type %q", kind)
		}
		head := ask(ctx, t, client, "HEAD", url+"/", nil)
		if head.status != http.StatusOK || head.body != "" {
			t.Errorf("HEAD /: %d with a body of %d bytes", head.status, len(head.body))
		}
		if got := ask(ctx, t, client, "GET", url+"/?a=b", nil); got.status != http.StatusOK {
			t.Errorf("GET /?a=b: %d, want 200", got.status)
		}
		for _, path := range []string{"/nope", "/derp/nope", "/derpx", "/derp/probe/"} {
			if got := ask(ctx, t, client, "GET", url+path, nil); got.status != http.StatusNotFound {
				t.Errorf("GET %s: %d, want 404", path, got.status)
			}
		}
		r.finish(t).check(t, "http_requests", 7)
	})
}

// TestHTTPAndDERP: both on one listener at the same time.
func TestHTTPAndDERP(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: r.tlsConfig()}
		client := &http.Client{Transport: transport}
		for range 50 {
			got := ask(ctx, t, client, "GET", r.url("/derp/probe"), nil)
			if got.status != http.StatusOK {
				t.Fatalf("GET /derp/probe: %d, want 200", got.status)
			}
			checkPair(ctx, t, pair[0], pair[1])
		}
	})
}
