package inbox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

type fates struct {
	Results []struct {
		Recipient, Fate, ID, Enhanced, Text string
		Code                                int
	}
	Error string
}

// A message is released through Relay as it arrived, to whom its envelope names or
// to others; each recipient has a fate.
func TestRelease(t *testing.T) {
	target := start(t, nil)
	r := start(t, func(in *inbox.Inbox) {
		relay, err := postrider.Open("smtp://" + target.smtp)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { relay.Close() })
		in.Relay = relay
	})
	const msg = "Subject: over\r\nX-Odd :\ta\r\n\tb \r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.dot\r\nBcc: text\r\n"
	id := r.mustDeliver("Return-Path: <a@example.org>\r\nDelivered-To: hidden@example.net\r\nX-Original-To: hidden@example.org\r\nX-Postrider-Kept: {}\r\nBCC : hidden@example.net,\r\n hidden@example.org\r\nResent-Bcc: hidden@example.com\r\n" + msg)
	f := want[fates](r, 200, "POST", api+"messages/"+id+"/release", "")
	if len(f.Results) != 1 || f.Results[0].Recipient != "bob@example.net" || f.Results[0].Fate != "accepted" || f.Error != "" {
		t.Fatalf("released: %+v", f)
	}
	released := func(id string) bool {
		return want[struct{ Total int }](r, 200, "GET", api+"messages?query=tag:released+id:"+id, "").Total == 1
	}
	if !released(id) {
		t.Error("a message that was released is not tagged so")
	}
	if got := target.bytes(f.Results[0].ID); got != msg {
		t.Errorf("it arrived as %q, want %q", got, msg)
	}
	if e, err := target.Store.Entry(t.Context(), f.Results[0].ID); err != nil || e.Envelope.Options.Size != int64(len(msg)) {
		t.Errorf("its size was announced as %d (%v), want %d", e.Envelope.Options.Size, err, len(msg))
	}
	if log := r.log.String(); !strings.Contains(log, "id="+id) || !strings.Contains(log, "session=") || !strings.Contains(log, "queued="+f.Results[0].ID) {
		t.Errorf("the log does not tell who was sent what:\n%s", log)
	}
	target.setFaults("RCPT carol@* 550 5.1.1 no such user", "RCPT dan@* 450 4.2.0 busy")
	f = want[fates](r, 502, "POST", api+"messages/"+id+"/release", `{"sender":"x@example.com","recipients":["carol@example.org","dan@example.org","eve@example.org"]}`)
	if len(f.Results) != 3 || f.Results[0].Fate != "refused" || f.Results[0].Code != 550 || f.Results[1].Fate != "deferred" || f.Results[2].Fate != "accepted" || f.Error == "" {
		t.Errorf("released to three: %+v", f)
	}
	refused := r.mustDeliver(msg)
	if want[fates](r, 502, "POST", api+"messages/"+refused+"/release", `{"recipients":["carol@example.org"]}`); released(refused) {
		t.Error("a message that nobody has accepted is tagged as released")
	}
	if log := r.log.String(); !strings.Contains(log, `text="no such user"`) {
		t.Errorf("the log does not tell why one was refused:\n%s", log)
	}
	e, err := target.Store.Entry(t.Context(), f.Results[2].ID)
	if err != nil || e.Envelope.From != "x@example.com" || e.Envelope.Options.Body != smtp.Body8BitMIME {
		t.Errorf("its envelope is %+v, %v", e, err)
	}
	want[fates](r, 200, "POST", api+"messages/"+id+"/release", "")
	if text := r.ask("GET", "/metrics", "").body; !strings.Contains(text, "\npostrider_released_recipients_total 6\n") || !strings.Contains(text, "\npostrider_released_recipients_accepted_total 3\n") {
		t.Errorf("of six recipients three have accepted; the figures are\n%s", text)
	}
	want[failure](r, 404, "POST", api+"messages/none/release", "")
	want[failure](r, 400, "POST", api+"messages/"+id+"/release", `{"to":["x@example.com"]}`)
	if a := r.ask("GET", api+"messages/"+id+"/release", ""); a.StatusCode == 200 {
		t.Error("GET releases")
	}
	want[failure](target, 409, "POST", api+"messages/"+f.Results[2].ID+"/release", "")
}

