package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/postrider/postrider/internal/peers"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files")

// shown runs show in this process.
func shown(t *testing.T, in string, args ...string) (out, complaint string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"show"}, args...), streams{strings.NewReader(in), &o, &e})
	return o.String(), e.String(), code
}

// What is printed, to the letter. The files are written here, and rewritten by -update.
func TestShowGolden(t *testing.T) {
	for name, args := range map[string][]string{
		"parts": {"parts.eml"}, "parts-headers": {"--headers", "parts.eml"}, "parts-json": {"--json", "parts.eml"}, "parts-part": {"--part", "2", "parts.eml"},
		"html": {"html.eml"}, "hostile": {"hostile.eml"}, "hostile-headers": {"--headers", "hostile.eml"}, "hostile-json": {"--json", "hostile.eml"},
		"uuencoded": {"uuencoded.eml"}, "uuencoded-part": {"--part", "1:1", "uuencoded.eml"},
		"external": {"external.eml"}, "mbox": {"box.mbox"}, "maildir": {"maildir"}, "several": {"html.eml", "box.mbox"},
	} {
		t.Chdir("testdata/show")
		got, complaint, code := shown(t, "", args...)
		if code != exitOK || complaint != "" {
			t.Errorf("%s: code %d, %s", name, code, complaint)
		}
		golden := name + ".golden"
		if *updateGolden {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
		t.Chdir("../..")
	}
}

func TestShowStandardInput(t *testing.T) {
	raw, err := os.ReadFile("testdata/show/parts.eml")
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := shown(t, "", "testdata/show/parts.eml")
	if got, complaint, code := shown(t, string(raw), "-"); got != want || code != exitOK {
		t.Errorf("got %d %s\n%s", code, complaint, got)
	}
	if got, _, _ := shown(t, string(raw), "--source", "-"); got != string(raw) {
		t.Errorf("--source: got\n%q", got)
	}
	box, err := os.ReadFile("testdata/show/box.mbox")
	if err != nil {
		t.Fatal(err)
	}
	if got, _, code := shown(t, string(box), "-"); code != exitOK || strings.Count(got, "==> standard input, message ") != 2 {
		t.Errorf("an mbox: got %d\n%s", code, got)
	}
}

// The four kinds of mbox: three are quoted, and one goes by Content-Length.
func TestShowMboxes(t *testing.T) {
	const separator = "From ann@example.com Sat Nov 21 09:00:00 2026\n"
	box := func(text string, length int) string {
		field := ""
		if length > 0 {
			field = fmt.Sprintf("Content-Length: %d\n", length)
		}
		return separator + "Subject: first\n" + field + "\n" + text + "\n" + separator + "Subject: second\n\nx\n"
	}
	const text, quoted = "text\n\n" + separator + "more\n", "text\n\n>" + separator + "more\n"
	for name, one := range map[string]struct {
		in    string
		flags []string
	}{
		"mboxo and mboxrd": {box(quoted, 0), nil}, "mboxcl": {box(quoted, len(quoted)), nil}, "mboxcl2": {box(text, len(text)), []string{"--cl2"}},
	} {
		got, complaint, code := shown(t, one.in, append(one.flags, "-")...)
		if code != exitOK || strings.Count(got, "==> ") != 2 || !strings.Contains(got, "\n"+text) {
			t.Errorf("%s: got %d %s\n%s", name, code, complaint, got)
		}
	}
}

// Each message is one object, whatever is in it.
func TestShowJSON(t *testing.T) {
	got, _, code := shown(t, "", "--json", "testdata/show/box.mbox", "testdata/show/hostile.eml")
	if code != exitOK {
		t.Fatal(code)
	}
	d := json.NewDecoder(strings.NewReader(got))
	var subjects []string
	for d.More() {
		var m struct{ Subject string }
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, m.Subject)
	}
	if len(subjects) != 3 || subjects[1] != "second" || !strings.Contains(subjects[2], "\x1b]0;title") {
		t.Errorf("got %q", subjects)
	}
}

