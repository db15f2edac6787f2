package mail

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is quoted of a text, and how it is introduced (RFC 3676, 4.3 for the signature).
func TestQuotes(t *testing.T) {
	for _, c := range []struct{ fields, body, want string }{
		{"From: Ann <a@b>\nDate: Sat, 21 Nov 2026 09:00:00 -0500\n", "x", "\n\nOn Sat, 21 Nov 2026 09:00:00 -0500, Ann <a@b> wrote:\n> x\n"},
		{"From: Ann <a@b>\n", "x", "\n\nAnn <a@b> wrote:\n> x\n"},
		{"From: Ann <a@b>, c@d\nDate: never\n", "x", "\n\nAnn <a@b>, c@d wrote:\n> x\n"},
		{"Date: Sat, 21 Nov 2026 09:00:00 -0500\n", "x", "> x\n"}, // nobody is said to have written it
		{"From: a@b\n", "", "\n\na@b wrote:\n"},
		{"From: a@b\n", "a\r\n\r\n>b\r\n> c\r\n\r\n\r\n", "\n\na@b wrote:\n> a\n>\n>>b\n>> c\n"},
		{"From: a@b\n", "a\n-- \nme\n", "\n\na@b wrote:\n> a\n"},
		{"From: a@b\n", "a\n--\nme\n", "\n\na@b wrote:\n> a\n> --\n> me\n"}, // no signature without the space
		{"From: a@b\nContent-Type: text/html\n", "<p>Hello <b>Bob</b>", "\n\na@b wrote:\n> Hello Bob\n"},
		{"From: =?utf-8?q?J=C3=BCrgen?= <a@b>\nContent-Type: text/plain; charset=iso-8859-1\n", "Gr\xfc\xdfe", "\n\nOn"},
	} {
		got := parsed(t, c.fields+"\n"+c.body).Reply(me).Text
		if c.want == "\n\nOn" {
			c.want = "\n\nJürgen <a@b> wrote:\n> Grüße\n"
		}
		if got != c.want {
			t.Errorf("%q, %q: got %q, want %q", c.fields, c.body, got, c.want)
		}
	}
	long := &Message{From: []Address{me}, Text: strings.Repeat("ü\n", maxQuoted)}
	if got := len(long.Reply(me).Text); got < maxQuoted || got > 3*maxQuoted {
		t.Errorf("of %d octets %d are quoted, want those of a mebibyte with their marks", len(long.Text), got)
	}
}

// Whom answers go to, where lists name one twice, oneself, or nobody.
func TestReplyAllTo(t *testing.T) {
	for _, c := range []struct{ name, fields, to, cc string }{
		{"one author", "From: a@b\n", "a@b", ""},
		{"two authors", "From: a@b, c@d\nSender: e@f\n", "a@b c@d", ""},
		{"doubles", "From: a@b\nTo: c@d, C@D, a@b\nCc: c@d, e@f, E@f\n", "a@b", "c@d e@f"},
		{"oneself among others", "From: a@b\nTo: ME@example.org, c@d\n", "a@b", "c@d"},
		{"to oneself alone", "From: me@example.org\nTo: me@example.org\n", "", ""},
		{"oneself to oneself and others", "From: me@example.org\nTo: me@example.org\nCc: c@d\n", "c@d", ""},
		{"one's own to others", "From: me@example.org\nTo: a@b\nCc: c@d\n", "a@b", "c@d"},
		{"nobody", "Subject: x\n", "", ""},
		{"a list that wants it all", "From: a@b\nTo: c@d\nMail-Followup-To: l@x, L@x\n", "l@x", ""},
		{"a broken Mail-Followup-To", "From: a@b\nTo: c@d\nMail-Followup-To: nobody\n", "a@b", "c@d"},
		{"Reply-To names the author too", "From: a@b\nReply-To: l@x, a@b\nCc: l@x\n", "l@x a@b", ""},
		{"Bcc is nobody's to know", "From: a@b\nBcc: z@z\n", "a@b", ""},
		{"a group", "From: a@b\nTo: friends: c@d, e@f;\n", "a@b", "c@d e@f"},
	} {
		r := parsed(t, c.fields+"\nx").ReplyAll(me)
		if to, cc := specs(r.To), specs(r.Cc); to != c.to || cc != c.cc || len(r.Bcc) > 0 {
			t.Errorf("%s: got %q and %q, want %q and %q", c.name, to, cc, c.to, c.cc)
		}
	}
}