// What a client asks for by extensions that are only offered is kept and shown. A
// release does not ask it of others, but that it travels by TLS alone holds on.
func TestOffer(t *testing.T) {
	offer := func(in *inbox.Inbox) { in.Offer = []string{"DSN", "MT-PRIORITY"} }
	target := start(t, offer)
	r := start(t, func(in *inbox.Inbox) {
		offer(in)
		in.Relay = &smtp.Transport{Addr: target.smtp}
	})
	env := smtp.NewEnvelope("alice@example.org", "bob@example.net")
	env.Options.EnvelopeID, env.Options.Priority = "order-7", 3
	env.To[0].Options.Notify = smtp.NotifySuccess
	id, err := r.deliver(env, "Subject: reported\r\n\r\nx\r\n")
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Store.Entry(t.Context(), id)
	if err != nil || e.Envelope.Options.EnvelopeID != "order-7" || e.Envelope.Options.Priority != 3 || e.Envelope.To[0].Options.Notify != smtp.NotifySuccess {
		t.Errorf("kept with %+v, %v", e.Envelope, err)
	}
	used := want[struct{ Extensions []string }](r, 200, "GET", api+"messages/"+id+"/session", "").Extensions
	if !slices.Contains(used, "DSN") || !slices.Contains(used, "MT-PRIORITY") {
		t.Errorf("shown as using %q", used)
	}
	f := want[fates](r, 200, "POST", api+"messages/"+id+"/release", "")
	e, err = target.Store.Entry(t.Context(), f.Results[0].ID)
	if err != nil || e.Envelope.Options.EnvelopeID != "" || e.Envelope.Options.Priority != 0 || e.Envelope.To[0].Options.Notify != 0 {
		t.Errorf("released with %+v, %v", e.Envelope, err)
	}

	tx, err := r.Mail(t.Context(), nil, "alice@example.org", &smtp.MailOptions{RequireTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rcpt(t.Context(), "bob@example.net", &smtp.RcptOptions{}); err != nil {
		t.Fatal(err)
	}
	if id, err = tx.Data(t.Context(), strings.NewReader("Subject: by TLS\r\n\r\nx\r\n")); err != nil {
		t.Fatal(err)
	}
	f = want[fates](r, 502, "POST", api+"messages/"+id+"/release", "")
	if len(f.Results) != 1 || f.Results[0].Fate != "refused" || !strings.Contains(f.Results[0].Text, "REQUIRETLS") {
		t.Errorf("released without TLS: %+v", f)
	}
}

// The log follows one message from its session over its arrival to its release, by
// the ids that both have.
func TestLogFollows(t *testing.T) {
	target := start(t, nil)
	r := start(t, func(in *inbox.Inbox) { in.Relay = &smtp.Transport{Addr: target.smtp} })
	id := r.mustDeliver("Subject: followed\r\n\r\nx\r\n")
	want[fates](r, 200, "POST", api+"messages/"+id+"/release", "")
	session := want[struct{ ID string }](r, 200, "GET", api+"messages/"+id+"/session", "").ID
	lines := func() (arrived, released string) {
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, "id="+id) && strings.Contains(line, "message arrived") {
				arrived = line
			}
			if strings.Contains(line, "id="+id) && strings.Contains(line, "message released") {
				released = line
			}
		}
		return arrived, released
	}
	peers.Until(t, "the log tells of the arrival", func() bool { arrived, _ := lines(); return arrived != "" })
	arrived, released := lines()
	if session == "" || !strings.Contains(arrived, "session="+session) || !strings.Contains(released, "session="+session) {
		t.Errorf("session %q, id %s: the log has\n%s%s", session, id, arrived, released)
	}
}

