package mail

import (
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

var me = Address{"Me", "me@example.org"}

const asked = "From: Ann <ann@example.com>\r\nTo: Me <me@example.org>, bob@example.net\r\nCc: Eve <eve@example.net>, ANN@example.com, broken@@x\r\n" +
	"Date: Sat, 21 Nov 2026 09:00:00 +0100\r\nMessage-ID: <3@example.com>\r\nReferences: <1@example.com>\r\n <2@example.com>\r\nSubject: RE: Re: Aw: lunch: today\r\n\r\n" +
	"One.\r\n> earlier\r\n\r\nTwo.\r\n-- \r\nAnn\r\n"

func parsed(t *testing.T, raw string) *Message {
	t.Helper()
	m, err := Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func specs(list []Address) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Address)
	}
	return strings.Join(out, " ")
}

func TestReply(t *testing.T) {
	for _, c := range []struct{ name, more, to, allTo, allCc string }{
		{"plain", "", "ann@example.com", "ann@example.com", "bob@example.net eve@example.net"},
		{"Reply-To", "Reply-To: list@example.com\r\n", "list@example.com", "list@example.com", "bob@example.net eve@example.net ANN@example.com"},
		{"Mail-Reply-To", "Reply-To: list@example.com\r\nMail-Reply-To: a@b.c\r\n", "a@b.c", "a@b.c", "bob@example.net eve@example.net ANN@example.com"},
		{"Mail-Followup-To", "Mail-Followup-To: list@example.com, me@example.org\r\n", "ann@example.com", "list@example.com", ""},
		{"to myself", "Reply-To: ME@example.org\r\n", "me@example.org bob@example.net", "bob@example.net", "eve@example.net ANN@example.com"},
		{"broken", "Reply-To: nobody\r\n", "ann@example.com", "ann@example.com", "bob@example.net eve@example.net"},
	} {
		m := parsed(t, c.more+asked)
		one, all := m.Reply(me), m.ReplyAll(me)
		if got := specs(one.To); got != c.to || one.Cc != nil {
			t.Errorf("%s: a reply goes to %s, want %s", c.name, got, c.to)
		}
		if to, cc := specs(all.To), specs(all.Cc); to != c.allTo || cc != c.allCc {
			t.Errorf("%s: a reply to all goes to %s and %s, want %s and %s", c.name, to, cc, c.allTo, c.allCc)
		}
		got := back(t, one)
		if got.Subject != "Re: lunch: today" || !slices.Equal(got.InReplyTo, []string{"3@example.com"}) || !slices.Equal(got.References, []string{"1@example.com", "2@example.com", "3@example.com"}) {
			t.Errorf("%s: got %q %q %q", c.name, got.Subject, got.InReplyTo, got.References)
		}
		const text = "\n\nOn Sat, 21 Nov 2026 09:00:00 +0100, Ann <ann@example.com> wrote:\n> One.\n>> earlier\n>\n> Two.\n"
		if got.Text != text {
			t.Errorf("%s: got the text %q", c.name, got.Text)
		}
	}
}

func TestReplyThreads(t *testing.T) {
	for _, c := range []struct{ fields, inReplyTo, references string }{
		{"", "", ""},
		{"Message-ID: <b@x>\n", "b@x", "b@x"},
		{"Message-ID: <b@x>\nIn-Reply-To: <a@x>\n", "b@x", "a@x b@x"},
		{"Message-ID: <c@x>\nIn-Reply-To: <a@x> <b@x>\n", "c@x", "c@x"},
		{"Message-ID: <b@x>\nReferences: <broken> <a@x> <b@x>\n", "b@x", "a@x b@x"},
		{"References: <a@x>\n", "", "a@x"},
	} {
		r := parsed(t, c.fields+"From: a@b.c\n\nx").Reply(me)
		if got, refs := strings.Join(r.InReplyTo, " "), strings.Join(r.References, " "); got != c.inReplyTo || refs != c.references {
			t.Errorf("%q: got %q and %q, want %q and %q", c.fields, got, refs, c.inReplyTo, c.references)
		}
	}
	long := "From: a@b.c\nMessage-ID: <last@x>\nReferences: <first@x>" + strings.Repeat("\n <more@x>", 1000) + "\n\nx"
	if refs := parsed(t, long).Reply(me).References; len(refs) != maxReferences || refs[0] != "first@x" || refs[len(refs)-1] != "last@x" {
		t.Errorf("got %d references: %q", len(refs), refs)
	}
}

