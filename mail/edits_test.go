package mail

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/internal/address"
)

// modelField is a field as the model of a header has it: its octets, and its name in lower case.
type modelField struct{ name, raw string }

// made gives a field of the model that an edit has made.
func made(name, value string) modelField {
	return modelField{strings.ToLower(name), name + ": " + value + "\r\n"}
}

// Whatever is done to a header, the fields that were not touched stay what they were, octet by octet and in their order, and
// copies made before stay what they were. The model is a list of the octets of fields.
func TestHeaderEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"A", "a", "B", "X-Long-Name", "x-long-name"})
		bodies := rapid.SampledFrom([]string{" 1\r\n", "2\n", " \t3 \r\n\t folded\r\n", "\r\n", " =?utf-8?q?=C3=A4?=\n", " raw \xff\r\n"})
		var model []modelField
		raw := ""
		for range rapid.IntRange(0, 6).Draw(t, "fields") {
			name := names.Draw(t, "name")
			field := name + rapid.SampledFrom([]string{":", " :", "\t :"}).Draw(t, "colon") + bodies.Draw(t, "body")
			model, raw = append(model, modelField{strings.ToLower(name), field}), raw+field
		}
		h := ParseHeader(raw)
		whole := func(model []modelField) string {
			var b strings.Builder
			for _, f := range model {
				b.WriteString(f.raw)
			}
			return b.String()
		}
		type copied struct {
			h    Header
			want string
		}
		copies := []copied{{h, raw}}
		for i := range rapid.IntRange(1, 8).Draw(t, "edits") {
			name, value := names.Draw(t, "name"), fmt.Sprint("new ", i)
			is := func(f modelField) bool { return f.name == strings.ToLower(name) }
			switch edit := rapid.SampledFrom([]string{"append", "prepend", "insert", "replace", "remove", "join"}).Draw(t, "edit"); edit {
			case "append":
				h.Append(name, value)
				model = slices.Concat(model, []modelField{made(name, value)})
			case "prepend":
				h.Prepend(name, value)
				model = slices.Concat([]modelField{made(name, value)}, model)
			case "insert":
				at := rapid.IntRange(-2, 12).Draw(t, "at")
				h.Insert(at, name, value)
				at = max(0, min(at, len(model)))
				model = slices.Concat(model[:at], []modelField{made(name, value)}, model[at:])
			case "replace":
				h.Replace(name, value)
				first := slices.IndexFunc(model, is)
				if first < 0 {
					model = slices.Concat(model, []modelField{made(name, value)})
					break
				}
				// The name keeps the case of the one that was there.
				old := model[first].raw
				kept := made(strings.TrimRight(old[:strings.IndexByte(old, ':')], " \t"), value)
				model = slices.Concat(model[:first], []modelField{kept}, slices.DeleteFunc(slices.Clone(model[first+1:]), is))
			case "remove":
				left := slices.DeleteFunc(slices.Clone(model), is)
				if got, want := h.Remove(name), len(model)-len(left); got != want {
					t.Errorf("removing %s of %q: got %d, want %d", name, whole(model), got, want)
				}
				model = left
			case "join":
				other := Fields(name, value)
				h.Join(other)
				model = slices.Concat(model, []modelField{made(name, value)})
			}
			copies = append(copies, copied{h, whole(model)})
		}
		for _, c := range copies {
			if got := c.h.String(); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if again := ParseHeader(c.want); again.String() != c.want || again.Len() != c.h.Len() {
				t.Errorf("%q is read again as %d fields, want %d", c.want, again.Len(), c.h.Len())
			}
		}
		for _, f := range model {
			if !h.Has(f.name) || len(h.Values(f.name)) != len(slices.DeleteFunc(slices.Clone(model), func(g modelField) bool { return g.name != f.name })) {
				t.Errorf("%s: got %q of %q", f.name, h.Values(f.name), whole(model))
			}
		}
	})
}

// Walking stops where the loop does, and what is walked over is not changed by it.
func TestHeaderWalks(t *testing.T) {
	h := ParseHeader("A: 1\r\nB: 2\r\na: 3\r\nA: 4\r\n")
	n := 0
	for f := range h.Named("a") {
		if n++; f.Value() == "3" {
			break
		}
	}
	if n != 2 {
		t.Errorf("walked over %d fields to the second one, want 2", n)
	}
	var zero Header
	if zero.Len() != 0 || zero.Text("A") != "" || zero.Values("A") != nil || zero.Remove("A") != 0 || zero.String() != "" || zero.Validate() != nil {
		t.Errorf("the zero header: got %q", zero.String())
	}
	made := Fields("Subject", "=?utf-8?q?x?=")
	if got := made.Text("subject"); got != "=?utf-8?q?x?=" {
		t.Errorf("a made field that looks like an encoded word: got %q", got)
	}
	if got := ParseHeader(made.String()).Text("Subject"); got != "=?utf-8?q?x?=" {
		t.Errorf("written and read it is %q", got)
	}
}