// Files that are forwarded have names and types that can be written, whatever they were called (RFC 2183, 2.3).
func TestForwardNames(t *testing.T) {
	for subject, want := range map[string]string{
		"": "message.eml", "  ": "message.eml", `a/b\c:d*e?f"g<h>i|j`: "a_b_c_d_e_f_g_h_i_j.eml", "../../etc/passwd": ".._.._etc_passwd.eml", "a\tb\x01c": "a_b_c.eml", "Grüße 😀": "Grüße 😀.eml",
		strings.Repeat("ü", 60): strings.Repeat("ü", 40) + ".eml", strings.Repeat("x", 79) + "ü": strings.Repeat("x", 79) + ".eml",
	} {
		f := (&Message{From: []Address{me}, Subject: subject}).Forward(me)
		if got := f.Attachments[0].Name; got != want {
			t.Errorf("%q: got %q, want %q", subject, got, want)
		}
	}
	odd := parsed(t, "From: a@b\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: nonsense\nContent-Disposition: attachment; filename=\"a\x00b\"\n\nx\n--b\nContent-Type: image/png\nContent-ID: <1@x>\n\npng\n--b--\n")
	f := odd.ForwardInline(me)
	if len(f.Attachments) == 0 {
		t.Fatal("no attachments came along")
	}
	for _, a := range f.Attachments {
		if a.CID != "" {
			t.Errorf("%q is shown as %q by an HTML that is not there", a.Name, a.CID)
		}
	}
	if _, err := f.Freeze(); err != nil {
		t.Errorf("it cannot be written: %v", err)
	}
	for _, one := range []Attachment{{Name: "x", Type: "no type", Open: FromBytes("", nil).Open}, {Name: "x", Type: "a/b\nc", Open: FromBytes("", nil).Open}} {
		f = (&Message{From: []Address{me}, Attachments: []Attachment{one}}).ForwardInline(me)
		if got := f.Attachments[0].Type; got != "application/octet-stream" {
			t.Errorf("%q is forwarded as %q", one.Type, got)
		}
	}
}

// Any message that can be made can be answered, and answered again: what comes out can be written, keeps within its limits,
// stays one thread, and gets no second "Re:".
func TestAnswersOfAnswers(t *testing.T) {
	texts := rapid.OneOf(rapid.SampledFrom([]string{"", "Re: x", "Fwd: Re: x", "AW: x", "a\r\nb", "\x00", "[l] x", ">>>", "-- \n", "=?utf-8?q?x?="}), rapid.String())
	lists := rapid.SliceOfN(rapid.SampledFrom([]Address{{"", "a@b"}, {"Ä, B", "c@d"}, me, {"", "broken"}, {"x\ny", "e@f"}, {"", ""}}), 0, 4)
	ids := rapid.SliceOfN(rapid.SampledFrom([]string{"1@x", "<2@x>", "broken", "", "a b@x", "3@x\r\n"}), 0, 5)
	rapid.Check(t, func(t *rapid.T) {
		m := &Message{
			From: lists.Draw(t, "from"), ReplyTo: lists.Draw(t, "reply-to"), To: lists.Draw(t, "to"), Cc: lists.Draw(t, "cc"), Subject: texts.Draw(t, "subject"), Text: texts.Draw(t, "text"),
			ID: rapid.SampledFrom([]string{"", "1@x", "9@x", "broken"}).Draw(t, "id"), References: ids.Draw(t, "references"), InReplyTo: ids.Draw(t, "in-reply-to"),
		}
		for i := range 3 {
			r := m.ReplyAll(me)
			var b strings.Builder
			if _, err := r.WriteTo(&b); err != nil {
				t.Fatalf("reply %d to %+v: %v", i, m, err)
			}
			if strings.Count(strings.ToLower(r.Subject), "re:") > 1+strings.Count(strings.ToLower(m.Subject), "re:") || !strings.HasPrefix(r.Subject, "Re: ") || i > 0 && r.Subject != m.Subject {
				t.Errorf("reply %d to %q is about %q", i, m.Subject, r.Subject)
			}
			seen := map[string]bool{}
			for _, a := range slices.Concat(r.To, r.Cc) {
				if key := addressKey(a.Address); seen[key] || key == addressKey(me.Address) {
					t.Errorf("reply %d goes to %s twice, or to oneself", i, a.Address)
				} else {
					seen[key] = true
				}
			}
			if len(r.References) > maxReferences || len(r.InReplyTo) > 1 {
				t.Errorf("reply %d has %d references", i, len(r.References))
			}
			m = r
			m.ID = newID(r.From)
		}
	})
}
