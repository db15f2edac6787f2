package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// setFaults sets rules in the form in which people write them.
func (r *running) setFaults(rules ...string) {
	r.t.Helper()
	var faults []inbox.Fault
	for _, text := range rules {
		f, err := inbox.ParseFault(text)
		if err != nil {
			r.t.Fatal(err)
		}
		faults = append(faults, f)
	}
	if err := r.SetFaults(faults); err != nil {
		r.t.Fatal(err)
	}
}

// try delivers a message to recipients and tells what has become of it, in a few
// words: "kept", a reply, or that the connection broke.
func (r *running) try(to ...string) string {
	r.t.Helper()
	_, err := r.deliver(smtp.NewEnvelope("ann@example.com", to...), "Subject: x\r\n\r\n"+strings.Repeat("text\r\n", 50_000))
	if e, ok := errors.AsType[*smtp.Error](err); ok {
		return fmt.Sprintf("%d %s %s", e.Code, e.Enhanced, e.Text)
	}
	switch {
	case err == nil:
		return "kept"
	case errors.Is(err, smtp.ErrUnknown):
		return "unknown"
	}
	return "broken"
}

// Each rule happens where it says, to whom it says, and nothing of a message that
// was refused is kept.
func TestFaults(t *testing.T) {
	r := start(t, nil)
	for _, c := range []struct {
		rules []string
		to    []string
		want  string
		kept  int
	}{
		{nil, []string{"bob@example.net"}, "kept", 1},
		{[]string{"RCPT bob@* 452 4.2.2 mailbox full"}, []string{"bob@example.net"}, "452 4.2.2 mailbox full", 0},
		{[]string{"RCPT BOB@* 452 4.2.2 mailbox full"}, []string{"carol@example.net"}, "kept", 1},
		{[]string{"MAIL ann@example.com 550 5.7.1 go away"}, []string{"bob@example.net"}, "550 5.7.1 go away", 0},
		{[]string{"MAIL bob@* 550"}, []string{"bob@example.net"}, "kept", 1},
		{[]string{"DATA *@example.net 451 4.3.0 not now"}, []string{"bob@example.net"}, "451 4.3.0 not now", 0},
		{[]string{"END 554 5.6.0 spam"}, []string{"bob@example.net"}, "554 5.6.0 spam", 0},
		{[]string{"END carol@* 554"}, []string{"bob@example.net"}, "kept", 1},
		{[]string{"END delay=1ms"}, []string{"bob@example.net"}, "kept", 1},
		{[]string{"END disconnect"}, []string{"bob@example.net"}, "unknown", 0},
		{[]string{"RCPT limit=1/1h 450 4.7.1 not so fast"}, []string{"bob@example.net"}, "kept", 1},
		{[]string{"RCPT 0.0000001% 450", "RCPT 550 5.0.0 second"}, []string{"bob@example.net"}, "550 5.0.0 second", 0},
		{[]string{"RCPT limit=1/1h 450", "RCPT carol@* 451", "RCPT 550 5.0.0 third"}, []string{"bob@example.net"}, "550 5.0.0 third", 0},
		{[]string{"RCPT greylist=1h 451 4.7.1 later"}, []string{"bob@example.net"}, "451 4.7.1 later", 0},
		{[]string{"RCPT greylist=1ns 451 4.7.1 later", "MAIL 550 5.0.0 second"}, []string{"bob@example.net"}, "550 5.0.0 second", 0},
	} {
		if _, err := r.Store.DeleteAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.setFaults(c.rules...)
		if got := r.try(c.to...); got != c.want {
			t.Errorf("%q to %q: %q, want %q", c.rules, c.to, got, c.want)
		}
		if s, err := r.Store.Stats(t.Context()); err != nil || s.Messages != c.kept {
			t.Errorf("%q to %q: %d messages are kept (%v), want %d", c.rules, c.to, s.Messages, err, c.kept)
		}
	}
	// The limit lets the first pass, the greylist the one that comes again.
	r.setFaults("RCPT limit=1/1h 450 4.7.1 not so fast")
	if one, two := r.try("bob@example.net"), r.try("bob@example.net"); one != "kept" || two != "450 4.7.1 not so fast" {
		t.Errorf("with a limit of one: %q, then %q", one, two)
	}
	r.setFaults("RCPT greylist=1ns 451 4.7.1 later")
	if one, two := r.try("bob@example.net"), r.try("bob@example.net"); one != "451 4.7.1 later" || two != "kept" {
		t.Errorf("greylisted: %q, then %q", one, two)
	}
}

