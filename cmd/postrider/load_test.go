package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// load and sink, held against each other and against faults.

// sinking runs postrider sink until the test ends, in a process of its own.
func sinking(t *testing.T, args ...string) (addr string, p *peers.Process) {
	t.Helper()
	p = peers.Start(t, command(t, append([]string{"sink", "--listen", "127.0.0.1:0"}, args...)...))
	return strings.TrimSuffix(p.Line("Takes mail on smtp://"), " and forgets it. Ctrl-C ends it."), p
}

func TestLoad(t *testing.T) {
	addr, p := sinking(t)
	total := 0
	for _, c := range []struct {
		args []string
		want []string // kinds of replies
	}{
		{[]string{"--mode", "step"}, []string{"DATA", "EHLO", "MAIL", "QUIT", "RCPT", "connect", "message"}},
		{[]string{"--mode", "pipeline"}, []string{"DATA", "EHLO", "MAIL", "QUIT", "RCPT", "connect", "message"}},
		{[]string{"--mode", "bdat", "--size", "100000"}, []string{"EHLO", "MAIL", "QUIT", "RCPT", "connect", "message"}},
		{[]string{"--mode", "stream", "--window", "7"}, []string{"EHLO", "MAIL", "QUIT", "RCPT", "connect", "message"}},
		{[]string{"--mode", "stream", "--window", "1"}, []string{"EHLO", "MAIL", "QUIT", "RCPT", "connect", "message"}},
		{[]string{"--mode", "pipeline", "--reconnect"}, []string{"DATA", "EHLO", "MAIL", "QUIT", "RCPT", "connect", "message"}},
	} {
		code, out, errs := ran(t, append([]string{"load", "--server", addr, "--messages", "53", "--sessions", "3", "--json"}, c.args...)...)
		var r loadResult
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r.Accepted != 53 || r.Rate <= 0 {
			t.Fatalf("%q: got %d, %v\n%s%s", c.args, code, err, out, errs)
		}
		total += 53
		var kinds []string
		for what, l := range r.Latencies {
			kinds = append(kinds, what)
			if l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.Max {
				t.Errorf("%q: %s: the latencies are %+v", c.args, what, l)
			}
		}
		if slices.Sort(kinds); !slices.Equal(kinds, c.want) || r.Latencies["message"].Count != 53 {
			t.Errorf("%q: got replies of %q, want %q; %+v", c.args, kinds, c.want, r.Latencies)
		}
	}
	code, out, errs := ran(t, "load", "--server", addr, "--duration", "200ms", "--sessions", "2", "--json")
	var timed loadResult
	if err := json.Unmarshal([]byte(out), &timed); err != nil || code != 0 || timed.Accepted < 1 || timed.Seconds < 0.2 || timed.Latencies["message"].Count != timed.Accepted {
		t.Errorf("--duration: got %d, %v\n%s%s", code, err, out, errs)
	}
	total += int(timed.Accepted)
	code, out, errs = ran(t, "load", "--server", "smtp://"+addr, "--messages", "2", "--sessions", "1")
	if code != 0 || !strings.HasPrefix(out, "2 messages of 1.0 kB in ") || !strings.Contains(out, "\nmessage ") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
	if err := p.Stop(); err != nil || !strings.Contains(p.Output(), fmt.Sprintf("\n%d messages, ", total+2)) {
		t.Errorf("the sink: got %v\n%s", err, p.Output())
	}
}

