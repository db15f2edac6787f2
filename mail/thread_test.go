package mail

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/growth"
)

func TestBaseSubject(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""}, {"Minutes", "Minutes"}, {"  a \t b\r\n c ", "a b c"},
		// RFC 5256, 2.1, step 2: trailers.
		{"x (fwd)", "x"}, {"x (FWD) (Fwd)  ", "x"}, {"x(fwd)", "x"}, {"(fwd)", ""}, {"(fwd) x", "(fwd) x"},
		// Step 3: leaders.
		{"Re: x", "x"}, {"RE:x", "x"}, {"re : x", "x"}, {"Re: FW: fwd: x", "x"}, {"Re[2]: x", "x"}, {"Re [2] : x", "x"}, {"Re(3): x", "x"},
		{"[list] Re: x", "x"}, {"[a] [b]Re: [c] x", "x"}, {"Re:", ""}, {"Re: Re:", ""}, {"[a] Re:", ""},
		{"Report: x", "Report: x"}, {"re x", "re x"}, {"re[: x", "re[: x"}, {"re(: x", "re(: x"}, {"x re: y", "x re: y"}, {"red: x", "red: x"},
		// Step 4: what is in brackets goes if something is left.
		{"[list] x", "x"}, {"[a][b] x", "x"}, {"[a]", "[a]"}, {"[a] [b]", "[b]"}, {"Re: [a]", "[a]"}, {"[a[b] x", "[a[b] x"}, {"x [a]", "x [a]"}, {"[] x", "x"},
		// Step 6: a subject in brackets.
		{"[fwd: x]", "x"}, {"[Fwd: Re: [list] x (fwd)] (fwd)", "x"}, {"[fwd: [fwd: x]]", "x"}, {"[fwd:]", ""}, {"[fwd: x", "[fwd: x"}, {"[l] [fwd: x]", "x"},
		// Other languages.
		{"AW: WG: Grüße", "Grüße"}, {"Antw: TR: x", "x"}, {"SV: x", "x"}, {"Ä: x", "Ä: x"},
	} {
		if got := BaseSubject(c[0]); got != c[1] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[1])
		}
	}
}

// Whatever a subject is, an answer to it is about the same, and a base is its own.
func FuzzBaseSubject(f *testing.F) {
	for _, s := range []string{"", "Re: x", "[a] Re[2]: [fwd: x (fwd)]", "[a][b]", "re[", "(fwd)", "AW: \t", "[fwd: [fwd: "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		base := BaseSubject(s)
		if again := BaseSubject(base); again != base {
			t.Errorf("%q has the base %q, and that has %q", s, base, again)
		}
		s = cleanLine(s)
		for _, prefix := range []string{"Re: ", "Fwd: "} {
			if answer := prefixSubject(prefix, s); BaseSubject(answer) != BaseSubject(s) {
				t.Errorf("%q has the base %q, its answer %q has %q", s, BaseSubject(s), answer, BaseSubject(answer))
			}
		}
	})
}

func TestThreadKeys(t *testing.T) {
	first := &Message{ID: "1@x", Subject: "Lunch  today"}
	for _, c := range []struct {
		name  string
		m     *Message
		joins bool
	}{
		{"a reply", first.Reply(me), true},
		{"a forward", first.Forward(me), true},
		{"a reply by In-Reply-To alone", &Message{ID: "2@x", InReplyTo: []string{"<1@x>"}, Subject: "re: [list] LUNCH today"}, true},
		{"a sibling", &Message{ID: "3@x", References: []string{"0@x", "1@x"}, Subject: "AW: Lunchtoday"}, true},
		{"the same one", &Message{ID: "1@x", Subject: "Lunch today"}, true},
		{"another subject", &Message{ID: "4@x", InReplyTo: []string{"1@x"}, Subject: "Re: dinner"}, false},
		{"a namesake", &Message{ID: "5@x", Subject: "Lunch today"}, false},
		{"an identifier that goes on as a subject", &Message{ID: "lunchtoday1@x"}, false},
		{"none", &Message{Subject: "Lunch today"}, false},
	} {
		keys := c.m.ThreadKeys()
		if got := slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(first.ThreadKeys(), k) }); got != c.joins {
			t.Errorf("%s joins: got %v, want %v", c.name, got, c.joins)
		}
		for _, k := range keys {
			if len(k) != 32 {
				t.Errorf("%s has the key %q, want 32 characters", c.name, k)
			}
		}
	}
	m := &Message{ID: "3@x", References: []string{"1@x", "2@x", "1@x", ""}, InReplyTo: []string{"2@x"}}
	if got := m.ThreadKeys(); len(got) != 3 {
		t.Errorf("three messages in five places: got %d keys, want 3", len(got))
	}
	if got := new(Message).ThreadKeys(); got != nil {
		t.Errorf("no identifiers: got %q", got)
	}
}

// RFC 5256's algorithm, taken by its words, goes back to the beginning after each piece that is dropped.
func TestBaseSubjectIsLinear(t *testing.T) {
	for name, piece := range map[string]string{"prefixes": "re:", "brackets": "[a]", "open brackets": "[", "forwards": "[fwd:", "trailers": "(fwd)", "counts": "re[a]", "spaces": " \t"} {
		growth.Linear(t, name, 1<<18, func(n int) func() {
			s := strings.Repeat(piece, n/len(piece))
			return func() { BaseSubject(s + "x" + strings.Repeat("]", n/8)) }
		})
	}
	growth.Linear(t, "identifiers", 1<<12, func(n int) func() {
		m := &Message{Subject: strings.Repeat("x", n)}
		for i := range n {
			m.References = append(m.References, fmt.Sprint(i, "@x"))
		}
		return func() { m.ThreadKeys() }
	})
}
