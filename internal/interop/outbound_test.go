package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// Our client delivers to other people's servers.

// testTime bounds what a test waits for a server. It is spent only where something is broken.
const testTime = 2 * time.Minute

// dialer returns a Dialer that believes id alone, or speaks in clear if there is none.
func dialer(id *identity) *smtp.Dialer {
	if id == nil {
		return &smtp.Dialer{Hostname: "client.example.com", TLS: smtp.TLSNone}
	}
	return &smtp.Dialer{Hostname: "client.example.com", TLS: smtp.TLSStartTLS, TLSConfig: id.client()}
}

// eachServer runs f against each server, in clear and with STARTTLS where the server has it.
func eachServer(t *testing.T, f func(t *testing.T, s server, id *identity)) {
	id := newIdentity(t)
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, s.peer)
			f(t, s, nil)
		})
		if s.tls {
			t.Run(s.name+" with STARTTLS", func(t *testing.T) {
				t.Parallel()
				peers.Find(t, s.peer)
				f(t, s, &id)
			})
		}
	}
}

// sendAll sends every sample to both recipients over s and returns them as they must arrive.
func sendAll(t *testing.T, s smtp.Sender) []sample {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	list := samples()
	for i, m := range list {
		env := smtp.NewEnvelope(sender, one, two)
		env.Options.Body = smtp.Body8BitMIME
		results, err := s.Send(ctx, env, bytes.NewBuffer(m.raw))
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		if len(results) != 2 || results[0].Rcpt != one || results[1].Rcpt != two {
			t.Fatalf("%s: got results %+v, want those of %s and %s", m.name, results, one, two)
		}
		for _, r := range results {
			if r.Reply.Code != 250 || r.Err != nil {
				t.Errorf("%s: %s: got %v and %v, want 250", m.name, r.Rcpt, r.Reply, r.Err)
			}
		}
		list[i].raw = ended(m.raw)
	}
	return list
}