func TestShowErrors(t *testing.T) {
	dir := t.TempDir()
	empty, pdf := filepath.Join(dir, "empty"), filepath.Join(dir, "x.pdf")
	for name, content := range map[string]string{empty: "", pdf: "%PDF-1.4\n\x00\x01"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	good := "testdata/show/html.eml"
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "FILE"},
		{[]string{"--json", "--headers", good}, exitUsage, "exclude"},
		{[]string{"--part", "", good}, exitUsage, "path"},
		{[]string{"--nosuch", good}, exitUsage, "nosuch"},
		{[]string{filepath.Join(dir, "nothing")}, exitNoInput, "nothing"},
		{[]string{filepath.Join(dir, "nothing"), good}, exitNoInput, "nothing"},
		{[]string{dir}, exitData, "maildir"},
		{[]string{empty}, exitData, "no message"},
		{[]string{pdf}, exitData, "no message"},
		{[]string{"--part", "7.7", good}, exitData, "no part 7.7"},
		{[]string{"--part", "1:1", good}, exitData, "no part 1:1"},
	} {
		out, complaint, code := shown(t, "", c.args...)
		if code != c.code || !strings.Contains(complaint, c.says) || strings.Count(complaint, "\n") != 1 {
			t.Errorf("%q: got %d %q, want %d and %q", c.args, code, complaint, c.code, c.says)
		}
		if len(c.args) == 2 && c.args[1] == good && code == exitNoInput && !strings.Contains(out, "our offer") {
			t.Errorf("%q: the other file is not shown", c.args)
		}
	}
}

// obeyed finds what a terminal would obey, or what turns the direction of text.
func obeyed(s string) (rune, bool) {
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return r, true
		}
	}
	return 0, false
}

// Whatever a message holds, nothing that is shown on a terminal commands it.
func TestShowIsHarmless(t *testing.T) {
	root := peers.Corpora(t)
	var shownFiles int
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".dat") {
			return err
		}
		for _, args := range [][]string{{path}, {"--headers", path}, {"--json", path}} {
			out, complaint, code := shown(t, "", args...)
			if code != exitOK && code != exitData {
				t.Errorf("%q: code %d, %s", args, code, complaint)
			}
			if r, bad := obeyed(out + complaint); bad {
				t.Errorf("%q: %U is printed", args, r)
			}
		}
		shownFiles++
		return nil
	})
	if shownFiles < 1000 {
		t.Errorf("only %d files were shown", shownFiles)
	}
}

// On a terminal a source and a part are made harmless too; a file that is no text is not printed at all.
func TestShowOnTerminal(t *testing.T) {
	raw, err := os.ReadFile("testdata/show/hostile.eml")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []showOptions{{source: true}, {part: "1"}} {
		var out bytes.Buffer
		v := &viewer{options: o, out: bufio.NewWriter(&out), terminal: true, name: "x"}
		if err := v.read(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		v.out.Flush()
		if r, bad := obeyed(out.String()); bad || out.Len() == 0 {
			t.Errorf("%+v: %U is printed among %q", o, r, out.String())
		}
	}
	parts, err := os.ReadFile("testdata/show/parts.eml")
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{options: showOptions{part: "2"}, out: bufio.NewWriter(&bytes.Buffer{}), terminal: true, name: "x"}
	if err := v.read(bytes.NewReader(parts)); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("a PDF on a terminal: got %v", err)
	}
}

// In a real terminal the program knows that it is in one.
func TestShowInTerminal(t *testing.T) {
	script := peers.Find(t, peers.Script)
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Abs("testdata/show/hostile.eml")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), script, "-qec", program+" show --source "+file, "/dev/null")
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := strings.ReplaceAll(string(out), "\r\n", "\n"); !strings.Contains(text, "[31mred") || strings.ContainsAny(text, "\x1b\x07") {
		t.Errorf("got %q", text)
	}
}
