package inbox_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// What is made of a message that is there: its files go along, and whoever sends
// it on as it is can say so.

// relayed runs an inbox whose mail is sent on to another.
func relayed(t *testing.T) (r, target *running) {
	target = start(t, nil)
	r = start(t, func(in *inbox.Inbox) {
		in.Relay = &smtp.Transport{Addr: target.smtp, Dialer: &smtp.Dialer{Hostname: "inbox.example.com"}}
	})
	return r, target
}

// parse reads a message that an inbox keeps.
func (r *running) parse(id string) *mail.Message {
	r.t.Helper()
	m, err := mail.Parse(strings.NewReader(r.bytes(id)))
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// content reads an attachment.
func content(t *testing.T, a mail.Attachment) string {
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

// album is a message with a picture in its HTML, a file larger than what a store
// keeps in its database, and a text in another charset.
func album(t *testing.T) string {
	picture := mail.FromBytes("quay.png", inbox.Drawn(t, "png", 20, 10))
	picture.CID = "quay@example.com"
	text := mail.FromBytes("gruss.txt", []byte("Gr\xfc\xdfe\r\n"))
	text.Type = "text/plain; charset=iso-8859-1"
	m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Album", Text: "Here it is.",
		HTML: `<body class="x"><p>Here it is. <img src="cid:quay@example.com">`, Attachments: []mail.Attachment{
			picture, mail.FromBytes("../large.bin", bytes.Repeat([]byte{0, 1, 2, 0xff}, 1<<19)), text,
		}}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Parts are taken along by naming them: into the inbox and through the relay,
// octet by octet, one at a time or the message whole.
func TestTakeAlong(t *testing.T) {
	r, target := relayed(t)
	raw := album(t)
	id := r.mustDeliver(raw)
	original := r.parse(id)
	part := func(path, more string) string { return fmt.Sprintf(`{"message":%q,"part":%q%s}`, id, path, more) }
	var paths []string
	for path, p := range original.Body.Walk() {
		if p.Name() != "" {
			paths = append(paths, path)
		}
	}
	body := `{"from":"bob@example.net","to":"zoe@example.de","subject":"Fwd: Album","html":"<img src=\"cid:quay@example.com\">","attachments":[` +
		part(paths[0], `,"cid":"quay@example.com"`) + "," + part(paths[1], "") + "," + part(paths[2], `,"name":"other.txt"`) + "," + part("", "") + `]}`
	made := want[struct{ ID string }](r, 201, "POST", api+"messages", body, "Content-Type", "application/json")
	sent := want[fates](r, 200, "POST", api+"send", body, "Content-Type", "application/json")
	for name, m := range map[string]*mail.Message{"put in": r.parse(made.ID), "sent": target.parse(sent.Results[0].ID)} {
		if len(m.Attachments) != 4 {
			t.Fatalf("%s: %d attachments, want 4", name, len(m.Attachments))
		}
		for i, a := range original.Attachments {
			if got, want := content(t, m.Attachments[i]), content(t, a); got != want {
				t.Errorf("%s: attachment %d has %d octets, want the %d of the original", name, i, len(got), len(want))
			}
		}
		if got := content(t, m.Attachments[3]); got != raw {
			t.Errorf("%s: the message itself has %d octets, want %d, each as it was", name, len(got), len(raw))
		}
		for i, want := range []string{"quay.png image/png quay@example.com", "large.bin application/octet-stream ", "other.txt text/plain ", "Album.eml message/rfc822 "} {
			if a := m.Attachments[i]; a.Name+" "+a.Type+" "+a.CID != want {
				t.Errorf("%s: attachment %d is %q %q %q, want %s", name, i, a.Name, a.Type, a.CID, want)
			}
		}
		if got := m.Attachments[2].Part().Param("charset"); !strings.EqualFold(got, "iso-8859-1") {
			t.Errorf("%s: the charset is %q, want that of the original", name, got)
		}
	}

	many := strings.Builder{}
	for i := range 25 {
		fmt.Fprintf(&many, `,{"message":%q}`, r.mustDeliver(fmt.Sprintf("Subject: %d\r\n\r\n", i)))
	}
	for attachments, says := range map[string]string{
		`{"message":"none"}`: "no message none", part("7", ""): "no part 7", part("1", ""): "no part 1", part("2", "") + many.String(): "20 messages", `{"name":"a"}`: "no content",
	} {
		f := want[failure](r, 400, "POST", api+"messages", `{"from":"a@example.com","attachments":[`+attachments+`]}`, "Content-Type", "application/json")
		if !strings.Contains(f.Error, says) {
			t.Errorf("%.80s: says %q, want %q", attachments, f.Error, says)
		}
	}
}

// The page's forms name what is taken along, so that each can be left out.
func TestFormFiles(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver(album(t))
	for how, c := range map[string]struct{ has, lacks []string }{
		"forward": {[]string{"Forwarded message", `data-cid="quay@example.com"`, "large.bin", "gruss.txt", "&lt;body class=&#34;x&#34;&gt;&lt;p&gt;----------", "From: ann@example.com&lt;br&gt;"}, []string{"../large"}},
		"edit":    {[]string{`data-cid="quay@example.com"`, "large.bin", "&lt;p&gt;Here it is."}, []string{"Forwarded"}},
		"attach":  {[]string{"Album.eml", `value="" data-cid=""`}, []string{"large.bin", "&lt;p&gt;"}},
		"reply":   {[]string{"&gt; Here it is."}, []string{"large.bin", "&lt;p&gt;"}},
	} {
		page := r.ask("GET", "/compose/pane?how="+how+"&id="+id, "").body
		for _, s := range c.has {
			if !strings.Contains(page, s) {
				t.Errorf("%s lacks %q:\n%s", how, s, page)
			}
		}
		for _, s := range c.lacks {
			if strings.Contains(page, s) {
				t.Errorf("%s has %q:\n%s", how, s, page)
			}
		}
	}
}

// Resending puts a block of fields above the octets that arrived and changes none.
func TestResend(t *testing.T) {
	r, target := relayed(t)
	const msg = "DKIM-Signature: v=1; b=x\r\nFrom: ann@example.com\r\nResent-To: old@example.com\r\nSubject:  odd   spaces\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.dot\r\n"
	id := r.mustDeliver(msg)
	f := want[fates](r, 200, "POST", api+"messages/"+id+"/release", `{"resent_from":"Zoë Müller <zoe@example.de>","recipients":["carol@example.org"]}`)
	got := target.bytes(f.Results[0].ID)
	block, rest, _ := strings.Cut(got, "DKIM-Signature:")
	if "DKIM-Signature:"+rest != msg {
		t.Errorf("behind the new fields it is %q, want %q", rest, msg)
	}
	h := mail.ParseHeader(block)
	var names []string
	for f := range h.All() {
		names = append(names, f.Name())
	}
	if got, want := strings.Join(names, " "), "Resent-Date Resent-From Resent-To Resent-Message-ID"; got != want {
		t.Errorf("the new fields are %s, want %s", got, want)
	}
	if got := h.Text("Resent-From") + h.Text("Resent-To"); !strings.Contains(got, "Zoë Müller") || !strings.Contains(got, "carol@example.org") {
		t.Errorf("they say %s", got)
	}
	if e, err := target.Store.Entry(t.Context(), f.Results[0].ID); err != nil || e.Envelope.From != "zoe@example.de" {
		t.Errorf("the envelope is %+v, %v; want the resender's", e, err)
	}
	for _, body := range []string{`{"resent_from":"nobody"}`, `{"resent_from":"a@example.com","sender":"b@example.com"}`, `{"resent_from":"a@example.com\r\nX: y"}`,
		`{"resent_from":"a@example.com","recipients":["no address"]}`} {
		if f := want[failure](r, 400, "POST", api+"messages/"+id+"/release", body); strings.Contains(f.Error, "mail:") {
			t.Errorf("%s: %q names a package", body, f.Error)
		}
	}
}
