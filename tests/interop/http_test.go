// SPDX-License-Identifier: BSD-3-Clause

// What the relay answers to those who do not come to speak DERP, asked by Go's HTTP client.

package interop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
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
		robots := ask(ctx, t, client, "GET", url+"/robots.txt", nil)
		if robots.status != http.StatusOK || robots.body != "User-agent: *\nDisallow: /\n" {
			t.Errorf("GET /robots.txt: %d, %q", robots.status, robots.body)
		}
		for _, page := range []answer{home, head, robots} {
			checkPolicy(t, page.header, r.tls)
		}
		missing := []string{"/nope", "/derp/nope", "/derpx", "/derp/probe/", "/bootstrap-dns"}
		for _, path := range missing {
			if got := ask(ctx, t, client, "GET", url+path, nil); got.status != http.StatusNotFound {
				t.Errorf("GET %s: %d, want 404", path, got.status)
			}
		}
		r.finish(t).check(t, "http_requests", 9)
	})
}

// checkPolicy looks for what browsers heed. Over plain HTTP the promise of TLS would be ignored by
// those who get it (RFC 6797, section 8.1), and is not made.
func checkPolicy(t *testing.T, header http.Header, tls bool) {
	t.Helper()
	for name, begin := range map[string]string{
		"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; ",
		"X-Frame-Options":         "DENY",
		"X-Content-Type-Options":  "nosniff",
	} {
		if got := header.Get(name); !strings.HasPrefix(got, begin) {
			t.Errorf("%s is %q, want %q", name, got, begin)
		}
	}
	want := ""
	if tls {
		want = "max-age=63072000; includeSubDomains"
	}
	if got := header.Get("Strict-Transport-Security"); got != want {
		t.Errorf("Strict-Transport-Security is %q, want %q", got, want)
	}
}

// TestHTTPHome: the pages that an operator may choose for /.
func TestHTTPHome(t *testing.T) {
	skipOnReference(t, "its home page is part of another program")
	const elsewhere = "https://derp.example/about?us"
	for _, c := range matrix {
		if !c.tls { // those are started without a file
			continue
		}
		for home, want := range map[string]int{"blank": http.StatusOK, elsewhere: http.StatusFound} {
			t.Run(c.String()+"/"+http.StatusText(want), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), cellDeadline)
				defer cancel()
				r := startRelay(ctx, t, c, settings{more: fmt.Sprintf("http.home = %q\n", home)})
				transport := &http.Transport{TLSClientConfig: r.tlsConfig()}
				defer transport.CloseIdleConnections()
				client := &http.Client{Transport: transport, CheckRedirect: stayHere}
				for _, method := range []string{"GET", "HEAD"} {
					got := ask(ctx, t, client, method, r.url("/"), nil)
					if got.status != want {
						t.Errorf("%s /: %d, want %d", method, got.status, want)
					}
					checkPolicy(t, got.header, true)
					if want == http.StatusOK && got.body != "" {
						t.Errorf("%s /: %q, want nothing", method, got.body)
					}
					if target := got.header.Get("Location"); (target == elsewhere) != (want == http.StatusFound) {
						t.Errorf("%s /: Location is %q", method, target)
					}
				}
			})
		}
	}
}

func stayHere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// TestCaptivePortal asks as package net/captivedetection does, which itself only knows port 80.
func TestCaptivePortal(t *testing.T) {
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		transport := &http.Transport{TLSClientConfig: r.tlsConfig()}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, CheckRedirect: stayHere}

		for challenge, want := range map[string]string{
			"ts_" + r.address():       "response ts_" + r.address(),
			strings.Repeat("a", 64):   "response " + strings.Repeat("a", 64),
			strings.Repeat("a", 65):   "",
			"ts_<script>":             "",
			"ts_derp one":             "",
			"":                        "",
			"ts_[2001:db8::1]:443":    "",
			"AZaz09.-_:":              "response AZaz09.-_:",
			"ts_derp.example;q=\"1\"": "",
		} {
			header := map[string]string{
				"Cache-Control": "no-cache, no-store, must-revalidate, no-transform, max-age=0",
			}
			if challenge != "" {
				header["X-Tailscale-Challenge"] = challenge
			}
			got := ask(ctx, t, client, "GET", r.url("/generate_204?t=1795773600"), header)
			if got.status != http.StatusNoContent || got.body != "" {
				t.Errorf("challenge %q: %d with %q, want 204", challenge, got.status, got.body)
			}
			if response := got.header.Get("X-Tailscale-Response"); response != want {
				t.Errorf("challenge %q: %q, want %q", challenge, response, want)
			}
			if cache := got.header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
				t.Errorf("challenge %q: Cache-Control is %q", challenge, cache)
			}
		}
	})
}

// TestHTTPKeepAlive: Go's client uses a connection again for as long as the relay lets it.
func TestHTTPKeepAlive(t *testing.T) {
	skipOnReference(t, "it sets no limit")
	forEachCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		transport := &http.Transport{TLSClientConfig: r.tlsConfig()}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		connections := 0
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) {
				if !info.Reused {
					connections++
				}
			},
		})
		paths := []string{"/derp/probe", "/generate_204", "/", "/nope"}
		const requests = 72
		for i := range requests {
			got := ask(ctx, t, client, []string{"GET", "HEAD"}[i/4%2], r.url(paths[i%4]), nil)
			if got.status != []int{200, 204, 200, 404}[i%4] {
				t.Fatalf("request %d: %d", i, got.status)
			}
		}
		if connections != 3 { // of 32, 32 and 8
			t.Errorf("%d requests took %d connections, want 3", requests, connections)
		}
		// One that waits for nothing more does not hold up the end.
		began := time.Now()
		r.finish(t).check(t, "http_requests", requests)
		if took := time.Since(began); took > prompt {
			t.Errorf("the relay took %v to end, with a connection that is kept alive", took)
		}
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