func TestClientDelivers(t *testing.T) {
	eachServer(t, func(t *testing.T, s server, id *identity) {
		srv := s.start(t, id)
		c, err := dialer(id).Dial(t.Context(), srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if (c.TLS() != nil) != (id != nil) {
			t.Errorf("TLS: got %v, want it only if there is a certificate", c.TLS())
		}
		sent := sendAll(t, c)
		if r, err := c.Quit(t.Context()); err != nil || r.Code != 221 {
			t.Errorf("QUIT: got %v and %v, want 221", r, err)
		}
		compare(t, srv.arrived(len(sent)), sent)
	})
}

// endings are what some server takes, or has taken, for the end of a message (CVE-2023-51764, -51765, -51766).
var endings = []string{
	"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
	"\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\r\n.\r\n", "\r\n.\r\n", "\n.\n.\r\n.\n",
}

// TestNothingIsSmuggled sends messages with each of them, and commands behind it, by DATA and by chunks. One message arrives
// for each that was sent, with the commands in it as text, whatever the server believes to be an end.
func TestNothingIsSmuggled(t *testing.T) {
	lineEnd := regexp.MustCompile("\r\n|\r|\n")
	eachServer(t, func(t *testing.T, s server, id *identity) {
		srv := s.start(t, id)
		var sent []sample
		for _, without := range [][]string{nil, {"CHUNKING"}} {
			d := dialer(id)
			d.Without = without
			c, err := d.Dial(t.Context(), srv.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for i, end := range endings {
				name := fmt.Sprintf("%d without %v", i, without)
				raw := fmt.Sprintf("From: Sender <%s>\r\nTo: %s\r\nSubject: %s\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <a@example.com>\r\n\r\nbefore%sMAIL FROM:<eve@example.com>\r\nRCPT TO:<%s>\r\nDATA\r\n"+
					"Subject: smuggled\r\n\r\nx%[4]s.\r\n", sender, one, name, end, two)
				if _, err := c.Send(t.Context(), smtp.NewEnvelope(sender, one, two), strings.NewReader(raw)); err != nil {
					t.Fatalf("%q: %v", end, err)
				}
				sent = append(sent, sample{name, []byte(lineEnd.ReplaceAllString(raw, "\r\n"))})
			}
		}
		compare(t, srv.arrived(len(sent)), sent)
	})
}

// TestTransportDelivers sends all samples at once over a pool of three connections.
func TestTransportDelivers(t *testing.T) {
	eachServer(t, func(t *testing.T, s server, id *identity) {
		srv := s.start(t, id)
		pool := &smtp.Transport{Addr: srv.addr, Dialer: dialer(id), MaxConns: 3}
		defer pool.Close()
		ctx, cancel := context.WithTimeout(t.Context(), testTime)
		defer cancel()
		list := samples()
		var sends sync.WaitGroup
		for i, m := range list {
			list[i].raw = ended(m.raw)
			sends.Go(func() {
				env := smtp.NewEnvelope(sender, one, two)
				env.Options.Body = smtp.Body8BitMIME
				if _, err := pool.Send(ctx, env, bytes.NewReader(m.raw)); err != nil {
					t.Errorf("%s: %v", m.name, err)
				}
			})
		}
		sends.Wait()
		if !t.Failed() {
			compare(t, srv.arrived(len(list)), list)
		}
	})
}

// TestRefusedRecipients sends to two who exist, between one who does not and one who is busy. The two get the message
// once, and the results say what became of each.
func TestRefusedRecipients(t *testing.T) {
	eachServer(t, func(t *testing.T, s server, id *identity) {
		if !s.refuses {
			return
		}
		srv := s.start(t, id)
		c, err := dialer(id).Dial(t.Context(), srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		plain := samples()[0]
		results, err := c.Send(t.Context(), smtp.NewEnvelope(sender, nobody, one, busy, two), bytes.NewReader(plain.raw))

		failure, ok := errors.AsType[*smtp.SendError](err)
		if !ok || len(results) != 4 || len(failure.Results) != 4 {
			t.Fatalf("got %d results and error %v, want 4 and a *smtp.SendError with as many", len(results), err)
		}
		// A naive retry would deliver twice, so as a whole this is not temporary.
		if errors.Is(err, smtp.ErrTemporary) {
			t.Errorf("%v: is ErrTemporary although two have got the message", err)
		}
		for i, want := range []struct {
			rcpt  string
			code  int
			class error
		}{{nobody, 550, smtp.ErrPermanent}, {one, 250, nil}, {busy, 450, smtp.ErrTemporary}, {two, 250, nil}} {
			r := results[i]
			if r.Rcpt != want.rcpt || r.Reply.Code != want.code || !errors.Is(r.Err, want.class) {
				t.Errorf("result %d: got %+v, want %s, %d and %v", i, r, want.rcpt, want.code, want.class)
			}
		}
		again := smtp.Remaining(smtp.NewEnvelope(sender, nobody, one, busy, two), results)
		if again == nil || len(again.To) != 1 || again.To[0].Address != busy {
			t.Errorf("Remaining: got %+v, want %s alone", again, busy)
		}
		compare(t, srv.arrived(1), []sample{plain})
	})
}

// TestAllRefused sends to nobody alone: there is no message, and the same connection takes the next one.
func TestAllRefused(t *testing.T) {
	eachServer(t, func(t *testing.T, s server, id *identity) {
		if !s.refuses {
			return
		}
		srv := s.start(t, id)
		c, err := dialer(id).Dial(t.Context(), srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		plain := samples()[0]
		_, err = c.Send(t.Context(), smtp.NewEnvelope(sender, nobody), bytes.NewReader(plain.raw))
		if !errors.Is(err, smtp.ErrPermanent) {
			t.Errorf("to nobody: got %v, want ErrPermanent", err)
		}
		_, err = c.Send(t.Context(), smtp.NewEnvelope(sender, busy), bytes.NewReader(plain.raw))
		if !errors.Is(err, smtp.ErrTemporary) {
			t.Errorf("to busy: got %v, want ErrTemporary", err)
		}
		if _, err = c.Send(t.Context(), smtp.NewEnvelope(sender, one, two), bytes.NewReader(plain.raw)); err != nil {
			t.Fatalf("after the refusals: %v", err)
		}
		compare(t, srv.arrived(1), []sample{plain})
	})
}
