package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
)

// Mail that nobody here wrote, with what other parsers agree that it holds. Nothing may fail to parse; the counts of
// agreement must not fall below what was reached.

// A reference is what the other parsers found in a message.
type reference struct {
	File       string                     `json:"file"`
	Headers    map[string]json.RawMessage `json:"headers"`
	Graded     []string                   `json:"graded_headers"`
	Structure  bool                       `json:"graded_structure"`
	Leaves     []referenceLeaf            `json:"leaves"`
	PerlLeaves []referenceLeaf            `json:"perl_leaves"`
}

type referenceLeaf struct {
	Charset     *string `json:"charset"`
	Disposition *string `json:"disposition"`
	Filename    *string `json:"filename"`
	Len         int     `json:"len"`
	SHA         string  `json:"sha"`
	TextSHA     string  `json:"text_sha"`
	Type        string  `json:"type"`
}

// A tally counts agreement.
type tally struct{ agreed, of int }

func (c *tally) add(ok bool) {
	c.of++
	if ok {
		c.agreed++
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// leaves gives the leaves below a part, those of messages in it among them, which is how the references count.
func leaves(t *testing.T, p *Part) []*Part {
	var out []*Part
	for _, one := range p.Walk() {
		switch {
		case one.IsMultipart():
		case one.Type() == "message/rfc822" && one.src != nil && one.encoding == "":
			rc, err := one.Reader()
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(rc)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, leaves(t, m.Body)...)
		default:
			out = append(out, one)
		}
	}
	return out
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// agreeLeaf compares a leaf's type, file name and decoded content.
func agreeLeaf(p *Part, want referenceLeaf) string {
	if p.Type() != want.Type {
		return fmt.Sprintf("type %s, want %s", p.Type(), want.Type)
	}
	if want.Filename != nil && p.Name() != *want.Filename {
		return fmt.Sprintf("name %q, want %q", p.Name(), *want.Filename)
	}
	rc, err := p.Reader()
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		return err.Error()
	}
	// The references count line ends as LF, and not those at the end.
	plain := bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	if hash(b) != want.SHA && hash(plain) != want.SHA && hash(bytes.TrimRight(plain, "\n")) != want.SHA {
		return fmt.Sprintf("%s of %d octets, want %d, that differ", p.Type(), len(b), want.Len)
	}
	return ""
}

// agreeHeader compares a field that the references agree about.
func agreeHeader(m *Message, name string, want json.RawMessage) string {
	var got any
	switch name {
	case "subject":
		got = m.Subject
		if !m.Header.Has("Subject") {
			got = nil
		}
	case "message-id":
		got = m.Header.Value("Message-ID")
	case "date":
		got = nil
		if !m.Date.IsZero() {
			got = m.Date.UTC().Format(time.RFC3339)
		}
	default:
		list := map[string][]Address{"from": m.From, "to": m.To, "cc": m.Cc, "reply-to": m.ReplyTo}[name]
		var pairs [][2]string
		if json.Unmarshal(want, &pairs) != nil {
			return "a reference that cannot be read"
		}
		var ours [][2]string
		for _, a := range list {
			ours = append(ours, [2]string{a.Name, a.Address})
		}
		if !slices.Equal(ours, pairs) {
			return fmt.Sprintf("%s: got %q, want %q", name, ours, pairs)
		}
		return ""
	}
	var w any
	json.Unmarshal(want, &w)
	if s, ok := w.(string); ok {
		w = strings.Join(strings.Fields(s), " ")
	}
	if s, ok := got.(string); ok {
		got = strings.Join(strings.Fields(s), " ")
	}
	if got != w {
		return fmt.Sprintf("%s: got %q, want %q", name, got, w)
	}
	return ""
}

func TestCorpora(t *testing.T) {
	root := peers.Corpora(t)
	for _, c := range []struct {
		dir            string
		leaves, fields int // the counts that were reached
	}{
		{"realmail/spamassassin/messages", 164, 881},
		{"mime/cpython-test_email/messages", 33, 141},
		{"mime/enmime/messages", 74, 247},
		{"mime/mimekit/messages", 20, 115},
		{"mime/mime4j-testmsgs/messages", 14, 40},
	} {
		var refs []reference
		readJSON(t, filepath.Join(root, c.dir, "reference.json"), &refs)
		var structure, fields tally
		for _, ref := range refs {
			raw, err := os.ReadFile(filepath.Join(root, c.dir, ref.File))
			if err != nil {
				t.Fatal(err)
			}
			m := parseBoth(t, ref.File, raw)
			for _, name := range ref.Graded {
				why := agreeHeader(m, name, ref.Headers[name])
				fields.add(why == "")
				if why != "" {
					t.Logf("%s/%s: %s", c.dir, ref.File, why)
				}
			}
			if !ref.Structure {
				continue
			}
			got := leaves(t, m.Body)
			why := ""
			if len(got) != len(ref.Leaves) {
				why = fmt.Sprintf("%d leaves, want %d", len(got), len(ref.Leaves))
			}
			for i := 0; why == "" && i < len(got); i++ {
				why = agreeLeaf(got[i], ref.Leaves[i])
			}
			structure.add(why == "")
			if why != "" {
				t.Logf("%s/%s: %s", c.dir, ref.File, why)
			}
		}
		t.Logf("%-36s structure and content %3d of %3d, fields %3d of %3d", c.dir, structure.agreed, structure.of, fields.agreed, fields.of)
		if structure.agreed < c.leaves || fields.agreed < c.fields {
			t.Errorf("%s: it was %d and %d", c.dir, c.leaves, c.fields)
		}
	}
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
