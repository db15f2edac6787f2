package dialogue_test

import (
	"net"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/dialogue"
)

func TestScripts(t *testing.T) {
	scripts, err := dialogue.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		if s.Steps[0].Who != 'S' {
			t.Errorf("%s: begins with %c:, and a server speaks first", s.Name, s.Steps[0].Who)
		}
		switch s.Set["plays"] {
		case "both", "server", "client", "send":
		default:
			t.Errorf("%s: plays %q", s.Name, s.Set["plays"])
		}
	}
}

func TestParse(t *testing.T) {
	s, err := dialogue.Parse("x", "# A title\n# with: tls size=10\nS: 220 *\nC| a\\r\\x41\\{3 b}\\\\\nC: <tls>\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "A title" || len(s.Steps) != 3 || s.Steps[1].Text != "a\rAbbb\\" || !s.Steps[1].Open {
		t.Errorf("got %+v", s)
	}
	if v, ok := s.Has("size"); !ok || v != "10" {
		t.Errorf("size: got %q %v, want 10", v, ok)
	}
	for _, bad := range []string{"", "# only a title", "S: no title", "# t\nX: who", "# t\nS: \\q", "# t\nS: \\x4", "# t\nS: \\{z", "# t\nS: \\"} {
		if _, err := dialogue.Parse("x", bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, line string
		want          bool
	}{
		{"250 ok", "250 ok", true}, {"250 ok", "250 ok.", false}, {"250 *", "250 ", true}, {"250 *", "250", false},
		{"*x*y", "axby", true}, {"*x*y", "axb", false}, {"*", "", true},
	} {
		if got := dialogue.Match(c.pattern, c.line); got != c.want {
			t.Errorf("Match(%q, %q): got %v, want %v", c.pattern, c.line, got, c.want)
		}
	}
}

// A play between two players agrees with itself, and one that differs is told
// with the line where it does.
func TestPlay(t *testing.T) {
	play := func(server, client string) (error, error) {
		a, b := net.Pipe()
		parse := func(text string) *dialogue.Script {
			s, err := dialogue.Parse("x", "# t\n"+text)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		done := make(chan error, 1)
		go func() { done <- (&dialogue.Player{Role: 'S', Conn: a}).Play(parse(server)) }()
		err := (&dialogue.Player{Role: 'C', Conn: b, Split: true}).Play(parse(client))
		return <-done, err
	}
	text := "S: 220 hi\nC: EHLO x\nS: 250-x\nS: ...\nC| ab\nC: c\nS: 250 *\nS: <close>\n"
	if s, c := play(text, text); s != nil || c != nil {
		t.Errorf("got %v and %v, want no error", s, c)
	}
	_, c := play(text, strings.Replace(text, "220 hi", "220 ho", 1))
	if c == nil || !strings.Contains(c.Error(), "x:2") {
		t.Errorf("got %v, want an error at x:2", c)
	}
	s, _ := play(text, strings.Replace(text, "EHLO x", "EHLO y", 1))
	if s == nil || !strings.Contains(s.Error(), "x:3") {
		t.Errorf("got %v, want an error at x:3", s)
	}
}