// Who interrupts it does not wait for a server that does not greet.
func TestLoadIsInterrupted(t *testing.T) {
	var sessions atomic.Int32
	silent := make(chan bool)
	addr := servedBy(t, &smtp.Server{
		OnConnect: func(ctx context.Context, _ *smtp.Conn) error {
			if sessions.Add(1) == 2 {
				close(silent)
				<-ctx.Done()
			}
			return nil
		},
		Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
			_, err := io.Copy(io.Discard, r)
			return "", err
		}},
	}, smtp.Policy{})
	ctx, cancel := context.WithCancel(t.Context())
	cmd := newLoad(streams{out: io.Discard, err: io.Discard})
	cmd.SetArgs([]string{"--server", addr, "--messages", "2", "--sessions", "1", "--reconnect"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	<-silent
	began := time.Now()
	cancel()
	if err := <-ended; exitCode(err) != exitTempFail || time.Since(began) > loadPatience/2 {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// The library opens what load sends over: in TLS either way, authenticated, and each step is counted.
func TestLoadSecurely(t *testing.T) {
	cert, key, _ := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := func() *smtp.Server {
		return &smtp.Server{
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
			Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
				_, err := io.Copy(io.Discard, r)
				return "", err
			}},
			OnAuth: func(_ context.Context, _ *smtp.Conn, user, password string) error {
				if user != "ann" || password != "secret" {
					return smtp.Errorf(535, "5.7.8", "no")
				}
				return nil
			},
		}
	}
	password := file(t, "password", "secret")
	starttls := servedBy(t, server(), smtp.Policy{RequireTLS: true, RequireAuth: true})
	implicit := servedBy(t, server(), smtp.Policy{ImplicitTLS: true, RequireAuth: true})
	for _, c := range []struct {
		args []string
		want []string // kinds of replies besides those to messages
	}{
		{[]string{"--server", starttls, "--tls", "starttls", "--ca-file", cert}, []string{"AUTH", "EHLO", "QUIT", "STARTTLS", "connect"}},
		{[]string{"--server", starttls, "--tls", "auto", "--auth", "LOGIN"}, []string{"AUTH", "EHLO", "QUIT", "STARTTLS", "connect"}},
		{[]string{"--server", "smtps://" + implicit, "--ca-file", cert}, []string{"AUTH", "EHLO", "QUIT", "connect"}},
	} {
		code, out, errs := ran(t, append([]string{"load", "--user", "ann", "--password-file", password, "--messages", "7", "--sessions", "2", "--mode", "bdat", "--json"}, c.args...)...)
		var r loadResult
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r.Accepted != 7 {
			t.Errorf("%q: got %d, %v\n%s%s", c.args, code, err, out, errs)
			continue
		}
		kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(r.Latencies)), func(what string) bool { return what == "MAIL" || what == "RCPT" || what == "message" })
		if !slices.Equal(kinds, c.want) {
			t.Errorf("%q: got replies to %q, want %q", c.args, kinds, c.want)
		}
	}
	for want, args := range map[string][]string{
		"certificate": {"--server", "smtps://" + implicit},
		"STARTTLS":    {"--server", starttls}, // in clear, which it does not take
	} {
		if code, out, errs := ran(t, append([]string{"load", "--messages", "1"}, args...)...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%q: got %d, want a failure about %q\n%s%s", args, code, want, out, errs)
		}
	}
}

// What is kept is there when its 250 has come.
func TestSinkDurable(t *testing.T) {
	dir := t.TempDir()
	addr, _ := sinking(t, "--durable", dir)
	code, out, errs := sent(t, "", "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net", "--subject", "kept", "--text", "x")
	files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil || code != 0 || len(files) != 1 || !strings.Contains(out, filepath.Base(files[0])) {
		t.Fatalf("got %d, %q, %v\n%s%s", code, files, err, out, errs)
	}
}

func TestSinkFaults(t *testing.T) {
	for _, c := range []struct {
		faults []string
		code   int
		want   string
	}{
		{[]string{"RCPT=550 5.1.1 nobody"}, exitNoUser, "550 5.1.1 nobody"},
		{[]string{"RCPT=450 4.7.1 greylisted"}, exitTempFail, "450 4.7.1 greylisted"},
		{[]string{"RCPT=450 4.1.1 not yet known"}, exitTempFail, "450 4.1.1"},
		{[]string{"mail=451"}, exitTempFail, "451 4.0.0 a fault that was asked for"},
		{[]string{"END=552 5.3.4 too much"}, exitUnavailable, "too large"},
		{[]string{"END=drop"}, exitProtocol, "do not send it again"},
		{[]string{"EHLO=drop"}, exitTempFail, "hung up"},
		{[]string{"NOOP=550", "MAIL=1ms"}, exitOK, "accepted"},
	} {
		var args []string
		for _, f := range c.faults {
			args = append(args, "--fault", f)
		}
		addr, _ := sinking(t, args...)
		code, out, errs := sent(t, "", "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net", "--text", "x")
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%q: got %d, want %d with %q:\n%s%s", c.faults, code, c.code, c.want, out, errs)
		}
	}
	addr, _ := sinking(t, "--fault", "RCPT=450", "--odds", "0")
	if code, _, errs := sent(t, "", "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net", "--text", "x"); code != 0 {
		t.Errorf("--odds 0: got %d: %s", code, errs)
	}
}

