package address_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/address"
)

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"<ann@example.com>": "ann@example.com", "<>": "", "<Postmaster>": "Postmaster", "<a@b> SIZE=1": "a@b| SIZE=1",
		"<@a,@b.c:d@e>": "d@e", `<"a>b"@c>`: `"a>b"@c`, `<"x@evil"@good>`: `"x@evil"@good`, "<a@[192.0.2.1]>": "a@[192.0.2.1]",
		"<a@[IPv6:::1]>": "a@[IPv6:::1]", "<jørn@exåmple.net>": "jørn@exåmple.net", "<a@my_host>": "a@my_host",
		"<" + strings.Repeat("l", 100) + "@example.com>": strings.Repeat("l", 100) + "@example.com",
	} {
		got, rest, err := address.ParsePath(in)
		if rest != "" {
			got += "|" + rest
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"", "a@b", "<a@b", "<a>", "<@b>", "<a@>", "<a@b@c>", "<a b@c>", "<a..b@c>", "<.a@c>", "<a.@c>", "<a@c.>", "<a@.c>", "<a@-c>", "<a@c->",
		`<"a@b>`, `<"a"b@c>`, "<\"a\x00\"@c>", "<a\x7f@c>", "<a\u2028@c>", "<a\u0085@c>", "<a\xff@c>", "<a@[1.2.3]>", "<a@[::1]>", "<a@[IPv6:1.2.3.4]>",
		"<a@[IPv6:fe80::1%eth0]>", "<a@[x:y]>", "<@a:>", "<@a>", "<a,b:c@d>", "<a@" + strings.Repeat("x", 64) + ">", "<" + strings.Repeat("x", 300) + "@y>", "<a@b\r\n>",
	} {
		if got, _, err := address.ParsePath(bad); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

func TestToASCII(t *testing.T) {
	if got, err := address.ToASCII("exämple.net"); got != "xn--exmple-cua.net" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// What is let through is safe to say: no control characters, and parsing it
// again gives the same.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<a@b>", `<"a\"b"@c>`, "<@a:b@c> X", "<a@[IPv6:::1]>", "<é@é>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, _, err := address.ParsePath(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(a, "\r\n\x00") {
			t.Errorf("%q: got %q", s, a)
		}
		again, rest, err := address.ParsePath("<" + a + ">")
		if again != a || rest != "" || err != nil {
			t.Errorf("%q: got %q, again %q, %q, %v", s, a, again, rest, err)
		}
	})
}