func TestPrefixSubject(t *testing.T) {
	for _, c := range [][3]string{
		{"Re: ", "", "Re: "}, {"Re: ", "x", "Re: x"}, {"Re: ", "re:x", "Re: x"}, {"Re: ", "Re[2]: RE(3): x", "Re: x"}, {"Re: ", "Fwd: x", "Re: Fwd: x"},
		{"Fwd: ", "Fw: FWD: x", "Fwd: x"}, {"Fwd: ", "Re: x", "Fwd: Re: x"}, {"Re: ", "Report: x", "Re: Report: x"}, {"Re: ", " a\nb ", "Re: a b"}, {"Re: ", "a \x00", "Re: a"},
	} {
		if got := prefixSubject(c[0], c[1]); got != c[2] {
			t.Errorf("%q %q: got %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// A message that is forwarded arrives octet by octet, one that was made as it is written.
func TestForward(t *testing.T) {
	m := parsed(t, asked)
	f := m.Forward(me)
	f.To = List("bob@example.net")
	got := back(t, f)
	if got.Subject != "Fwd: RE: Re: Aw: lunch: today" || len(got.InReplyTo) > 0 || len(got.Attachments) != 1 || got.Attachments[0].Type != "message/rfc822" {
		t.Fatalf("got %q %q %+v", got.Subject, got.InReplyTo, got.Attachments)
	}
	if name := got.Attachments[0].Name; name != "RE_ Re_ Aw_ lunch_ today.eml" {
		t.Errorf("the file is called %q", name)
	}
	if s := opened(t, got.Attachments[0]); s != asked {
		t.Errorf("got\n%s\nwant\n%s", s, asked)
	}
	made := base().Forward(me)
	if s := opened(t, back(t, made).Attachments[0]); s != written(t, base()) {
		t.Errorf("a message that was made: got\n%s", s)
	}
	none := (&Message{Text: "x"}).Forward(me)
	if _, err := none.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "From") {
		t.Errorf("a message without an author: got %v", err)
	}
	// A part of another message is not that message.
	m = parsed(t, "From: a@b.c\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ninner\n")
	own := base()
	own.Body = m.Body.Parts[0]
	if s := opened(t, back(t, own.Forward(me)).Attachments[0]); s != written(t, own) {
		t.Errorf("a part of another message: got\n%s", s)
	}
}

func opened(t *testing.T, a Attachment) string {
	t.Helper()
	rc, err := a.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestForwardInline(t *testing.T) {
	m := base()
	m.Attachments = []Attachment{FromBytes("a.pdf", []byte("pdf"))}
	m = parsed(t, written(t, m))
	m.Attachments[0].Name += "\x00"
	got := back(t, m.ForwardInline(me))
	const text = "\n---------- Forwarded message ----------\nFrom: Ann Example <ann@example.com>\nDate: Sat, 21 Nov 2026 09:00:00 +0000\nSubject: Minutes\nTo: bob@example.net\n\nHello.\n"
	if got.Text != text || len(got.Attachments) != 1 || got.Attachments[0].Name != "a.pdf" || opened(t, got.Attachments[0]) != "pdf" {
		t.Errorf("got %q, %+v", got.Text, got.Attachments)
	}
}

func TestResend(t *testing.T) {
	m := parsed(t, "Received: from a by b; Sat, 21 Nov 2026 09:00:00 +0000\r\n"+asked)
	r := m.Resend(me, List("x@example.net, \"Y, Z\" <y@example.net>")...)
	s := written(t, r)
	block, rest, _ := strings.Cut(s, "Received: ")
	if "Received: "+rest != written(t, m) {
		t.Errorf("below the block it is\n%s", rest)
	}
	names := []string{}
	for f := range ParseHeader(block).All() {
		names = append(names, f.Name())
	}
	if want := []string{"Resent-Date", "Resent-From", "Resent-To", "Resent-Message-ID"}; !slices.Equal(names, want) {
		t.Errorf("the block has %q, want %q", names, want)
	}
	again := parsed(t, s).Resend(Address{"", "other@example.org"}, Address{"", "z@example.net"})
	for _, c := range []struct {
		m        *Message
		from, to string
	}{{m, "ann@example.com", "me@example.org bob@example.net eve@example.net ANN@example.com broken@@x"}, {r, "me@example.org", "x@example.net y@example.net"}, {again, "other@example.org", "z@example.net"}} {
		if from, to := c.m.Originator(), strings.Join(c.m.Recipients(), " "); from != c.from || to != c.to {
			t.Errorf("the envelope is from %s for %s, want %s and %s", from, to, c.from, c.to)
		}
	}
	if _, err := m.Resend(me, Address{"", "x@y\r\nBcc: z"}).Freeze(); err == nil {
		t.Error("a recipient with a line break is taken")
	}
}

func TestAutomatic(t *testing.T) {
	for fields, want := range map[string]bool{
		"": false, "Auto-Submitted: no\n": false, "Auto-Submitted: auto-replied; x\n": true, "Precedence: bulk\n": true, "Precedence: first-class\n": false,
		"Return-Path: <>\n": true, "Return-Path: <a@b.c>\n": false, "List-Id: <l.example.com>\n": true, "Content-Type: multipart/report; boundary=b\n": true,
	} {
		if got := parsed(t, fields+"From: a@b.c\n\n").Automatic(); got != want {
			t.Errorf("%q: got %v", fields, got)
		}
	}
}

// Any message at all can be answered.
func TestAnswerAnything(t *testing.T) {
	root := peers.Corpora(t)
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".dat") {
			return err
		}
		m := parsedFile(t, path)
		for name, answer := range map[string]*Message{"Reply": m.Reply(me), "ReplyAll": m.ReplyAll(me), "Forward": m.Forward(me), "ForwardInline": m.ForwardInline(me)} {
			if _, err := answer.WriteTo(io.Discard); err != nil {
				t.Errorf("%s: %s: %v", path, name, err)
			}
		}
		return nil
	})
}
