package mail

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Headers: read and written to the octet, changed field by field.

func TestHeaderFaithful(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringMatching(`[A-Za-z-]{1,12}[ \t]{0,2}:[ -~\t]{0,60}(\r?\n[ \t][ -~]{0,40}){0,3}\r?\n`)
		raw := strings.Join(rapid.SliceOfN(line, 0, 10).Draw(t, "lines"), "")
		h := ParseHeader(raw)
		var b bytes.Buffer
		if _, err := h.WriteTo(&b); err != nil || b.String() != raw {
			t.Fatalf("read %q, written %q, %v", raw, b.String(), err)
		}
		if h.String() != raw {
			t.Fatalf("String gives %q of %q", h.String(), raw)
		}
	})
}

func TestHeaderChanges(t *testing.T) {
	const raw = "A: 1\r\nB: 2\r\n folded\r\na: 3\r\n"
	h := ParseHeader(raw)
	if h.Len() != 3 || h.Value("b") != "2 folded" || h.Value("A") != "1" || !slices.Equal(h.Values("a"), []string{"1", "3"}) || h.Has("c") || h.Value("c") != "" {
		t.Errorf("read: got %q", h.String())
	}
	copied := h
	h.Replace("A", "new")
	h.Append("C", "Grüße")
	h.Prepend("Received", "from x")
	h.Insert(2, "D", "in between")
	if got, want := h.String(), "Received: from x\r\nA: new\r\nD: in between\r\nB: 2\r\n folded\r\nC: =?utf-8?b?R3LDvMOfZQ==?=\r\n"; got != want {
		t.Errorf("changed: got %q, want %q", got, want)
	}
	if copied.String() != raw {
		t.Errorf("a copy has changed: %q", copied.String())
	}
	if n := h.Remove("a"); n != 1 || h.Has("A") {
		t.Errorf("removed %d: %q", n, h.String())
	}
	h.Replace("New", "x")
	other := Fields("E", "5", "F")
	h.Join(other)
	if h.Value("New") != "x" || h.Value("E") != "5" || !h.Has("F") || h.Len() != 7 {
		t.Errorf("joined: %q", h.String())
	}
	var names []string
	for f := range h.All() {
		names = append(names, f.Name())
	}
	if strings.Join(names, " ") != "Received D B C New E F" {
		t.Errorf("walked: %q", names)
	}
}

func TestHeaderValidate(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"Subject", "Grüße", ""}, {"To", "a@b, c@d", ""}, {"To", "undisclosed-recipients:;", ""}, {"Content-Type", "text/plain; charset=utf-8", ""}, {"Received", "from a by b", ""},
		{"Subject", "a\nb", "line feed"}, {"Subject", "a\rb", "carriage return"}, {"Subject", "a\x00b", "NUL"}, {"To", "nobody", "To"}, {"Content-Type", "", "media type"}, {"Content-Type", "a b", "Content-Type"},
		{"Received", "ü", "Received"}, {"Sub ject", "x", "name"}, {"", "x", "name"}, {"X", strings.Repeat("x", 5000), ""}, {"References", strings.Repeat("x", 5000), "References"},
	} {
		h := Fields(c.name, c.value)
		err := h.Validate()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "mail: ")) {
			t.Errorf("%s: %.20q: got %v, want %q", c.name, c.value, err, c.want)
		}
		if err == nil {
			checkLines(t, c.name, []byte(h.String()))
		}
	}
	if err := ParseHeader("garbage line\nX: y\n").Validate(); err != nil {
		t.Log(err) // the first line ends the header: nothing is left to be wrong
	}
	if err := ParseHeader("X: y\ngarbage\nZ: y\n").Validate(); err == nil {
		t.Error("a line that is no field passes")
	}
}
