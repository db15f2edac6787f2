package mail

import (
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
)

// Addresses, strict and lenient: what the grammar has, what the wild writes, and what must never become an address.

func TestParseAddressList(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Address
	}{
		{"ann@example.com", []Address{{"", "ann@example.com"}}},
		{"Ann <ann@example.com>", []Address{{"Ann", "ann@example.com"}}},
		{"Ann E. Example <ann@example.com>", []Address{{"Ann E. Example", "ann@example.com"}}},
		{`"Doe, John" <j@x.org>, b@c`, []Address{{"Doe, John", "j@x.org"}, {"", "b@c"}}},
		{`"a\"b\\c" <a@b>`, []Address{{`a"b\c`, "a@b"}}},
		{`"a b"@c, "a@b"@c`, []Address{{"", `"a b"@c`}, {"", `"a@b"@c`}}},
		{"a@[192.0.2.1], a@[IPv6:::1]", []Address{{"", "a@[192.0.2.1]"}, {"", "a@[IPv6:::1]"}}},
		{"friends: a@b, C <c@d>;", []Address{{"", "a@b"}, {"C", "c@d"}}},
		{"undisclosed-recipients:;", []Address{}},
		{"x: a@b;, y: ;, c@d", []Address{{"", "a@b"}, {"", "c@d"}}},
		{"<@a,@b:c@d>", []Address{{"", "c@d"}}},
		{"a@b (Ann (the first) Example)", []Address{{"Ann (the first) Example", "a@b"}}},
		{"(x) a (y) @ (z) b (w)", []Address{{"w", "a@b"}}},
		{"a . b @ c . d", []Address{{"", "a.b@c.d"}}},
		{"Ann\r\n <a@b>", []Address{{"Ann", "a@b"}}},
		{", a@b,, c@d,", []Address{{"", "a@b"}, {"", "c@d"}}},
		{"=?utf-8?q?J=C3=BCrgen?= <j@x>", []Address{{"Jürgen", "j@x"}}},
		{"=?utf-8?q?J=C3?= =?utf-8?q?=BCrgen?= Müller <j@x>", []Address{{"Jürgen Müller", "j@x"}}},
		{"jürgen@exämple.com", []Address{{"", "jürgen@exämple.com"}}},
		{`"=?utf-8?q?x?=" <a@b>`, []Address{{"=?utf-8?q?x?=", "a@b"}}}, // RFC 2047, 5, rule 3
	} {
		got, err := ParseAddressList(c.in)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestParseAddressListRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "a", "a@", "@b", "a@b c@d", "a b@c", "Doe, John <j@x>", "a@b <a@b>", "<a@b", "a@b>", "<>", "Ann <>", `"a@b`, "(a@b", "a@b; c@d", "g: a@b", "a..b@c", ".a@b", "a.@b",
		"a@b..c", "a@.b", "a@b.", "a@b@c", "a@[1.2.3.4", "a@b\r\n", "a@b\nc@d", "a\r@b", "Ann <a@b> x", "<a@b> <c@d>", "a\x00@b", "a@b\x00", "x <a@b>, =?utf-8?q?c=40d?=", "=?utf-8?q?a=40b?=", "[g]: a@b;", "g\x01: a@b;",
	} {
		if got, err := ParseAddressList(in); err == nil {
			t.Errorf("%q: got %q", in, got)
		} else if !strings.HasPrefix(err.Error(), "mail: ") {
			t.Errorf("%q: the error is %q", in, err)
		}
	}
	if _, err := ParseAddress("a@b, c@d"); err == nil {
		t.Error("two addresses were taken for one")
	}
	if a, err := ParseAddress("Ann <a@b>"); err != nil || a != (Address{"Ann", "a@b"}) {
		t.Errorf("got %v, %v", a, err)
	}
}

func TestAddressesLenient(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Address
		odd  bool // there is a defect
	}{
		{"Doe, John <j@x>", []Address{{"Doe, John", "j@x"}}, true},
		{"a@b <a@b>", []Address{{"a@b", "a@b"}}, true},
		{"a@b; c@d", []Address{{"", "a@b"}, {"", "c@d"}}, true},
		{"<<a@b>>", []Address{{"", "a@b"}}, true},
		{"<mailto:a@b>", []Address{{"", "a@b"}}, false},
		{"<a@b", []Address{{"", "a@b"}}, true},
		{`"Ann <a@b>`, []Address{{`"Ann`, "a@b"}}, true},
		{"John Doe john@x.com", []Address{{"John Doe", "john@x.com"}}, true},
		{"root", []Address{{"", "root"}}, true},
		{"<a@b> Ann", []Address{{"Ann", "a@b"}}, true},
		{"a..b@docomo.example", []Address{{"", "a..b@docomo.example"}}, true},
		{"[list] <a@b>", []Address{{"[list]", "a@b"}}, true},
		{`"=?utf-8?q?=C3=A4?=" <a@b>`, []Address{{"ä", "a@b"}}, false},
		{"=?utf-8?q?Doe,_J.?= <a@b>", []Address{{"Doe, J.", "a@b"}}, false},
		{"M\xfcller <a@b>", []Address{{"Müller", "a@b"}}, false},
		{"g: a@b, c@d", []Address{{"", "a@b"}, {"", "c@d"}}, true},
		{"<>", nil, true},
		// Never an address out of encoded text, a quoted name or a comment.
		{"=?utf-8?q?evil=40example.com?=", []Address{{"evil@example.com", ""}}, true},
		{"=?utf-8?q?<evil=40example.com>?= <a@b>", []Address{{"<evil@example.com>", "a@b"}}, false},
		{`"evil@example.com" <a@b>`, []Address{{"evil@example.com", "a@b"}}, false},
		{"a@b (evil@example.com)", []Address{{"evil@example.com", "a@b"}}, false},
		{"=?utf-8?q?a=40evil.example?=@b", []Address{{"", "=?utf-8?q?a=40evil.example?=@b"}}, false},
		{"<a>b@c", []Address{{"b@c", "a"}}, true},
	} {
		got, defects := new(Parser).Addresses(c.in)
		if !slices.Equal(got, c.want) || (len(defects) > 0) != c.odd {
			t.Errorf("%q: got %q, %v, want %q, defects: %v", c.in, got, defects, c.want, c.odd)
		}
	}
}

