package main

import (
	"bytes"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
	"github.com/postrider/postrider/internal/archive"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// Messages go out to each kind of file and come back as they were; of a server that
// runs and of a directory.
func TestExportImport(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	s := start(t, data)
	from := client.Client{URL: s.web}
	for i := range 3 {
		c, err := dial(s.smtp)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("Subject: number %d\r\n\r\nFrom here\r\n.dot\r\n>From there\r\n%s\r\n", i, strings.Repeat("x", i*10_000%900))
		stuffed := strings.ReplaceAll(text, "\r\n.", "\r\n..")
		for _, step := range [][2]string{{"250", "MAIL FROM:<ann@example.com>"}, {"250", "RCPT TO:<bob@example.net>"}, {"354", "DATA"}, {"250", strings.TrimSuffix(stuffed, "\r\n") + "\r\n."}} {
			if err := c.say(step[0], step[1]+"\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		c.conn.Close()
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := command(t, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := run("export", "--url", s.web, "mbox:all.mbox"); got != "Exported 3 messages." {
		t.Errorf("export: %q", got)
	}
	if got := run("export", "--url", s.web, "--query", "number -subject:1", "eml:some"); got != "Exported 2 messages." {
		t.Errorf("export of a query: %q", got)
	}
	// While a server has it, it says what to do instead.
	cmd := command(t, "export", "--data", data, "mbox:x")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "--url") {
		t.Errorf("export of an open directory: %v, %q", err, out)
	}
	want := list(t, &from)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := run("export", "--data", data, "maildir:Maildir"); got != "Exported 3 messages." {
		t.Errorf("export of a directory: %q", got)
	}
	if got := run("import", "--data", "back", "all.mbox", "some", "Maildir"); got != "Imported 8 messages." {
		t.Errorf("import: %q", got)
	}
	again := start(t, filepath.Join(dir, "back"))
	got := list(t, &client.Client{URL: again.web})
	for i, text := range []string{want[0], want[1], want[2], want[0], want[2], want[0], want[1], want[2]} {
		if got[i] != text {
			t.Errorf("message %d came back as\n%q, want\n%q", i, got[i], text)
		}
	}
	// A file of a maildir has the time of its delivery.
	all, err := (&client.Client{URL: again.web}).List(t.Context(), "")
	if err != nil || len(all) != 8 {
		t.Fatalf("%d messages, %v", len(all), err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "Maildir", "new", "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("the maildir has %q, %v", files, err)
	}
	info, err := os.Stat(files[2])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := all[0].Received, info.ModTime().Truncate(time.Millisecond); !got.Equal(want) || all[0].Sender != "ann@example.com" {
		t.Errorf("the last of the maildir was received %v from %q, want the time of its file, %v", got, all[0].Sender, want)
	}
	for _, wrong := range [][]string{{"export"}, {"export", "--data", "none", "mbox:y"}, {"export", "ftp://x"}, {"import"}, {"import", "--data", "new", "none.mbox"}, {"import", "--data", "new", dir}} {
		if out, err := command(t, wrong...).CombinedOutput(); err == nil || strings.Count(string(out), "\n") > 2 {
			t.Errorf("%q: %v, %q; want one line about it", wrong, err, out)
		}
	}
}

// When a message arrived goes out with it and comes back, however often: an mbox has it
// to the second, a maildir as its file system has it.
func TestArchiveTimes(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	run := func(args ...string) {
		t.Helper()
		if out, err := command(t, args...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	// What a message says of itself is another time. The last two say none that can be: by the line before it, and at all.
	const first, second, third = "2020-01-02T03:04:05Z", "2021-06-07T06:09:10Z", "2019-03-04T05:06:07Z"
	const says = "Received: by mx.example.com; Mon, 4 Mar 2019 05:06:07 +0000\nDate: Fri, 1 Mar 2019 00:00:00 +0000\n\nHello\n\n"
	mbox := "From ann@example.com Thu Jan  2 03:04:05 2020\n" + says + "From ann@example.com Mon Jun  7 08:09:10 2021 +0200\n" + says + "From ann@example.com Thu Jan  2 03:04:05 2120\n" + says
	if err := os.WriteFile(path("old"), []byte(mbox), 0o600); err != nil {
		t.Fatal(err)
	}
	run("import", "--data", path("a"), path("old"))
	run("export", "--data", path("a"), "mbox:"+path("mbox"))
	run("import", "--data", path("b"), path("mbox"))
	run("export", "--data", path("b"), "maildir:"+path("maildir"))
	run("import", "--data", path("c"), path("maildir"))
	for name, addr := range map[string]*served{"an mbox": start(t, path("b")), "a maildir": start(t, path("c"))} {
		all, err := (&client.Client{URL: addr.web}).List(t.Context(), "")
		var got []string
		for _, m := range all {
			got = append(got, m.Received.UTC().Format(time.RFC3339Nano))
		}
		if want := []string{third, second, first}; err != nil || !slices.Equal(got, want) {
			t.Errorf("out of %s come messages received %q (%v), want %q", name, got, err, want)
		}
	}
	for code, args := range map[int][]string{exitNoInput: {"import", "--data", path("none"), path("nothing")}, exitUsage: {"export", "--data", path("a"), "--query", "foo:x", "mbox:" + path("x")},
		exitTempFail: {"export", "--url", "http://127.0.0.1:1", "mbox:" + path("x")}} {
		if got, _, said := exit(t, command(t, args...)); got != code {
			t.Errorf("%q: exit code %d, want %d: %s", args, got, code, said)
		}
	}
	if _, err := os.Stat(path("none")); err == nil {
		t.Error("to import what is not there has made an inbox")
	}
}

// What goes out comes back the same: octets, envelope, when it arrived, whether it is unread, and tags; as far as a format
// can carry it.
func TestArchiveIsFaithful(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	note := archive.Note{Sender: "x@example.com", Received: time.Unix(1, 0)}.Fields()
	pieces := []string{"From ann@example.com Thu Jan  2 03:04:05 2020\r\n", ">From there\r\n", ">>From\r\n", "\n", "\r", "\r\n", "\r\n\r\n", "\x00", "\xff\xfe", "ä €\r\n", "Subject: x\r\n",
		"Return-Path: <other@example.org>\r\n", "Delivered-To: other@example.org\r\n", " folded\r\n", "Content-Length: 3\r\n", "no end", strings.Repeat("x", 70_000), note, ".\r\n"}
	addresses := []string{"bob@example.net", "\"a b\"@example.com", "jürgen@例え.jp", "postmaster", "x@[192.0.2.1]", strings.Repeat("l", 64) + "@example.com"}
	from := t.TempDir()
	store := openInbox(t, from)
	for range 250 {
		text := ""
		for range random.IntN(6) {
			text += pieces[random.IntN(len(pieces))]
		}
		a := inbox.Arrival{Received: time.UnixMilli(random.Int64N(1.7e12))}
		if random.IntN(3) > 0 {
			a.Envelope.From = addresses[random.IntN(len(addresses))]
		}
		for range []int{0, 1, 2, 1000}[random.IntN(4)] {
			a.Envelope.To = append(a.Envelope.To, smtp.Recipient{Address: addresses[random.IntN(len(addresses))]})
		}
		id, err := store.Inbox().Add(t.Context(), &a, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		unread := random.IntN(2) == 0
		tags := []string{"Ä, \"b\"", "c"}[:random.IntN(3)]
		if _, err := store.Inbox().Update(t.Context(), inbox.Change{Unread: &unread, Tags: &tags}, id); err != nil {
			t.Fatal(err)
		}
	}
	want := contents(t, store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for scheme, carries := range map[string]func(c content) (content, bool){
		// Octets alone; LF at first is this system's, nothing is a mistake, and what begins as an export's is one.
		"eml": func(c content) (content, bool) {
			line, _, found := strings.Cut(c.text, "\n")
			return content{text: c.text}, c.text != "" && (!found || strings.HasSuffix(line, "\r")) && !strings.HasPrefix(c.text, note)
		},
		"maildir": func(c content) (content, bool) { return c, true },
		// Lines that all end in CRLF.
		"mbox": func(c content) (content, bool) {
			rest := strings.ReplaceAll(c.text, "\r\n", "")
			return c, !strings.ContainsAny(rest, "\r\n") && (c.text == "" || strings.HasSuffix(c.text, "\r\n"))
		},
	} {
		path, back := filepath.Join(t.TempDir(), scheme), filepath.Join(t.TempDir(), "back")
		var said bytes.Buffer
		s := streams{out: &said, err: &said}
		// Twice, where what is there is written over.
		for range map[string]int{"eml": 2, "maildir": 2, "mbox": 1}[scheme] {
			if err := (&archiveOptions{data: from}).export(t.Context(), scheme+":"+path, s); err != nil {
				t.Fatal(err)
			}
		}
		err := (&archiveOptions{data: back}).imports(t.Context(), []string{path}, s)
		if empty := scheme == "eml" && err != nil && strings.Contains(err.Error(), "empty"); err != nil && !empty {
			t.Fatal(err)
		}
		again := openInbox(t, back)
		got := contents(t, again)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		faithful := 0
		for _, c := range want {
			if scheme == "eml" && c.text == "" {
				continue
			}
			if len(got) == 0 {
				t.Fatalf("%s: too few came back: %s", scheme, said.String())
			}
			g := got[0]
			got = got[1:]
			if w, can := carries(c); can {
				if faithful++; scheme == "eml" {
					g = content{text: g.text}
				}
				if g != w {
					t.Errorf("%s: came back\n%.300q\nwant\n%.300q", scheme, g, w)
				}
			}
		}
		if len(got) > 0 || faithful < len(want)/5 {
			t.Errorf("%s: %d more came back, %d could be compared", scheme, len(got), faithful)
		}
	}
}

// openInbox opens the database in dir.
func openInbox(t *testing.T, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// A content is what is to be the same of a message.
type content struct{ text, known string }

// contents reads all that there is, the oldest first.
func contents(t *testing.T, db *sqlite.DB) (all []content) {
	t.Helper()
	page, err := db.Inbox().List(t.Context(), inbox.Query{OldestFirst: true, Limit: inbox.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		b, err := db.Inbox().Open(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if b.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, content{string(text), fmt.Sprint(e.Received.UnixMilli(), e.Unread, e.Tags, e.Envelope.From, e.Envelope.To)})
	}
	return all
}

// Of what other programs have written the envelope is taken, and nothing is left out; who has seen it there has seen it.
func TestImportForeign(t *testing.T) {
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	const text = "Return-Path: <ann@example.com>\nX-Original-To: sales@example.net\nDelivered-To: bob@example.net\nSubject: x\n\nHello\n"
	for name, text := range map[string]string{"cur/1.a:2,RS": text, "cur/2.b:2,R": text, "new/3.c": strings.ReplaceAll(text, "\n", "\r\n") + "odd\n"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, errs := exit(t, command(t, "import", "--data", data, dir)); code != 0 || out != "Imported 3 messages.\n" {
		t.Fatalf("import: got %d, %q, %q", code, out, errs)
	}
	db := openInbox(t, data)
	defer db.Close()
	page, err := db.Inbox().List(t.Context(), inbox.Query{OldestFirst: true})
	if err != nil || len(page.Entries) != 3 {
		t.Fatalf("got %+v, %v", page, err)
	}
	for i, c := range contents(t, db) {
		e := page.Entries[i]
		want := strings.ReplaceAll(text, "\n", "\r\n") + []string{"", "", "odd\n"}[i]
		if c.text != want || e.Unread != (i > 0) || e.Envelope.From != "ann@example.com" || len(e.Envelope.To) != 1 || e.Envelope.To[0].Address != "bob@example.net" {
			t.Errorf("message %d: got %q, %+v; want %q", i, c.text, e, want)
		}
	}
}

// A message that the inbox does not take is told, and the others are there, whatever their
// directory is called. Settings come from the environment too, and in a terminal whoever waits sees how far it is.
func TestImportGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[old]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	good := "Subject: good\r\n\r\nHello\r\n"
	for name, text := range map[string]string{"a.eml": good, "b.eml": "", "c.eml": good} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	cmd := command(t, "import", dir)
	cmd.Env = append(cmd.Env, "POSTRIDER_DATA="+data)
	code, out, errs := exit(t, cmd)
	if want := filepath.Join(dir, "b.eml") + ": the message is empty"; code != exitData || out != "Imported 2 messages.\n" || !strings.Contains(errs, filepath.ToSlash(want)) {
		t.Errorf("got exit code %d, %q, %q; want %d, 2 messages and %q", code, out, errs, exitData, want)
	}
	// The bar is worth it from a megabyte on.
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(strings.Repeat("From ann@example.com Thu Jan  2 03:04:05 2020\nSubject: one of many\n\n"+strings.Repeat("Hello there.\n", 1000)+"\n", 250)), 0o600); err != nil {
		t.Fatal(err)
	}
	script := peers.Find(t, peers.Script)
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"import --data " + data + " " + large, "export --data " + data + " mbox:" + filepath.Join(dir, "out")} {
		out, err := exec.CommandContext(t.Context(), script, "-qec", program+" "+line, "/dev/null").CombinedOutput()
		if word, _, _ := strings.Cut(line, " "); err != nil || !strings.Contains(string(out), word+"ing") || !strings.Contains(string(out), "done!") {
			t.Errorf("%s in a terminal: got %v\n%s", line, err, out)
		}
	}
	// One that no server would have taken is an archive's all the same.
	huge := filepath.Join(dir, "huge.eml")
	if err := os.WriteFile(huge, append([]byte("Subject: huge\r\n\r\n"), bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 66<<20/78)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := exit(t, command(t, "import", "--data", filepath.Join(dir, "other"), huge)); code != 0 || out != "Imported 1 message.\n" {
		t.Errorf("a message of 66 MiB: got %d, %q, %q", code, out, errs)
	}
	cmd = command(t, "export", "--data", data, "mbox:"+filepath.Join(dir, "plain"))
	if code, out, errs := exit(t, cmd); code != 0 || out != "Exported 252 messages.\n" || errs != "" {
		t.Errorf("without a terminal: got %d, %q, %q", code, out, errs)
	}
}

// A server that wants to know who asks is told by the environment, where no other user sees it.
func TestArchiveOfAUser(t *testing.T) {
	s := start(t, t.TempDir(), "--web-auth", withUsers(t, "ann", "secret"))
	for _, c := range []struct {
		who  string
		code int
		says string
	}{{"ann:secret@", 0, "Exported 0 messages."}, {"ann:wrong@", exitNoPerm, "401"}, {"", exitNoPerm, "401"}} {
		cmd := command(t, "export", "mbox:"+filepath.Join(t.TempDir(), "x"))
		cmd.Env = append(cmd.Env, "POSTRIDER_URL="+strings.Replace(s.web, "http://", "http://"+c.who, 1))
		if code, out, errs := exit(t, cmd); code != c.code || !strings.Contains(out+errs, c.says) || strings.Contains(errs, "wrong") {
			t.Errorf("as %q: got %d, %q, %q; want %d and %q", c.who, code, out, errs, c.code, c.says)
		}
	}
}

// list returns the bytes of all messages, oldest first.
func list(t *testing.T, c *client.Client) []string {
	t.Helper()
	var all []string
	for m, err := range c.All(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.Raw(t.Context(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(raw)
		raw.Close()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}
