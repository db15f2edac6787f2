package interop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The messages that are sent, by every client and to every server. Each is told from the others by its Subject, and each
// has something that a careless program changes.

const (
	sender = "sender@example.com"
	one    = "one@example.net"
	two    = "two@example.net"
	nobody = "nobody@example.net" // refused for good, by servers that can be told to
	busy   = "busy@example.net"   // refused for now
)

// sample is one message, with CRLF at the end of each line.
type sample struct {
	name string
	raw  []byte
}

func samples() []sample {
	long := strings.Repeat("0123456789", 100)[:998]
	var large strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&large, "%06d ................................................................\r\n", i)
	}
	var list []sample
	for _, s := range []struct{ name, body string }{
		{"plain", "Hello.\r\n"},
		{"leading dots", ".one\r\n..two\r\n...three\r\n. four\r\n"},
		{"lone dots", "before\r\n.\r\n..\r\n.\r\nafter\r\n"},
		{"dot at the end", "the last line is a dot\r\n.\r\n"},
		{"dot at the start", ".\r\nthe first line is a dot\r\n"},
		{"empty lines", "\r\n\r\ntwo above, three below\r\n\r\n\r\n\r\n"},
		{"long line", long + "\r\n." + long[1:] + "\r\n"},
		{"utf-8", "Grüße, שלום, 你好, 🐎\r\n"},
		{"trailing blanks", "blank \r\nblanks   \r\ntab\t\r\n \r\n"},
		{"no final line end", "the last line has no end"},
		{"no final line end after a dot", "x\r\n.y"},
		{"empty", ""},
		{"verbs", "QUIT\r\nRSET\r\nMAIL FROM:<x@example.com>\r\nDATA\r\n250 ok\r\n"},
		{"from at the start", "From here on\r\n>From there on\r\n"},
		{"large", large.String()},
	} {
		raw := fmt.Sprintf("From: Sender <%s>\r\nTo: %s\r\nCc: %s\r\nSubject: %s\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"+
			"Message-ID: <%s@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"+
			"Content-Transfer-Encoding: 8bit\r\nX-Folded: a field\r\n\tin two lines\r\n\r\n%s",
			sender, one, two, s.name, strings.ReplaceAll(s.name, " ", "."), s.body)
		list = append(list, sample{s.name, []byte(raw)})
	}
	return list
}

// subject returns the value of raw's Subject field, by which the samples are told apart.
func subject(raw []byte) string {
	for line := range bytes.Lines(raw) {
		if value, ok := bytes.CutPrefix(line, []byte("Subject: ")); ok {
			return string(bytes.TrimRight(value, "\r\n"))
		}
	}
	return ""
}

// ended returns raw as it must arrive: a message's last line ends in CRLF on the wire, whatever it was written with.
// RFC 5321, 4.1.1.4.
func ended(raw []byte) []byte {
	if bytes.HasSuffix(raw, []byte("\r\n")) {
		return raw
	}
	return append(bytes.Clone(raw), "\r\n"...)
}

// files writes each sample to a file of its own, changed by edit if that is not nil, and returns the paths.
func files(t *testing.T, list []sample, edit func([]byte) []byte) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, s := range list {
		raw := s.raw
		if edit != nil {
			raw = edit(raw)
		}
		path := filepath.Join(dir, fmt.Sprintf("%02d.eml", i))
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// same compares what arrived with what was sent and says where they part.
func same(t *testing.T, name string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := max(0, at-40)
	t.Errorf("%s: %d octets arrived, %d were sent, they part at %d:\n got …%q\nwant …%q",
		name, len(got), len(want), at, got[from:min(len(got), at+60)], want[from:min(len(want), at+60)])
}

// compare holds what arrived against what was sent: each once, to the byte.
func compare(t *testing.T, got [][]byte, sent []sample) {
	t.Helper()
	bySubject := map[string][][]byte{}
	for _, raw := range got {
		bySubject[subject(raw)] = append(bySubject[subject(raw)], raw)
	}
	for _, s := range sent {
		arrived := bySubject[s.name]
		if len(arrived) != 1 {
			t.Errorf("%s: arrived %d times, want once", s.name, len(arrived))
			continue
		}
		same(t, s.name, arrived[0], s.raw)
	}
	if len(got) != len(sent) {
		t.Errorf("%d messages arrived, want %d", len(got), len(sent))
	}
}