// A rule for DATA is one for the message, in however many chunks it comes; one for BDAT is
// one for each.
func TestFaultsOfChunks(t *testing.T) {
	r := start(t, nil)
	send := func() (codes string) {
		c, err := net.Dial("tcp", r.smtp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "EHLO x\r\n"+strings.Repeat("MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\nBDAT 14\r\nSubject: x\r\n\r\nBDAT 3\r\nx\r\nBDAT 0 LAST\r\nRSET\r\n", 2)+"QUIT\r\n")
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		_, said, _ := strings.Cut(string(b), "\r\n250 ")
		for line := range strings.Lines(said) {
			if strings.Contains(line, "octets received") || strings.Contains(line, "queued") || strings.Contains(line, "busy") {
				codes += line[:3] + " "
			}
		}
		return codes
	}
	for rule, want := range map[string]string{
		"DATA limit=1/1h 450 busy": "250 250 250 450 ", "BDAT limit=4/1h 450 busy": "250 250 250 250 450 ", "DATA 450 busy": "450 450 ",
	} {
		r.setFaults(rule)
		if got := send(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s first", rule, got, want)
		}
	}
}

// A greylist knows a client, sender and recipient once it has seen the three together,
// however they are written; wherever it stands, another sender is a stranger.
func TestGreylistKnowsSenders(t *testing.T) {
	r := start(t, nil)
	send := func(from string) bool {
		_, err := r.deliver(smtp.NewEnvelope(from, "bob@example.net"), "Subject: x\r\n\r\n")
		return err == nil
	}
	for _, verb := range []string{"MAIL", "RCPT", "DATA", "END"} {
		r.setFaults(verb + " greylist=1ns 451 4.7.1 later")
		var got []bool
		for _, from := range []string{"ann@example.com", "ANN@example.com", "eve@example.com", "eve@example.com", ""} {
			got = append(got, send(from))
		}
		if want := []bool{false, true, false, true, false}; !slices.Equal(got, want) {
			t.Errorf("%s: kept %v, want %v", verb, got, want)
		}
	}
}

// A server that does not greet, refuses to, or breaks off.
func TestFaultsAtConnect(t *testing.T) {
	r := start(t, nil)
	dial := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := (&smtp.Dialer{Hostname: "client.example.com"}).Dial(ctx, r.smtp)
		if err == nil {
			c.Close()
		}
		return err
	}
	r.setFaults("CONNECT 127.0.0.1 554 5.7.1 not you")
	if e, ok := errors.AsType[*smtp.Error](dial()); !ok || e.Code != 554 {
		t.Errorf("dial: %v, want 554", e)
	}
	for _, rule := range []string{"CONNECT disconnect", "EHLO client.* disconnect"} {
		r.setFaults(rule)
		if err := dial(); err == nil || !errors.Is(err, smtp.ErrTemporary) {
			t.Errorf("%s: dial: %v, want a broken connection", rule, err)
		}
	}
	r.setFaults()
	if err := dial(); err != nil {
		t.Errorf("switched off: %v", err)
	}
}

// As JSON: what is put comes back, and can be put again; wrong rules change nothing.
func TestFaultsJSON(t *testing.T) {
	r := start(t, nil)
	type faults struct {
		Faults []map[string]any
	}
	if f := want[faults](r, 200, "GET", api+"faults", ""); len(f.Faults) != 0 {
		t.Errorf("at first: %v", f)
	}
	f := want[faults](r, 200, "PUT", api+"faults", `{"faults":[{"verb":"rcpt","pattern":"*@a","probability":0.5,"delay":"2s","code":451,"enhanced":"4.1.1","text":"x"},{"rule":"END disconnect"}]}`)
	if len(f.Faults) != 2 || f.Faults[0]["rule"] != "RCPT *@a 50% delay=2s 451 4.1.1 x" || f.Faults[1]["disconnect"] != true {
		t.Errorf("set: %v", f)
	}
	if first, second := f.Faults[0], f.Faults[1]; first["delay"] != "2s" || first["per"] != nil || second["delay"] != nil || len(second) != 3 {
		t.Errorf("in pieces they are %v and %v", first, second)
	}
	got := r.ask("GET", api+"faults", "").body
	if again := r.ask("PUT", api+"faults", got); again.StatusCode != 200 || again.body != got {
		t.Errorf("put back: %s %s, want %s", again.Status, again.body, got)
	}
	for _, bad := range []string{
		"", "{}", `{"faults":[{}]}`, `{"faults":[{"verb":"X","code":450}]}`, `{"faults":[{"rule":"END 550","code":450}]}`, `{"faults":[{"verb":"END","delay":"5"}]}`,
		`{"faults":[{"verb":"END","probability":2,"code":450}]}`, `{"fault":[]}`, `{"faults":[` + strings.Repeat(`{"rule":"END 550"},`, 200) + `{"rule":"END 550"}]}`,
	} {
		want[failure](r, 400, "PUT", api+"faults", bad)
	}
	if now := r.ask("GET", api+"faults", "").body; now != got {
		t.Errorf("after refusals: %s, want %s", now, got)
	}
	if f := want[faults](r, 200, "PUT", api+"faults", `{"faults":[]}`); len(f.Faults) != 0 {
		t.Errorf("off: %v", f)
	}
	if a := r.ask("POST", api+"faults", "{}"); a.StatusCode != 404 && a.StatusCode != 405 {
		t.Errorf("POST: %s", a.Status)
	}
}

