package address_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/internal/address"
)

const atext = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~" // RFC 5322, 3.2.3

// Each octet alone at each place of a mailbox: what the grammar has there passes, and nothing else (RFC 5321, 4.1.2).
func TestOctets(t *testing.T) {
	printable := ""
	for c := ' '; c <= '~'; c++ {
		printable += string(c)
	}
	unquoted := strings.ReplaceAll(printable, `"`, "") // a backslash takes the b behind it
	letters := atext[:62]
	for place, c := range map[string]struct{ format, allowed string }{
		"a local part":          {"a%sb@example.com", atext + "."},
		"its beginning":         {"%sb@example.com", atext},
		"its end":               {"a%s@example.com", atext},
		"quotes":                {`"a%sb"@example.com`, unquoted},
		"an escape":             {`"a\%sb"@example.com`, printable},
		"a label":               {"a@ex%sample.com", letters + "-_."}, // QUIRK: container networks have underscores
		"the label's beginning": {"a@%sexample.com", letters + "_"},
		"the domain's end":      {"a@example.com%s", letters + "_"},
		"a literal":             {"a@[192.0.2.%s]", "0123456789"},
		"behind a literal":      {"a@[192.0.2.1]%s", ""},
		"between quote and at":  {`"a"%s@example.com`, ""},
	} {
		for c2 := range 256 {
			// An octet beyond ASCII alone is no UTF-8, and so is nowhere allowed.
			octet := string([]byte{byte(c2)})
			in := strings.Replace(c.format, "%s", octet, 1)
			if place == "behind a literal" && octet == "]" {
				continue // which is then its end, of a literal that is none; TestDomains has it
			}
			err := address.Check(in)
			if want := strings.Contains(c.allowed, octet) && c2 < 0x80; (err == nil) != want {
				t.Errorf("%s: %q: got %v, want allowed %v", place, in, err, want)
			}
			if err != nil && !errors.Is(err, address.ErrSyntax) {
				t.Errorf("%s: %q: %v is no ErrSyntax", place, in, err)
			}
		}
	}
}

// RFC 6531, 3.3 widens the grammar to UTF-8; what shows nothing, or turns or breaks a line, stays out.
func TestUTF8(t *testing.T) {
	for s, want := range map[string]bool{
		"é": true, "中": true, "😀": true, "ß": true, "е\u0301": true,
		"\u0080": false, "\u0085": false, "\u00a0": false, "\u00ad": false, "\u200b": false, "\u200e": false, "\u202e": false, "\u2028": false, "\u2029": false,
		"\ufeff": false, "\ufffd": false, "\ue000": false, "\U000e0001": false, "\xc3": false, "\xc0\x80": false, "\xed\xa0\x80": false, "\xf4\x90\x80\x80": false, "\xff": false,
	} {
		for _, format := range []string{"a%sb@example.com", `"a%sb"@example.com`, `"a\%sb"@example.com`, "a@ex%sample.com"} {
			in := fmt.Sprintf(format, s)
			if err := address.Check(in); (err == nil) != want {
				t.Errorf("%q: got %v, want allowed %v", in, err, want)
			}
		}
	}
}

// RFC 5321, 4.5.3.1 and RFC 1035, 2.3.4: the last length that is allowed, and the first one that is not.
func TestLimits(t *testing.T) {
	label := strings.Repeat("x", 63)
	domain := label + "." + label + "." + label + "." // 192 octets
	for _, c := range []struct {
		name, fits, not string
	}{
		{"a label", "a@" + label, "a@x" + label},
		{"a label of UTF-8", "a@" + strings.Repeat("é", 31), "a@" + strings.Repeat("é", 32)},
		// RFC 5321, 4.5.3.1.1 has 64; return paths with another address in them are longer (VERP, SRS).
		{"a local part", strings.Repeat("l", 64+188) + "@x", strings.Repeat("l", 64+189) + "@x"},
		{"an address", "a@" + domain + strings.Repeat("y", 60), "a@" + domain + strings.Repeat("y", 61)},
		{"a quoted local part", `"` + strings.Repeat("l", 250) + `"@x`, `"` + strings.Repeat("l", 251) + `"@x`},
	} {
		if err := address.Check(c.fits); err != nil {
			t.Errorf("%s of %d octets: got %v, want none", c.name, len(c.fits), err)
		}
		if err := address.Check(c.not); err == nil {
			t.Errorf("%s of %d octets passes", c.name, len(c.not))
		}
	}
	fits, not := domain+strings.Repeat("y", 61), domain+strings.Repeat("y", 62)
	if len(fits) != 253 || address.CheckDomain(fits) != nil || address.CheckDomain(not) == nil {
		t.Errorf("a domain of %d octets: got %v; of %d: %v", len(fits), address.CheckDomain(fits), len(not), address.CheckDomain(not))
	}
}

