package mail

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"
)

func mboxMessages(t *testing.T, messages iter.Seq2[io.Reader, error]) []string {
	t.Helper()
	var got []string
	for m, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b))
	}
	return got
}

const separator = "From ann@example.com Sat Nov 21 09:00:00 2026\n"

func TestMbox(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"\n\n", nil},
		{"\ufeff" + separator + "x\n", []string{"x\n"}},
		{separator, []string{""}},
		{separator + "A: b\n\nx\n\n" + separator + "C: d\n\ny\n", []string{"A: b\n\nx\n", "C: d\n\ny\n"}},
		{separator + "A: b\r\n\r\nx\r\n\r\n" + "From - Sat Nov 21 09:00:00 2026\r\nC: d\r\n\r\ny\r\n\r\n", []string{"A: b\r\n\r\nx\r\n", "C: d\r\n\r\ny\r\n"}},
		{separator + "A: b\n\n>From x\n>>From y\n> From z\n>Fromx\n\n", []string{"A: b\n\nFrom x\n>From y\n> From z\n>Fromx\n"}},
		{separator + "A: b\n\n\nFrom here on\n\n\n\n" + separator, []string{"A: b\n\n\nFrom here on\n\n\n", ""}},
		{separator + "Content-Length: 1000\n\nx\n\nFrom a at b.c  Sat Nov 21 09:00:00 2026 +0100\n\ny", []string{"Content-Length: 1000\n\nx\n", "\ny"}},
		{separator + "A: b\n\nx\n" + separator + "no empty line\n", []string{"A: b\n\nx\n", "no empty line\n"}},
		{"From - \nA: b\n\nFrom x@y\nFrom -\nFrom me@x\n\nFrom 1@xxx\nC: d\n", []string{"A: b\n", "", "From me@x\n", "C: d\n"}},
		{separator + "A: b\n\nFrom \"a b\"@c Sat Nov 21 09:00 2026\n\n", []string{"A: b\n", ""}},
		{separator + strings.Repeat("x", 3*windowSize) + "\n\n" + separator, []string{strings.Repeat("x", 3*windowSize) + "\n", ""}},
	} {
		if got := mboxMessages(t, Mbox(strings.NewReader(c.in))); !slices.Equal(got, c.want) {
			t.Errorf("%.300q:\ngot  %.300q\nwant %.300q", c.in, got, c.want)
		}
		if got := mboxMessages(t, Mbox(iotest.OneByteReader(strings.NewReader(c.in)))); !slices.Equal(got, c.want) {
			t.Errorf("%.300q, byte by byte: got %.300q", c.in, got)
		}
	}
}

// What separates messages says when each was delivered, if it says anything.
func TestMboxArrived(t *testing.T) {
	const in = "\ufeffFrom ann@example.com Sat Nov 21 09:00:05 2026\nA: b\n\nx\n\nFrom a at b.c  Sat Nov 21 09:00:00 2026 +0100\nA: b\n\nFrom here\n\n" +
		"From 1574@xxx Mon Jan 05 10:20:30 +0000 2015\nA: b\n\n\nFrom -\nA: b\n\nx\n"
	want := []string{"2026-11-21T09:00:05Z", "2026-11-21T09:00:00+01:00", "2015-01-05T10:20:30Z", "0001-01-01T00:00:00Z"}
	var got []string
	for m, err := range Mbox(strings.NewReader(in)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.(interface{ Arrived() time.Time }).Arrived().Format(time.RFC3339))
	}
	if !slices.Equal(got, want) {
		t.Errorf("they arrived %q, want %q", got, want)
	}
}

func TestMboxErrors(t *testing.T) {
	for _, err := range Mbox(strings.NewReader("Subject: x\n\n")) {
		if err == nil {
			t.Error("a message is taken for an mbox")
		}
	}
	broken := errors.New("disk on fire")
	var messages, failures int
	for _, err := range Mbox(io.MultiReader(strings.NewReader(separator+"x\n\n"+separator+"y"), iotest.ErrReader(broken))) {
		if errors.Is(err, broken) {
			failures++
		} else {
			messages++
		}
	}
	if messages != 2 || failures != 1 {
		t.Errorf("got %d messages and %d errors", messages, failures)
	}
	var before io.Reader
	for m := range Mbox(strings.NewReader(separator + "x\n\n" + separator + "y\n")) {
		if before != nil {
			if _, err := before.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("a message that was passed: got %v", err)
			}
		}
		before = m
	}
}