// The session is kept with what it brought: from the greeting on, without secrets,
// without the message, and without other transactions.
func TestSession(t *testing.T) {
	r := start(t, nil)
	d := smtp.Dialer{Hostname: "client.example.com", Auth: sasl.Password("ann", "hunter2-hunter2")}
	c, err := d.Dial(t.Context(), r.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func(to string) string {
		env := smtp.NewEnvelope("ann@example.com", to)
		results, err := c.Send(t.Context(), env, strings.NewReader("Subject: secret text\r\n\r\n.\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return results[0].ID
	}
	first, second := send("one@example.net"), send("two@example.net")
	type session struct {
		ID, Protocol, TLS, Started string
		Extensions                 []string
		Lines                      []struct {
			After      float64
			From, Text string
		}
	}
	s := want[session](r, 200, "GET", api+"messages/"+second+"/session", "")
	var all []string
	for _, l := range s.Lines {
		all = append(all, l.From+": "+l.Text)
	}
	text := strings.Join(all, "\n")
	for _, part := range []string{"server: 220 mx.example.com", "client: EHLO client.example.com", "client: AUTH PLAIN ***", "server: 235", "client: MAIL FROM:<ann@example.com>", "client: RCPT TO:<two@example.net>"} {
		if !strings.Contains(text, part) {
			t.Errorf("the session lacks %q:\n%s", part, text)
		}
	}
	for _, part := range []string{"hunter2", "aHVudGVy", "secret text", "one@example.net"} {
		if strings.Contains(text, part) {
			t.Errorf("the session has %q:\n%s", part, text)
		}
	}
	if s.Protocol != "ESMTPA" || s.TLS != "" || len(s.ID) != 13 || !strings.Contains(strings.Join(s.Extensions, " "), "AUTH CHUNKING") {
		t.Errorf("the session is %+v", s)
	}
	if one := want[session](r, 200, "GET", api+"messages/"+first+"/session", ""); one.ID != s.ID {
		t.Errorf("sessions %s and %s of one connection", one.ID, s.ID)
	}
	// What did not come in a session has none.
	a := want[struct{ ID string }](r, 201, "POST", api+"messages", "Subject: x\r\n\r\n", "Content-Type", "message/rfc822")
	want[failure](r, 404, "GET", api+"messages/"+a.ID+"/session", "")
}

// However much a client says, what is kept of it is bounded.
func TestSessionBounded(t *testing.T) {
	r := start(t, nil)
	env := smtp.NewEnvelope("ann@example.com")
	for i := range 900 {
		env.To = append(env.To, smtp.Recipient{Address: fmt.Sprintf("%s%d@example.net", strings.Repeat("x", 40), i)})
	}
	id, err := r.deliver(env, "Subject: x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Store.Entry(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Session) > 30_000 || !strings.Contains(e.Session, "lines more)") {
		t.Errorf("%d octets of the session are kept, ending in %q", len(e.Session), e.Session[max(0, len(e.Session)-60):])
	}
}

// Sessions come back as they were written.
func FuzzParseSession(f *testing.F) {
	f.Add("abc\tESMTP\t\t5\n>10 EHLO x\n<20 250 ok")
	f.Add("abc")
	f.Add("a\tb\tc\tx\n>")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := inbox.ParseSession(text)
		if err == nil && s == nil {
			t.Error("no session and no error")
		}
		if err == nil {
			s.Extensions()
		}
	})
}