func TestDomains(t *testing.T) {
	for d, want := range map[string]bool{
		"localhost": true, "example.com": true, "EXAMPLE.COM": true, "a.b.c.d.e": true, "xn--exmple-cua.net": true, "1.2.3.4": true, "3com.com": true, "a--b.c": true, "exämple.net": true,
		"": false, ".": false, ".a": false, "a.": false, "a..b": false, "-a": false, "a-": false, "a.-b.c": false, "a b": false, "a@b": false, "a:25": false, "a/b": false, "a,b": false, "*.a": false,
		// RFC 5321, 4.1.3: address literals.
		"[192.0.2.1]": true, "[255.255.255.255]": true, "[IPv6:2001:db8::1]": true, "[ipv6:::1]": true, "[IPv6:::ffff:192.0.2.1]": true, "[IPv6:1:2:3:4:5:6:7:8]": true,
		"[]": false, "[": false, "[192.0.2.1": false, "192.0.2.1]": false, "[192.0.2]": false, "[192.0.2.256]": false, "[192.0.2.1.1]": false, "[192.0.2.01]": false, "[192.0.2.1]]": false, "[[192.0.2.1]]": false,
		"[192.0.2.1].": false, "[ 192.0.2.1]": false, "[2001:db8::1]": false, "[IPv6:192.0.2.1]": false, "[IPv6:]": false, "[IPv6:1::2::3]": false, "[IPv6:fe80::1%eth0]": false, "[IPv6:1:2:3:4:5:6:7:8:9]": false,
		"[IPv5:x]": false, "[tag:content]": false, "[localhost]": false,
	} {
		err := address.CheckDomain(d)
		if (err == nil) != want || err != nil && !errors.Is(err, address.ErrSyntax) {
			t.Errorf("%q: got %v, want allowed %v", d, err, want)
		}
		if whole := address.Check("a@" + d); (whole == nil) != want {
			t.Errorf("%q in an address: got %v, want allowed %v", d, whole, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for a, want := range map[string]string{
		"a@b": "a|b", "a@b@c": "a@b|c", `"a@b"@c`: `"a@b"|c`, `"a\"@b"@c`: `"a\"@b"|c`, `"a\\"@b`: `"a\\"|b`, `""@b`: `""|b`, "a@[IPv6:::1]": "a|[IPv6:::1]", "\r@\n": "\r|\n",
		"": "", "a": "", "@": "", "a@": "", "@b": "", `"a`: "", `"a"`: "", `"a"b@c`: "", `"a\"@b`: "", `"a"@`: "", `"`: "",
	} {
		local, domain, err := address.Split(a)
		got := ""
		if err == nil {
			got = local + "|" + domain
		}
		if got != want {
			t.Errorf("%q: got %q, %v, want %q", a, got, err, want)
		}
	}
}

// QUIRK by QUIRK: what printers and scripts say, and what is left alone.
func TestBracket(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "   ": "", "<a@b> SIZE=1": "<a@b> SIZE=1", "  <a@b>": "<a@b>", "a@b": "<a@b>", " a@b SIZE=1 BODY=7BIT": "<a@b> SIZE=1 BODY=7BIT",
		`"a b"@c X=1`: `<"a b"@c> X=1`, `"a \" b"@c`: `<"a \" b"@c>`, `"a b`: `<"a> b`, "<>": "<>", "postmaster": "<postmaster>",
	} {
		if got := address.Bracket(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// RFC 5321, 4.1.1.3 and appendix C: routes go, and are checked; postmaster needs no domain, nor does the null sender.
func TestPaths(t *testing.T) {
	for in, want := range map[string]string{
		"<> BODY=8BITMIME": "| BODY=8BITMIME", "<POSTMASTER>": "POSTMASTER|", "<postmaster@x>x": "postmaster@x|x", "<@a:b@c>": "b@c|", "<@[192.0.2.1],@b.c:d@e> X": "d@e| X", "<@a:postmaster>": "postmaster|",
		`<"a\"b>"@c>>`: `"a\"b>"@c|>`, `<"<"@c>`: `"<"@c|`, `<""@c>`: `""@c|`,
		"<@a:>": "", "<@:b@c>": "", "<@a,:b@c>": "", "<@a,b:c@d>": "", "<@a@b:c@d>": "", "<@a b:c@d>": "", "<@a:@b:c@d>": "", "<@[x]:c@d>": "", "<@a": "", "<": "", "<<a@b>>": "", "< a@b>": "", "<a@b >": "", "a@b>": "",
		"<postmasters>": "", `<"postmaster">`: "", `<"a>@b`: "", `<"a\">@b>`: "", "<a@b\r>": "", "<a@b\n>": "", "<a@b\x00>": "",
	} {
		a, rest, err := address.ParsePath(in)
		got := ""
		if err == nil {
			got = a + "|" + rest
		}
		if got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
		if err != nil && !errors.Is(err, address.ErrSyntax) {
			t.Errorf("%q: %v is no ErrSyntax", in, err)
		}
	}
}

func TestLabels(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "example.com": "example.com", "EXAMPLE.com": "EXAMPLE.com", "[192.0.2.1]": "[192.0.2.1]", "my_host": "my_host", // ASCII comes back as it is
		"Bücher.example": "xn--bcher-kva.example", "BÜCHER.example": "xn--bcher-kva.example", "faß.example": "xn--fa-hia.example", "例え.テスト": "xn--r8jz45g.xn--zckzah", "ü.a": "xn--tda.a",
	} {
		if got, err := address.ToASCII(in); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"ü_x.example", "-ü.example", "\u0301a.example", "ü" + strings.Repeat("x", 63) + ".example", "\xff.example", "ü☃️ .example"} {
		if got, err := address.ToASCII(in); err == nil || errors.Is(err, address.ErrSyntax) {
			t.Errorf("%q: got %q, %v, want an error that is no ErrSyntax", in, got, err)
		}
	}
	for s, want := range map[string]bool{"": true, "a@b": true, "\x00\x7f": true, "\x80": false, "a@bü": false} {
		if got := address.IsASCII(s); got != want {
			t.Errorf("%q is ASCII: got %v, want %v", s, got, want)
		}
	}
}

// A server says these errors to whoever tries addresses by the thousand: they repeat nothing, and cost nothing.
func TestRefusing(t *testing.T) {
	for _, in := range []string{"", "secret", "secret@", "@secret", "secret..x@secret", "secret x@secret", `"secret@secret`, `"secret"x@secret`, "secret\x00@secret", "secret@secret..x", "secret@[secret]", "secret@secret-",
		"secret@" + strings.Repeat("secret", 11), strings.Repeat("secret", 50) + "@secret", "secret@sec ret", "secret\xff@secret", `"secret\"@secret`} {
		err := address.Check(in)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error without the address", in, err)
		}
		if strings.HasSuffix(in, "]") {
			continue // net/netip makes an error of its own, which is dropped
		}
		if n := testing.AllocsPerRun(10, func() { address.Check(in) }); n != 0 {
			t.Errorf("%q: refusing it allocates %v times, want never", in, n)
		}
	}
}

// mailboxes draws what the grammar of RFC 5321, 4.1.2 makes, in both its forms of a local part and all its forms of a domain.
func mailboxes() *rapid.Generator[string] {
	atoms := rapid.StringOfN(rapid.RuneFrom([]rune(atext+"äß中")), 1, 8, -1)
	dots := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(atoms, 1, 3).Draw(t, "atoms"), ".") })
	inner := rapid.OneOf(rapid.SampledFrom([]string{`\"`, `\\`, `\ `, `\a`, " ", "@", ">", "<", ":", ",", "..", "ü"}), atoms)
	quoted := rapid.Custom(func(t *rapid.T) string {
		return `"` + strings.Join(rapid.SliceOfN(inner, 0, 6).Draw(t, "content"), "") + `"`
	})
	labels := rapid.StringMatching(`[a-zA-Z0-9ü]([a-zA-Z0-9ü-]{0,10}[a-zA-Z0-9ü])?`)
	names := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(labels, 1, 4).Draw(t, "labels"), ".") })
	v4 := rapid.Custom(func(t *rapid.T) string {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "octets")
		return fmt.Sprintf("[%d.%d.%d.%d]", b[0], b[1], b[2], b[3])
	})
	v6 := rapid.Custom(func(t *rapid.T) string {
		w := rapid.SliceOfN(rapid.Uint16(), 8, 8).Draw(t, "words")
		s := fmt.Sprintf("%x:%x:%x:%x:%x:%x:%x:%x", w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7])
		return "[" + rapid.SampledFrom([]string{"IPv6:", "ipv6:", "IPV6:"}).Draw(t, "tag") + s + "]"
	})
	return rapid.Custom(func(t *rapid.T) string {
		return rapid.OneOf(dots, quoted).Draw(t, "local") + "@" + rapid.OneOf(names, v4, v6).Draw(t, "domain")
	})
}

