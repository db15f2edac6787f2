package inbox

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// Every way of writing an address that is not public is refused, for it is
// judged when it is connected to.
func TestPublic(t *testing.T) {
	for to, want := range map[string]bool{
		"93.184.215.14:80": true, "93.184.215.14:443": true, "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443": true, "[::ffff:93.184.215.14]:80": true,
		"93.184.215.14:22": false, "93.184.215.14:8080": false,
		"127.0.0.1:80": false, "127.8.9.1:80": false, "0.0.0.0:80": false, "10.0.0.1:80": false, "172.16.0.1:80": false, "192.168.1.1:80": false, "169.254.169.254:80": false,
		"100.64.0.1:80": false, "192.0.0.1:80": false, "198.18.0.1:80": false, "224.0.0.1:80": false, "240.0.0.1:80": false, "255.255.255.255:80": false,
		"[::]:80": false, "[::1]:80": false, "[::ffff:127.0.0.1]:80": false, "[::ffff:169.254.169.254]:80": false, "[::7f00:1]:80": false, "[64:ff9b::7f00:1]:80": false,
		"[64:ff9b:1::a00:1]:80": false, "[2002:7f00:1::]:80": false, "[2001:0:4136:e378::]:80": false, "[fe80::1]:80": false, "[fe80::1%25lo]:80": false, "[fc00::1]:80": false, "[fd00:ec2::254]:80": false,
		"[fec0::1]:80": false, "[ff02::1]:80": false, "[2001:db8::1]:80": false, "[100::1]:80": false, "[::ffff:0:127.0.0.1]:80": false,
	} {
		at, err := netip.ParseAddrPort(strings.ReplaceAll(to, "%25", "%"))
		if err != nil {
			t.Fatal(err)
		}
		if got := public(at) == nil; got != want {
			t.Errorf("public(%s) = %v, want %v", to, got, want)
		}
	}
}

func TestLinkFates(t *testing.T) {
	var asked []string
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, "inside "+r.URL.Path) }))
	defer inside.Close()
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// No connection stays open to a host that a message names.
		if r.Method != http.MethodHead || !r.Close {
			t.Errorf("%s %s, to be closed %t", r.Method, r.URL, r.Close)
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/in":
			http.Redirect(w, r, inside.URL+"/secret", http.StatusFound)
		case "/gone":
			w.WriteHeader(http.StatusNotFound)
		case "/post":
			w.WriteHeader(http.StatusMethodNotAllowed)
		case "/old":
			w.WriteHeader(http.StatusNotImplemented)
		}
	}))
	defer outside.Close()
	// The outside server stands for the internet; the other is this machine's.
	internet := netip.MustParseAddrPort(strings.TrimPrefix(outside.URL, "http://"))
	client := newLinkClient(func(to netip.AddrPort) error {
		if to == internet {
			return nil
		}
		return public(to)
	})
	wants := []struct {
		path, fate string
		ok         bool
	}{
		{outside.URL + "/here", "200 OK", true}, {outside.URL + "/moved", "200 OK, at " + outside.URL + "/here", true}, {outside.URL + "/gone", "404", false},
		{outside.URL + "/post", "405", true}, {outside.URL + "/old", "501", true}, {outside.URL + "/loop", "it redirects more than 5 times", false}, {outside.URL + "/in", "not public", false},
		{inside.URL + "/direct", "not public", false}, {strings.Replace(inside.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), "not public", false},
		{strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), "not public", false}, {"http://a b/", "no URL", false},
	}
	var links []string
	for _, w := range wants {
		links = append(links, w.path)
	}
	for i, got := range lookAt(t.Context(), client, links) {
		if got.URL != wants[i].path || !strings.Contains(got.Fate, wants[i].fate) || got.OK != wants[i].ok {
			t.Errorf("%s: %+v, want %q, %v", wants[i].path, got, wants[i].fate, wants[i].ok)
		}
		// The URL stands above its fate.
		if !got.OK && strings.Contains(got.Fate, got.URL) {
			t.Errorf("%s: its fate says it once more: %s", got.URL, got.Fate)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the server inside was asked: %q", asked)
	}
}

func TestWebLinks(t *testing.T) {
	m := read(t, proper+"Content-Type: text/html\n\n"+`<a href="https://a.example/x">x</a><a href="https://a.example/x">y</a><a href="mailto:a@b.example">m</a><a href="javascript:x">j</a>`+"\n")
	if got := webLinks(m); len(got) != 1 || got[0] != "https://a.example/x" {
		t.Errorf("links are %q", got)
	}
}
