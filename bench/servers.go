package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Servers that throw away what they receive: the cost of the protocol alone.

const conns = 20

// starter starts a server.
type starter struct {
	name  string
	start func() (*process, error)
}

var goSMTPServer = starter{"go-smtp", func() (*process, error) { return startRole("go-smtp server") }}

// sink returns our server as its users have it, every check on, which forgets what it receives.
func (e effort) sink() starter {
	return starter{"postrider sink", func() (*process, error) {
		return startTelling(exec.Command(e.postrider, "sink", "--listen", "127.0.0.1:0"), "smtp://")
	}}
}

// smtpSink returns Postfix's smtp-sink, if it is installed.
func smtpSink() (starter, bool) {
	path, ok := program("smtp-sink")
	return starter{"smtp-sink", func() (*process, error) {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		args := []string{addr, "1024"}
		if os.Geteuid() == 0 {
			// It wants to be told whom to become instead.
			args = append([]string{"-u", "nobody"}, args...)
		}
		return startAt(exec.Command(path, args...), addr)
	}}, ok
}

// loaded returns the contender that serves l.
func (s starter) loaded(l load) contender {
	return contender{s.name, func() (figure, error) {
		p, err := s.start()
		if err != nil {
			return figure{}, err
		}
		defer p.stop()
		return p.under(l)
	}}
}

// under loads the server p and returns its rate and its CPU time a message.
func (p *process) under(l load) (figure, error) {
	l.addr = p.addr
	before := p.cpu()
	accepted, rate, err := l.run()
	if err != nil {
		return figure{}, err
	}
	return figure{rate, float64((p.cpu() - before).Microseconds()) / float64(accepted)}, nil
}

func measureServers(e effort) (table, error) {
	var t table
	sink, haveSink := smtpSink()
	for _, m := range []struct {
		what, mode           string
		each                 bool
		size                 int
		overGoSMTP, overSink float64
	}{
		{"1 KB, pipelined", "pipeline", false, 1 << 10, 2.5, 1.2},
		{"1 KB, step by step", "step", false, 1 << 10, 0, 0},
		{"1 KB, a session each", "step", true, 1 << 10, 0, 0},
		{"100 KB, DATA, persistent", "pipeline", false, 100 << 10, 3, 0},
		{"1 KB, BDAT streamed", "stream", false, 1 << 10, 2.5, 0},
		{"100 KB, BDAT streamed", "stream", false, 100 << 10, 2.5, 0},
	} {
		l := e.load(m.mode, conns, m.size)
		l.each = m.each
		peers := []peer{{goSMTPServer.loaded(l), m.overGoSMTP, false}}
		if haveSink && m.mode != "stream" { // it has no BDAT
			peers = append(peers, peer{sink.loaded(l), m.overSink, false})
		}
		r, err := duel(e, m.what, "messages/s", e.sink().loaded(l), peers...)
		if err != nil {
			return nil, err
		}
		t = append(t, r)
	}
	return t, nil
}

// measureSource loads the same servers with Postfix's smtp-source, which never pipelines: it shows that ours is not
// worse where the client sets the pace.
func measureSource(e effort) (table, error) {
	path, ok := program("smtp-source")
	if !ok {
		return table{{what: "1 KB", unit: "messages/s", note: "smtp-source is not installed"}}, nil
	}
	var t table
	sink, haveSink := smtpSink()
	for _, m := range []struct {
		what string
		args []string
	}{
		{"1 KB, a session each", nil},
		{"1 KB, persistent", []string{"-d"}},
	} {
		run := func(s starter) contender {
			return contender{s.name, func() (figure, error) {
				p, err := s.start()
				if err != nil {
					return figure{}, err
				}
				defer p.stop()
				return source(p, path, e.time, m.args...)
			}}
		}
		peers := []peer{{run(goSMTPServer), 1, true}}
		if haveSink {
			peers = append(peers, peer{run(sink), 0, false})
		}
		r, err := duel(e, m.what, "messages/s", run(e.sink()), peers...)
		if err != nil {
			return nil, err
		}
		t = append(t, r)
	}
	return t, nil
}

// source runs smtp-source against p for about as long as wanted. It takes a number of messages, so a short run first
// tells how many that is.
func source(p *process, path string, want time.Duration, args ...string) (figure, error) {
	once := func(n int) (time.Duration, error) {
		all := append([]string{"-s", strconv.Itoa(conns), "-l", "1024", "-m", strconv.Itoa(n),
			"-f", "sender@example.com", "-t", "recipient@example.net"}, args...)
		begin := time.Now()
		out, err := exec.Command(path, append(all, p.addr)...).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("smtp-source: %w\n%s", err, out)
		}
		return time.Since(begin), nil
	}
	const trial = 1000
	took, err := once(trial)
	if err != nil {
		return figure{}, err
	}
	n := max(trial, int(float64(trial)*want.Seconds()/took.Seconds()))
	before := p.cpu()
	if took, err = once(n); err != nil {
		return figure{}, err
	}
	used := p.cpu() - before
	return figure{float64(n) / took.Seconds(), float64(used.Microseconds()) / float64(n)}, nil
}
