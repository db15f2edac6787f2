package mail

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/postrider/internal/peers"
)

// told tells all that a Reader and Parse must agree about: fields, parts, their content, and what was odd about it.
func told(h Header, parts []string, list []Defect) string {
	var b strings.Builder
	for f := range h.All() {
		fmt.Fprintf(&b, "%q\n", f.Raw())
	}
	var odd []string
	for _, d := range list {
		// What a charset holds is found when a text is read, and how raw fields are read depends on it.
		if d.Kind != DefectCharset && !strings.HasPrefix(d.Text, "a text longer") && !strings.HasPrefix(d.Text, "there are more") {
			odd = append(odd, d.String())
		}
	}
	slices.Sort(odd)
	return b.String() + strings.Join(parts, "\n") + "\n" + strings.Join(odd, "\n")
}

func tellPart(path string, p *Part, content string) string {
	return fmt.Sprintf("%s %s %q %q %d-%d %s", path, p.Type(), p.Name(), p.Header, p.begin, p.end, hash([]byte(content)))
}

// tellParsed tells a message as Parse gives it.
func tellParsed(t *testing.T, m *Message) string {
	t.Helper()
	var parts []string
	for path, p := range m.Body.Walk() {
		content := p.Preamble
		if !p.IsMultipart() {
			content = opened(t, Attachment{Open: p.Reader})
		}
		if strings.HasPrefix(p.media, "multipart/") && p.boundary != "" {
			// That the boundary of a multipart will never come, a Reader cannot know; nor what is behind one that comes closing.
			if !p.IsMultipart() && len(m.Body.Parts) == 0 {
				path = ""
			}
			if !p.IsMultipart() || len(content) == maxAside {
				content = "left out"
			}
		}
		parts = append(parts, tellPart(path, p, content))
	}
	return told(m.Header, parts, m.Defects)
}

// tellRead tells a message as a Reader gives it.
func tellRead(t *testing.T, r io.Reader) string {
	t.Helper()
	rd, err := NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	type one struct {
		path, content string
		p             *Part
	}
	var all []one
	for p, err := range rd.Parts() {
		if err != nil {
			t.Fatal(err)
		}
		content := opened(t, Attachment{Open: p.Reader})
		all = append(all, one{rd.Path(), content, p})
	}
	var parts []string
	for i, o := range all { // the ends are known when all has been read
		if strings.HasPrefix(o.p.media, "multipart/") && o.p.boundary != "" {
			below := strings.TrimPrefix(o.path+".1", ".")
			if len(o.content) >= maxAside || i+1 == len(all) || all[i+1].path != below {
				o.content = "left out"
			}
		}
		parts = append(parts, tellPart(o.path, o.p, o.content))
	}
	return told(rd.Message.Header, parts, rd.Message.Defects)
}

func sameRead(t *testing.T, name, raw string) {
	t.Helper()
	m, _ := Parse(strings.NewReader(raw))
	if len(m.Defects) == maxDefects {
		return // which of them are kept differs
	}
	want := tellParsed(t, m)
	if got := tellRead(t, strings.NewReader(raw)); got != want {
		t.Errorf("%s: %s", name, firstDifference(got, want))
	}
}

// firstDifference gives the first lines that differ, a Reader's and Parse's.
func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d: a Reader gives\n%.300s\nParse gives\n%.300s", i, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d lines and %d", len(as), len(bs))
}

func TestReaderReadsWhatParseDoes(t *testing.T) {
	for _, h := range hostiles {
		sameRead(t, h.name, h.make(min(h.n, 2000)))
	}
	// Boundaries at each place in a window.
	for n := windowSize - 40; n < windowSize+10; n++ {
		for _, end := range []string{"\n", "\r\n"} {
			raw := strings.ReplaceAll("From: a@b.c\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n", "\n", end) + strings.Repeat("x", n) + end + "--b" + end + "X-Y: z" + end + end + "second-" + end + "--b--" + end + "epilogue"
			sameRead(t, fmt.Sprint(n, len(end)), raw)
		}
	}
	if testing.Short() {
		return
	}
	filepath.WalkDir(peers.Corpora(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".dat") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sameRead(t, path, string(raw))
		return nil
	})
}

func FuzzReader(f *testing.F) {
	for _, h := range hostiles {
		f.Add(h.make(3))
	}
	f.Add("Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b\nno field\nContent-Type: multipart/x; boundary=c\n\n--c\n\n-\n--c--\n--b--\nepi\n")
	f.Fuzz(func(t *testing.T, raw string) {
		sameRead(t, "fuzzed", raw)
		if got, want := tellRead(t, iotest.OneByteReader(strings.NewReader(raw))), tellRead(t, strings.NewReader(raw)); got != want {
			t.Errorf("byte by byte, and at once: %s", firstDifference(got, want))
		}
	})
}

// A part can be read while it is the current one, and only then.
func TestReaderOrder(t *testing.T) {
	rd, err := NewReader(strings.NewReader("Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n\nb25l\n--b\n\ntwo\n--b--\n"))
	if err != nil || rd.Message.Subject != "s" || rd.Message.Body != nil {
		t.Fatalf("got %+v, %v", rd.Message, err)
	}
	var first *Part
	var paths []string
	for p, err := range rd.Parts() {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, rd.Path())
		switch rd.Path() {
		case "1":
			first = p
		case "2":
			if _, err := first.Reader(); err == nil {
				t.Error("a part can be opened that has been passed")
			}
			if s, err := p.Text(); s != "two" || err != nil {
				t.Errorf("got %q, %v", s, err)
			}
		}
	}
	if !slices.Equal(paths, []string{"", "1", "2"}) {
		t.Errorf("got the paths %q", paths)
	}
	for range rd.Parts() {
		t.Error("there are parts behind the last one")
	}
}

func TestReaderError(t *testing.T) {
	broken := errors.New("connection reset")
	for _, head := range []string{"Subj", "Subject: s\n\nbody", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nbody"} {
		rd, err := NewReader(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)))
		for _, e := range rd.Parts() {
			if e != nil {
				err = e
			}
		}
		if !errors.Is(err, broken) {
			t.Errorf("%q: got %v", head, err)
		}
	}
}

// Memory does not grow with a message.
func TestReaderMemory(t *testing.T) {
	const size = 512 << 20
	raw := func() io.Reader {
		return io.MultiReader(strings.NewReader("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n"), &endless{size}, strings.NewReader("\n--b\n\nlast\n--b--\n"))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rd, err := NewReader(raw())
	if err != nil {
		t.Fatal(err)
	}
	var read int64
	for p, err := range rd.Parts() {
		if err != nil {
			t.Fatal(err)
		}
		rc, err := p.Reader()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, rc)
		if err != nil {
			t.Fatal(err)
		}
		read += n
	}
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; read != size+4 || made > 1<<20 {
		t.Errorf("%d octets were read and %d allocated", read, made)
	}
}
