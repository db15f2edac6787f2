package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
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
	code, out, errs := ran(t, "load", "--server", "smtp://"+addr, "--messages", "2", "--sessions", "1")
	if code != 0 || !strings.HasPrefix(out, "2 messages of 1.0 kB in ") || !strings.Contains(out, "\nmessage ") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
	if err := p.Stop(); err != nil || !strings.Contains(p.Output(), fmt.Sprintf("\n%d messages, ", total+2)) {
		t.Errorf("the sink: got %v\n%s", err, p.Output())
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
		{exitUsage, "--mode", []string{"load", "--mode", "fast"}},
		{exitUsage, "at least", []string{"load", "--messages", "0"}},
		{exitUsage, "HOST:PORT", []string{"load", "--server", "x"}},
		{exitUsage, "VERB=WHAT", []string{"sink", "--fault", "RCPT"}},
		{exitUsage, "no delay", []string{"sink", "--fault", "RCPT=300"}},
		{exitUsage, "--odds", []string{"sink", "--odds", "2"}},
		{exitUsage, "go together", []string{"sink", "--tls-cert", "x"}},
		{exitUnavailable, "in use", []string{"sink", "--listen", addr}},
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
