package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// Mail that nobody here wrote: nothing may fail to parse, and what was read can be written. What other parsers find in it is
// compared in conformance_test.go.

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// parseBoth parses from memory and through a window, which must give the same, and writes the result.
func parseBoth(t *testing.T, name string, raw []byte) *Message {
	t.Helper()
	m, err := Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	at, err := ParseAt(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatalf("%s: ParseAt: %v", name, err)
	}
	if got, want := describe(t, at), describe(t, m); got != want {
		t.Errorf("%s: ParseAt gives\n%s\nParse gives\n%s", name, got, want)
	}
	return m
}

// describe tells everything about a message.
func describe(t *testing.T, m *Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v %v %v %v %v %q %v %q %q %q\n%q %q\n%v\n", m.From, m.Sender, m.ReplyTo, m.To, m.Cc, m.Bcc, m.Subject, m.Date,
		m.ID, m.InReplyTo, m.References, m.Text, m.HTML, m.Defects)
	for f := range m.Header.All() {
		fmt.Fprintf(&b, "%q\n", f.Raw())
	}
	for path, p := range m.Body.Walk() {
		fmt.Fprintf(&b, "%s %s %q %d-%d %q %q", path, p.Type(), p.Name(), p.begin, p.end, p.Preamble, p.Epilogue)
		if !p.IsMultipart() {
			rc, err := p.Reader()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(rc)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, " %s", hash(content))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Every file of the corpora that could be a message is parsed, and written again if it has an author.
func TestCorporaWhole(t *testing.T) {
	root := peers.Corpora(t)
	var parsed, written, same int
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".dat") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := parseBoth(t, path, raw)
		parsed++
		var out bytes.Buffer
		if _, err := m.WriteTo(&out); err != nil {
			return nil
		}
		written++
		checkLines(t, path, out.Bytes())
		again, _ := Parse(bytes.NewReader(out.Bytes()))
		if again.Subject == m.Subject && slices.Equal(again.From, m.From) && sameText(again.Text, m.Text) && sameText(again.HTML, m.HTML) && len(again.Attachments) == len(m.Attachments) {
			same++
		} else {
			t.Logf("%s: written and read again it differs", path)
		}
		return nil
	})
	t.Logf("%d files parsed, %d written again, %d of them with the same subject, authors, text and attachments", parsed, written, same)
}

// checkLines checks that a message is fit to be sent: 7-bit, CRLF alone, no line over 998.
func checkLines(t *testing.T, name string, b []byte) {
	t.Helper()
	for i, line := range strings.SplitAfter(string(b), "\n") {
		body, ok := strings.CutSuffix(line, "\r\n")
		if !ok && line != "" {
			t.Errorf("%s: line %d does not end in CRLF: %.80q", name, i+1, line)
			return
		}
		if len(body) > 998 || strings.ContainsAny(body, "\r\x00") || !isASCII(body) {
			t.Errorf("%s: line %d cannot be sent: %.80q", name, i+1, body)
			return
		}
	}
}

// sameText compares texts but for the line end that each message ends with.
func sameText(a, b string) bool { return strings.TrimSuffix(a, "\n") == strings.TrimSuffix(b, "\n") }