// Each octet at each place of an address that is written (RFC 5322, 3.2.3, 3.2.4 and 3.4.1; RFC 5321, 4.1.3).
func TestValidateOctets(t *testing.T) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	printable := ""
	for c := ' '; c <= '~'; c++ {
		printable += string(c)
	}
	for place, c := range map[string]struct{ format, allowed string }{
		"a local part": {"a%sb@example.com", letters + "!#$%&'*+-/=?^_`{|}~."},
		"quotes":       {`"a%sb"@example.com`, strings.ReplaceAll(printable, `"`, "") + "\t"},
		"an escape":    {`"a\%sb"@example.com`, printable + "\t"},
		"a label":      {"a@ex%sample.com", letters + "-_."},
		"a literal":    {"a@[192.0.2.1%s]", "0123456789"},
	} {
		for b := range 0x80 {
			octet := string([]byte{byte(b)})
			in := strings.Replace(c.format, "%s", octet, 1)
			if err := (Address{"", in}).Validate(); (err == nil) != strings.Contains(c.allowed, octet) {
				t.Errorf("%s: %q: got %v, want allowed %v", place, in, err, strings.Contains(c.allowed, octet))
			}
		}
	}
	for in, want := range map[string]bool{
		"": false, "a": false, "a@": false, "@a": false, "a@b@c": false, `"a@b`: false, `""@b`: true, `"a"b@c`: false, `"a\"@b`: false, `"a" @b`: false, "a..b@c": false, ".a@c": false, "a.@c": false,
		"a@[192.0.2.1]": true, "a@[192.0.2]": false, "a@[IPv6:::1]": true, "a@[IPv6:x]": false, "a@[IPv6:fe80::1%1]": false, "a@[]": false, "a@[x]": false, "a@[x:]": false, "a@[x:y]": false, "a@[:x]": false, "a@[192.0.2.1": false,
		"ü@example.com": true, "a@ü.example": true, "\xff@example.com": false, "a@\xff": false, "a@b\xc3.example": false, "a(c)@b": false, "<a@b>": false, "a@b, c@d": false, "a@b\r\nBcc: c@d": false,
	} {
		err := (Address{"", in}).Validate()
		if (err == nil) != want || err != nil && !strings.HasPrefix(err.Error(), "mail: ") {
			t.Errorf("%q: got %v, want allowed %v", in, err, want)
		}
	}
}

// What a server takes as a mailbox can be written as an address, and is read as the same one.
func TestMailboxesAreAddresses(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"a", "b.c", "..", ".", "@", `"`, `\`, " ", "ü", "中", "[", "]", "IPv6:", "::1", "192.0.2.1", "-", "_", "x-y", "<", ">", ",", ";", ":", "(", ")", "=?utf-8?q?a?=", "\t", "\u2028", "\xff"})
	specs := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(pieces, 1, 8).Draw(t, "pieces"), "") }),
		rapid.Custom(func(t *rapid.T) string {
			return `"` + strings.Join(rapid.SliceOfN(pieces, 0, 4).Draw(t, "quoted"), "") + `"@` + strings.Join(rapid.SliceOfN(pieces, 1, 3).Draw(t, "domain"), "")
		}),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.StringMatching("[a-z!#$%&'*+/=?^_`{|}~-]{1,5}(\\.[a-z]{1,3})?").Draw(t, "local") + "@" + rapid.SampledFrom([]string{"example.com", "[192.0.2.1]", "[IPv6:::1]", "my_host", "ü.example"}).Draw(t, "host")
		}))
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		spec := specs.Draw(t, "spec")
		if address.Check(spec) != nil {
			return
		}
		found++
		a := Address{"Doe, J. (x) <y@z>", spec}
		if err := a.Validate(); err != nil {
			t.Fatalf("%q: got %v", spec, err)
		}
		if back, err := ParseAddress(a.String()); err != nil || back != a {
			t.Errorf("%q is shown as %s and read as %q, %v", spec, a, back, err)
		}
		if list, defects := new(Parser).Addresses(a.String()); len(list) != 1 || list[0] != a || len(defects) > 0 {
			t.Errorf("%q is shown as %s and read leniently as %q, %v", spec, a, list, defects)
		}
	})
	if found == 0 {
		t.Error("no mailbox was drawn: nothing was tried")
	}
}
