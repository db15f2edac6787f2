package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// Other people's parsers read the same messages. Where all of them find the same we must find it too, but for the cases that
// are explained here.

// A parser reads the files that its standard input names, and writes a finding of each.
type parser struct {
	name string
	cmd  func(t *testing.T) *exec.Cmd
}

// read has the parser read files, and returns its findings in their order.
func (p parser) read(t *testing.T, paths []string) *json.Decoder {
	t.Helper()
	cmd := p.cmd(t)
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\n"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return json.NewDecoder(bytes.NewReader(out))
}

// parsers are those that are asked.
var parsers = []parser{
	{"Python's email", func(t *testing.T) *exec.Cmd {
		return peers.Command(t, peers.PythonEmail, filepath.Join("testdata", "parse_email.py"))
	}},
	{"mailparser", func(t *testing.T) *exec.Cmd {
		return peers.Command(t, peers.Mailparser, filepath.Join("testdata", "parse_node.js"), "mailparser")
	}},
	{"postal-mime", func(t *testing.T) *exec.Cmd {
		return peers.Command(t, peers.PostalMIME, filepath.Join("testdata", "parse_node.js"), "postal-mime")
	}},
}

// A finding is what a parser finds in a message. What is nil it does not say.
type finding map[string]json.RawMessage

// A reading is a finding made comparable: strings by the names of what is compared.
type reading map[string]string

// compared gives a finding's parts: white space is one space, for each program folds in its own way.
func compared(t *testing.T, f finding) reading {
	t.Helper()
	r := reading{}
	for name, raw := range f {
		if len(raw) == 0 || string(raw) == "null" {
			continue
		}
		switch name {
		case "subject", "text":
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			r[name] = strings.Join(strings.Fields(s), " ")
		default:
			// The programs escape characters in their own ways.
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			r[name] = strings.ToLower(fmt.Sprintf("%q", v))
			if n, ok := v.(float64); ok {
				r[name] = fmt.Sprint(int64(n))
			}
		}
	}
	return r
}

// ours is what we find, in the same form.
func ours(t *testing.T, path string) reading {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	f := finding{}
	put := func(name string, v any) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		f[name] = bytes.TrimSpace(b.Bytes())
	}
	put("subject", m.Subject)
	put("text", m.Text)
	for name, list := range map[string][]mail.Address{"from": m.From, "to": m.To, "cc": m.Cc} {
		pairs := [][2]string{}
		for _, a := range list {
			pairs = append(pairs, [2]string{a.Name, a.Address})
		}
		put(name, pairs)
	}
	if !m.Date.IsZero() {
		put("date", m.Date.Unix())
	}
	found := [][2]string{}
	for _, p := range m.Body.Walk() {
		if p.IsMultipart() || p.Disposition() != "attachment" || p.Name() == "" {
			continue
		}
		rc, err := p.Reader()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, rc); err != nil {
			t.Fatal(err)
		}
		found = append(found, [2]string{p.Name(), hex.EncodeToString(sum.Sum(nil))})
	}
	put("files", found)
	return compared(t, f)
}

// agreed are the messages about which the others agree with each other and not with us, and why.
var agreed = map[string]string{
	"mime/mime4j-testmsgs/messages/missing-inner-boundary.msg text":       "a multipart whose boundary never comes is shown as the text that it is",
	"mime/mime4j-testmsgs/messages/missing-inner-start-boundary.msg text": "the same",
	"realmail/spamassassin/messages/nice/cjk/big5-base64.1 subject":       "raw 8-bit text in a field is in the charset of the message's text",
	"realmail/spamassassin/messages/nice/cjk/gb2312.1 subject":            "the same",
	"dsn/sisimai/messages/lhost-x1-02.eml text":                           "text/plain without a semicolon before its charset is text/plain",
}

func TestParsersAgree(t *testing.T) {
	root := peers.Corpora(t)
	var paths []string
	for _, dir := range []string{"mime", "realmail", "dsn", "reports/arf"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			switch filepath.Ext(path) {
			case ".json", ".xml", ".out":
				return err
			}
			no := func(word string) bool { return strings.Contains(path, word) }
			// The last of these lies too deep for not all of them to end at it.
			if err == nil && !d.IsDir() && !slices.ContainsFunc([]string{"LICENSE", "NOTICE", "_decoded", "mbox", "stack-overflow"}, no) {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var theirs [][]reading // by parser, by message
	for _, p := range parsers {
		var all []reading
		for d := p.read(t, paths); d.More(); {
			var f finding
			if err := d.Decode(&f); err != nil {
				t.Fatalf("%s: message %d: %v", p.name, len(all)+1, err)
			}
			all = append(all, compared(t, f))
		}
		if len(all) != len(paths) {
			t.Fatalf("%s: %d of %d messages", p.name, len(all), len(paths))
		}
		theirs = append(theirs, all)
	}
	count := map[string]int{}
	used := map[string]bool{}
	for i, path := range paths {
		name, _ := filepath.Rel(root, path)
		got := ours(t, path)
		for what, want := range theirs[0][i] {
			if slices.ContainsFunc(theirs[1:], func(all []reading) bool { v, ok := all[i][what]; return !ok || v != want }) {
				continue
			}
			count[what]++
			key := name + " " + what
			switch _, known := agreed[key]; {
			case got[what] == want && known:
				t.Errorf("%s: we find the same as the others: %q explains nothing", key, agreed[key])
			case got[what] != want && !known:
				t.Errorf("%s: got %.300s, all others find %.300s", key, got[what], want)
			}
			used[key] = true
		}
	}
	for key := range agreed {
		if !used[key] {
			t.Errorf("%s: the others do not agree with each other any more", key)
		}
	}
	t.Log(fmt.Sprint(len(paths), " messages; the others agree about ", count))
}