// Memory does not grow with the messages, nor with their lines.
func TestMboxMemory(t *testing.T) {
	r := io.MultiReader(strings.NewReader(separator), &endless{64 << 20}, strings.NewReader(strings.Repeat("\n\n"+separator+"x\n", 10000)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for m, err := range Mbox(r) {
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(struct{ io.Writer }{io.Discard}, io.LimitReader(m, 1<<10))
		n++
	}
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; n != 10001 || made > 64<<20 {
		t.Errorf("%d messages, %d octets allocated", n, made)
	}
}

// The offsets at which another program found the messages are ours.
func FuzzMbox(f *testing.F) {
	f.Add(separator + "A: b\n\nx\n\n" + separator + ">From y\n\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		read := func(r io.Reader) string {
			var b strings.Builder
			for m, err := range Mbox(r) {
				if err != nil {
					return err.Error()
				}
				one, err := io.ReadAll(m)
				fmt.Fprintf(&b, "%q %v\n", one, err)
			}
			return b.String()
		}
		once := read(strings.NewReader(s))
		if again := read(iotest.OneByteReader(strings.NewReader(s))); again != once {
			t.Errorf("%q: byte by byte it is %s, at once %s", s, again, once)
		}
		// What is written as an mboxrd is read as it was.
		var box strings.Builder
		box.WriteString(separator)
		for line := range strings.Lines(s) {
			if rest := strings.TrimLeft(line, ">"); strings.HasPrefix(rest, "From ") && len(line)-len(rest) < 90 {
				box.WriteByte('>')
			}
			box.WriteString(line)
		}
		if !strings.HasSuffix(s, "\n") {
			box.WriteByte('\n')
			s += "\n"
		}
		box.WriteString("\n" + separator + "last\n")
		if got := mboxMessages(t, Mbox(strings.NewReader(box.String()))); len(got) != 2 || got[0] != s || got[1] != "last\n" {
			t.Errorf("%q is read as %q", box.String(), got)
		}
	})
}

// movedFS is a maildir in which a message is marked as read between the listing and the opening.
type movedFS struct{ fstest.MapFS }

func (m movedFS) Open(name string) (fs.File, error) {
	if name == "new/3.host" {
		m.MapFS["cur/3.host:2,S"] = m.MapFS[name]
		delete(m.MapFS, name)
	}
	return m.MapFS.Open(name)
}

func TestMaildir(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	fsys := movedFS{fstest.MapFS{
		"new/3.host": file("five"), "new/1.host": file("one"), "cur/2.M12P1.host:2,RS": file("three"), "new/2.M7P1.host": file("two"), "new/2.M012P2.host": file("three"), "cur/2.M1000P1.host": file("four"), "tmp/4.host": file("four"), "new/.hidden": file("x"), "cur/dir/x": file("x"), "dovecot.index": file("x"),
	}}
	var got []string
	for f, err := range Maildir(fsys) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b))
	}
	if !slices.Equal(got, []string{"one", "two", "three", "three", "four", "five"}) {
		t.Errorf("got %q", got)
	}
	for _, err := range Maildir(fstest.MapFS{"x": file("y")}) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a directory that is no maildir: got %v", err)
		}
	}
}

func TestMboxCL2(t *testing.T) {
	long := strings.Repeat("long line ", 20000) + "\n"
	field := "X: " + strings.Repeat("x", windowSize-len("X: ")) + "\n" // its end alone is the second piece of it
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{separator + "Content-Length: 4\n\nx\ny\n\n" + separator + "A: b\ncontent-length: 2\n\nz\n", []string{"Content-Length: 4\n\nx\ny\n", "A: b\ncontent-length: 2\n\nz\n"}},
		// Nothing is quoted, so nothing is unquoted, and what looks like a separator is text.
		{separator + fmt.Sprintf("Content-Length: %d\n\n%s>From z\n\n%sA: b\n\n>From w\n", len(separator)+8, separator, separator), []string{
			fmt.Sprintf("Content-Length: %d\n\n%s>From z\n", len(separator)+8, separator), "A: b\n\n>From w\n"}},
		// A length that is missing, wrong or none: up to the next separator.
		{separator + "A: b\n\nx\n\n" + separator + "C: d\n\ny\n", []string{"A: b\n\nx\n", "C: d\n\ny\n"}},
		{separator + "Content-Length: 1\n\nx and y\nz\n\n" + separator, []string{"Content-Length: 1\n\nx and y\nz\n", ""}},
		{separator + "Content-Length: -5\n\nx\n\n" + separator, []string{"Content-Length: -5\n\nx\n", ""}},
		{separator + "Content-Length: 5000\n\nx\n", []string{"Content-Length: 5000\n\nx\n"}},
		{separator + "Content-Length: 5", []string{"Content-Length: 5"}},
		{separator + field + fmt.Sprintf("Content-Length: %d\n\n%s\n", len(separator), separator), []string{field + fmt.Sprintf("Content-Length: %d\n\n%s", len(separator), separator)}},
		{separator + fmt.Sprintf("Content-Length: %d\n\n%s\n", len(long), long) + separator, []string{fmt.Sprintf("Content-Length: %d\n\n%s", len(long), long), ""}},
	} {
		if got := mboxMessages(t, MboxCL2(strings.NewReader(c.in))); !slices.Equal(got, c.want) {
			t.Errorf("%.300q:\ngot  %.300q\nwant %.300q", c.in, got, c.want)
		}
		if got := mboxMessages(t, MboxCL2(iotest.OneByteReader(strings.NewReader(c.in)))); !slices.Equal(got, c.want) {
			t.Errorf("octet by octet, %.300q: got  %.300q", c.in, got)
		}
	}
}