// All that the grammar makes is a mailbox, is parted where it was joined, and goes through a path unchanged.
func TestGrammar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := mailboxes().Draw(t, "mailbox")
		if err := address.Check(a); err != nil {
			t.Fatalf("%q: got %v", a, err)
		}
		local, domain, err := address.Split(a)
		if local+"@"+domain != a || err != nil || address.CheckDomain(domain) != nil {
			t.Errorf("%q is parted into %q and %q, %v", a, local, domain, err)
		}
		rest := rapid.SampledFrom([]string{"", " SIZE=1", ">", "<x@y>", " \"", "@z"}).Draw(t, "rest")
		for _, route := range []string{"", "@a:", "@a.b,@[192.0.2.1]:"} {
			if got, after, err := address.ParsePath("<" + route + a + ">" + rest); got != a || after != rest || err != nil {
				t.Errorf("%q behind the route %q: got %q, %q, %v, want %q behind it", a, route, got, after, err, rest)
			}
		}
		if !strings.HasPrefix(rest, "@") && (rest == "" || rest[0] == ' ') {
			if got := address.Bracket(" " + a + rest); got != "<"+a+">"+rest && (local[0] == '"' || !strings.Contains(local, " ")) {
				t.Errorf("%q in brackets: got %q", a+rest, got)
			}
		}
	})
}

// What is let through can be put into a command: it is one line of printable text with one mailbox in it.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"a@b", `"a\"b"@c`, "a@[IPv6:::1]", "é@é", "a@b@c", `"a@b`, " <a@b", `"a b"@c x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if once := address.Bracket(s); address.Bracket(once) != once {
			t.Errorf("%q in brackets is %q, and then %q", s, once, address.Bracket(once))
		}
		if address.Check(s) != nil {
			return
		}
		for _, r := range s {
			if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u202e' || r == '\ufffd' {
				t.Errorf("%q holds %q", s, r)
			}
		}
		local, domain, err := address.Split(s)
		if err != nil || local+"@"+domain != s || len(s) > 254 {
			t.Errorf("%q is parted into %q and %q, %v", s, local, domain, err)
		}
		if name, err := address.ToASCII(domain); err == nil && len(name) <= 253 && address.CheckDomain(name) != nil {
			t.Errorf("%q in A-labels is %q: %v", domain, name, address.CheckDomain(name))
		}
	})
}