// What was delivered before brings its envelope along, in the fields that delivery
// put above it.
func TestInjectDelivered(t *testing.T) {
	r := start(t, nil)
	for _, c := range []struct{ head, sender, recipients string }{
		{"Return-Path: <bounces@example.com>\r\nDelivered-To: carol@example.net\r\nDelivered-To: dan@example.net\r\nDelivered-To: carol@example.net\r\nX-Original-To: all@example.net\r\n", "bounces@example.com", "carol@example.net dan@example.net"},
		{"Return-Path: <>\r\nX-Original-To: all@example.net\r\n", "", "all@example.net"},
		{"Return-Path: <a@example.com>\r\nReturn-Path: <old@example.com>\r\n", "a@example.com", "bob@example.net"},
		{"Return-Path: no address\r\nDelivered-To: neither, this\r\n", "ann@example.com", "bob@example.net"},
		{"", "ann@example.com", "bob@example.net"},
	} {
		id := want[struct{ ID string }](r, 201, "POST", api+"messages", c.head+"From: ann@example.com\r\nTo: bob@example.net\r\n\r\nx\r\n", "Content-Type", "message/rfc822").ID
		e, err := r.Store.Entry(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var to []string
		for _, x := range e.Envelope.To {
			to = append(to, x.Address)
		}
		if got := strings.Join(to, " "); e.Envelope.From != c.sender || got != c.recipients {
			t.Errorf("%q: from %q to %q, want %q and %q", c.head, e.Envelope.From, got, c.sender, c.recipients)
		}
	}
}

// POST send sends what it is given and keeps nothing.
func TestSend(t *testing.T) {
	target := start(t, nil)
	r := start(t, func(in *inbox.Inbox) {
		in.Relay = &smtp.Transport{Addr: target.smtp, Dialer: &smtp.Dialer{Hostname: "inbox.example.com"}}
	})
	f := want[fates](r, 200, "POST", api+"send", `{"from":"ann@example.com","to":["bob@example.net"],"bcc":["c@example.net"],"subject":"Hello","text":"x"}`, "Content-Type", "application/json")
	if len(f.Results) != 2 || f.Results[1].Recipient != "c@example.net" || f.Results[1].Fate != "accepted" {
		t.Fatalf("sent: %+v", f)
	}
	if got := target.bytes(f.Results[0].ID); !strings.Contains(got, "Subject: Hello") || strings.Contains(got, "c@example.net") {
		t.Errorf("it arrived as %q", got)
	}
	if s, err := r.Store.Stats(t.Context()); err != nil || s.Messages != 0 {
		t.Errorf("%d messages are kept, want none", s.Messages)
	}
	// What is complete goes as it is, but for who is to stay hidden.
	f = want[fates](r, 200, "POST", api+"send", "From: ann@example.com\nTo: bob@example.net\nBcc: c@example.net\nSubject:  As  it is\n\nGr\xc3\xbc\xc3\x9fe\n", "Content-Type", "message/rfc822")
	if got := target.bytes(f.Results[0].ID); len(f.Results) != 2 || got != "From: ann@example.com\r\nTo: bob@example.net\r\nSubject:  As  it is\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" {
		t.Errorf("for %+v it arrived as %q", f.Results, got)
	}
	if e, err := target.Store.Entry(t.Context(), f.Results[0].ID); err != nil || e.Envelope.Options.Body != smtp.Body8BitMIME {
		t.Errorf("its envelope is %+v, %v, want 8BITMIME", e, err)
	}
	long := "To: bob@example.net\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 900)+"\r\n", 300) + "Bcc: c@example.net\r\n\r\nx\r\n"
	want[failure](r, 400, "POST", api+"send", long, "Content-Type", "message/rfc822")
	want[failure](r, 400, "POST", api+"messages/"+r.mustDeliver(long)+"/release", "")
	// Where the connection ends, the reply to RCPT is none to the message: that it was "250 recipient ok" is no news.
	target.setFaults("END disconnect")
	f = want[fates](r, 502, "POST", api+"send", "From: ann@example.com\r\nTo: bob@example.net\r\n\r\nx\r\n", "Content-Type", "message/rfc822")
	if len(f.Results) != 1 || f.Results[0].Fate != "unknown" || f.Results[0].Code != 0 || f.Results[0].Enhanced != "" || !strings.HasPrefix(f.Results[0].Text, "smtp: ") {
		t.Errorf("sent without hearing of it: %+v", f)
	}
	for _, said := range []string{`"message sent"`, "sender=ann@example.com", "recipient=c@example.net fate=accepted", "recipient=bob@example.net fate=unknown"} {
		if log := r.log.String(); !strings.Contains(log, said) {
			t.Errorf("the log lacks %s:\n%s", said, log)
		}
	}
	want[failure](r, 400, "POST", api+"send", "Subject: x\r\n\r\n", "Content-Type", "message/rfc822")
	want[failure](r, 415, "POST", api+"send", "x", "Content-Type", "text/plain")
	want[failure](target, 409, "POST", api+"send", "To: a@example.com\r\n\r\n", "Content-Type", "message/rfc822")
}

// A message says what a test wants of it.
func TestMessageExtracts(t *testing.T) {
	r := start(t, nil)
	r.mustDeliver("Subject: Sign in\r\n\r\nYour code is 493021. Or follow https://app.example.com/login?t=abc.\r\n")
	m := want[struct {
		Codes  []string
		Links  []struct{ URL string }
		Tags   []string
		Unread bool
	}](r, 200, "GET", api+"messages/wait?query=code", "")
	if len(m.Codes) != 1 || m.Codes[0] != "493021" || len(m.Links) != 1 || m.Links[0].URL != "https://app.example.com/login?t=abc" || m.Tags == nil || !m.Unread {
		t.Errorf("the message tells %+v", m)
	}
}