func TestExtractAddresses(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{`'you@there.com, "Bob" <bob@example.com>'`, []string{"'you@there.com", "bob@example.com"}},
		{`you@there.com, "Bob, B" <bob@example.com>`, []string{"you@there.com", "bob@example.com"}},
		{"friends: a@b, c@d;", []string{"a@b", "c@d"}},
		{"nobody here", nil},
		{`"a b"@c (x@y)`, []string{`"a b"@c`}},
	} {
		if got := ExtractAddresses(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestAddressString(t *testing.T) {
	for _, c := range []struct {
		a    Address
		want string
	}{
		{Address{"", "a@b"}, "a@b"}, {Address{"Ann", "a@b"}, "Ann <a@b>"}, {Address{"Doe, John", "a@b"}, `"Doe, John" <a@b>`},
		{Address{`a"b`, "a@b"}, `"a\"b" <a@b>`}, {Address{"Jürgen M", "a@b"}, "Jürgen M <a@b>"}, {Address{"a.b", "a@b"}, `"a.b" <a@b>`},
	} {
		if got := c.a.String(); got != c.want {
			t.Errorf("%q: got %s, want %s", c.a, got, c.want)
		}
		if back, err := ParseAddress(c.want); err != nil || back != c.a {
			t.Errorf("%s: read as %q, %v", c.want, back, err)
		}
	}
	a := Address{"Ann", `"x@y"@example.com`}
	if a.Local() != `"x@y"` || a.Domain() != "example.com" {
		t.Errorf("got %q and %q", a.Local(), a.Domain())
	}
	if n := netmail.Address(a); n.Name != a.Name || Address(n) != a {
		t.Errorf("net/mail's Address is %+v", n)
	}
}

func TestList(t *testing.T) {
	got := List("Ann <a@b>, c@d", "not an address", "e@f")
	want := []Address{{"Ann", "a@b"}, {"", "c@d"}, {"", "not an address"}, {"", "e@f"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if err := got[2].Validate(); err == nil || !strings.Contains(err.Error(), "not an address") {
		t.Errorf("the one that is none: %v", err)
	}
}

// What the quick check takes the careful one takes too.
func TestPlainSpec(t *testing.T) {
	for _, s := range []string{"a@b", "a.b@c.d", "a+b@c-d.e", "a@b_c", "a@b-", "a@-b", "a@b.-c", "a@b-.c", "a.@b", ".a@b", "a@b.", "a@.b", "a", "@", "a@", "@a", "a@b@c", "a b@c", "a@1.2.3.4", "ü@a", "a@ü"} {
		careful := isASCII(s) && strings.Count(s, "@") == 1
		if local, domain := cutAddress(s); careful {
			careful = local != "" && domain != "" && isDotAtom(local) && isDomain(domain)
		}
		if plainSpec(s) != careful {
			t.Errorf("%q: the quick check says %v, the careful one %v", s, plainSpec(s), careful)
		}
	}
}

// Domains go to A-labels and back.
func TestLabelsOfDomains(t *testing.T) {
	for _, c := range []struct{ in, ascii, unicode string }{
		{"a@bücher.example", "a@xn--bcher-kva.example", "a@bücher.example"},
		{"a@xn--bcher-kva.example", "a@xn--bcher-kva.example", "a@bücher.example"},
		{"a@Bücher.EXAMPLE", "a@xn--bcher-kva.example", "a@Bücher.EXAMPLE"},
		{"a@XN--BCHER-KVA.example", "a@XN--BCHER-KVA.example", "a@bücher.example"},
		{"a@例え.テスト", "a@xn--r8jz45g.xn--zckzah", "a@例え.テスト"},
		{`"a@xn--x"@example.com`, `"a@xn--x"@example.com`, `"a@xn--x"@example.com`},
		{"a@[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"a@xn--a.example", "a@xn--a.example", "a@xn--a.example"},
		{"ü@xn--bcher-kva.example", "", "ü@bücher.example"},
	} {
		got, err := Address{"Ann", c.in}.ASCII()
		if (err == nil) != (c.ascii != "") || err == nil && got != (Address{"Ann", c.ascii}) {
			t.Errorf("%s in A-labels: got %q, %v, want %q", c.in, got.Address, err, c.ascii)
		}
		if got := (Address{"Ann", c.in}).Unicode(); got != (Address{"Ann", c.unicode}) {
			t.Errorf("%s in U-labels: got %q, want %q", c.in, got.Address, c.unicode)
		}
	}
}