// What a load has measured until it is interrupted is told, and that it was.
func TestLoadInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancelCause(t.Context())
	var sent atomic.Int64
	addr := servedBy(t, &smtp.Server{Handler: &smtp.Hooks{OnSender: func(context.Context, *smtp.Conn, string, *smtp.MailOptions) error {
		if sent.Add(1) == 20 {
			interrupt(errors.New("interrupted by hand"))
		}
		return nil
	}, OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
		_, err := io.Copy(io.Discard, r)
		return "", err
	}}}, smtp.Policy{})
	var out, errs strings.Builder
	code := run(ctx, []string{"load", "--server", addr, "--sessions", "1", "--mode", "step", "--messages", "1000000"}, streams{strings.NewReader(""), &out, &errs})
	if code != exitTempFail || !strings.Contains(errs.String(), "interrupted by hand") || !strings.Contains(out.String(), "messages/s") {
		t.Errorf("got %d, want %d with what was measured and why it ended:\n%s%s", code, exitTempFail, out.String(), errs.String())
	}
}

func TestLoadErrors(t *testing.T) {
	addr := servedBy(t, &smtp.Server{Handler: &smtp.Hooks{OnRcpt: func(context.Context, *smtp.Conn, string, *smtp.RcptOptions) error {
		return smtp.Errorf(450, "4.2.0", "busy")
	}}}, smtp.Policy{})
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitTempFail, "RCPT: 450", []string{"load", "--server", addr}},
		{exitTempFail, "nothing listens", []string{"load", "--server", peers.FreeAddr(t)}},
		{exitUnavailable, "TLS or credentials first", []string{"load", "--server", servedBy(t, knowing(), smtp.Policy{RequireAuth: true})}},
		{exitUsage, "--mode", []string{"load", "--mode", "fast"}},
		{exitUsage, "at least", []string{"load", "--messages", "0"}},
		{exitUsage, "are for servers", []string{"load", "--server", "maildir:x"}},
		{exitUsage, "VERB=WHAT", []string{"sink", "--fault", "RCPT"}},
		{exitUsage, "no delay", []string{"sink", "--fault", "RCPT=300"}},
		{exitUsage, "--odds", []string{"sink", "--odds", "2"}},
		{exitUsage, "--odds", []string{"sink", "--odds", "NaN"}},
		{exitUsage, "go together", []string{"sink", "--tls-cert", "x"}},
		{exitUnavailable, "is in use by another program: give another address\n", []string{"sink", "--listen", addr}},
		{exitUsage, "HOST:PORT", []string{"sink", "--listen", "2526"}},
		{exitCannotWrite, "--durable", []string{"sink", "--durable", file(t, "f", "") + "/d"}},
	} {
		code, out, errs := ran(t, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%q: got %d, want %d with %q:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

// Steps are a sixteenth wide, and in order.
func TestLatencies(t *testing.T) {
	for d := time.Duration(16); d < time.Hour; d += d/3 + 1 {
		step := stepOf(d)
		if low, high := below(step), below(step+1); d < low || d >= high || float64(high) > float64(low)*1.07+1 {
			t.Errorf("%d is in step %d, from %d to %d", d, step, low, high)
		}
	}
	l := newLatencies()
	for i := range 1000 {
		l.add("x", time.Duration(i+1)*time.Millisecond)
	}
	h := l.counts["x"]
	for part, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.at(part); got < want || got > want+want/15 {
			t.Errorf("at %v: got %v, want about %v", part, got, want)
		}
	}
}

// A message is of the size that was asked for, and needs no stuffing.
func TestLoadTemplate(t *testing.T) {
	for _, size := range []int{200, 777, 1024, 100_000} {
		m := newTemplate(size, 3)
		if n := len(m.body); n < size || n > size+1 || bytes.Contains(m.body, []byte("\n.")) || !bytes.HasSuffix(m.body, []byte("\r\n")) || len(m.chunks) != 3*len(m.chunk) {
			t.Errorf("%d: got %d octets", size, n)
		}
	}
}
