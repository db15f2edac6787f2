package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postrider/postrider/smtp"
)

// load: as much mail as a server takes, from fixed octets over connections that the
// library has opened. What sends is no client of the library's, so that a server is
// measured and not the client; replies are looked at for their first digit alone.

// loadOptions are the flags of load.
type loadOptions struct {
	server  string
	connect connectOptions
	// One counter and one clock: which of the two ends a run is decided once, in load.
	messages  int64
	duration  time.Duration
	sessions  int
	size      int
	mode      string
	window    int
	reconnect bool
	json      bool
}

func (o *loadOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.server, "server", "127.0.0.1:2526", "`URL` of the server, or HOST[:PORT]")
	f.Int64Var(&o.messages, "messages", 10_000, "how many to send in all")
	f.DurationVar(&o.duration, "duration", 0, "how long to send, as 10s, in place of --messages")
	f.IntVar(&o.sessions, "sessions", 10, "how many connections at a time")
	f.IntVar(&o.size, "size", 1024, "octets of a message")
	f.StringVar(&o.mode, "mode", "pipeline", "`MODE`: step, pipeline, bdat or stream")
	f.IntVar(&o.window, "window", 16, "messages under way on a connection, with --mode stream")
	f.BoolVar(&o.reconnect, "reconnect", false, "a connection for each message")
	// What is measured by default is the server, and not its cryptography.
	o.connect.flags(f)
	o.connect.tls = "none"
	f.Lookup("tls").DefValue = "none"
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
}

// newLoad builds the command.
func newLoad(s streams) *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Send as many messages as a server takes, and measure",
		Long: `Sends messages of one size over several connections and prints how many a second were
accepted, and how long each kind of reply took. For servers of your own: what it
sends is nothing that anybody wants to read.

step waits for every reply. pipeline sends the next envelope behind a message, so
that a message costs one wait (RFC 2920). bdat sends envelope and message together
(RFC 3030). stream is bdat with several messages under way.

It speaks in clear unless --tls or smtps:// says otherwise.

The exit code is 0 if all were accepted, 69 if the server refused one, 75 if a
connection failed or it was interrupted, 76 if the server said what is no reply.`,
		Example: `  postrider sink &
  postrider load --messages 100000 --mode stream
  postrider load --server 127.0.0.1:25 --size 100000 --sessions 50 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return load(cmd.Context(), o, s)
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// A loadRun is what the sessions share. Messages are taken from one counter, so that
// a slow session does not keep the others waiting for its share.
type loadRun struct {
	loadOptions
	taken, accepted atomic.Int64
	over            atomic.Bool // the time of --duration is
	template        loadTemplate
	progress        func(int64)
	addr            string
	dialer          smtp.Dialer // copied for each session
}

// next takes a message; false if there are none left.
func (r *loadRun) next() bool { return !r.over.Load() && r.taken.Add(1) <= r.messages }

// load carries out one run of the command.
func load(ctx context.Context, o loadOptions, s streams) error {
	switch {
	case loadModes[o.mode] == nil:
		return flagf(exitUsage, "mode", " %q: it is step, pipeline, bdat or stream", o.mode)
	case o.duration < 0:
		return flagf(exitUsage, "duration", " %s: it is a time as 10s", o.duration)
	// 200 octets are the fields of the message; below that it would not be one.
	case o.messages < 1 || o.sessions < 1 || o.window < 1 || o.size < 200:
		return usagef("--messages, --sessions and --window are at least 1, --size is at least 200")
	}
	// One of the two ends the run; which, the counter need not know.
	if o.duration > 0 {
		o.messages = math.MaxInt64
	}
	// The URL says that there is TLS, and the default of --tls was nobody's word.
	if strings.HasPrefix(o.server, "smtps:") && o.connect.tls == "none" {
		o.connect.tls = "auto"
	}
	t, err := o.connect.transport(o.server, s)
	if err != nil {
		return err
	}
	// The Transport is not used: its pool and its retries would be what is measured.
	r := &loadRun{loadOptions: o, template: newTemplate(o.size, o.window), addr: t.Addr, dialer: *t.Dialer}
	r.dialer.Hostname = loadName
	total := o.messages
	if o.duration > 0 {
		total = 0 // how many it will be nobody knows
	}
	// The bar is drawn ten times a second by somebody else: what is counted here costs
	// an atomic store.
	var done func(error)
	r.progress, done = showing(s, "messages", total, 0, progress.UnitsDefault)
	// Taken before anything is printed: the bar must be gone from the terminal.
	result, err := r.run(ctx)
	done(err)
	if ctx.Err() != nil {
		err = exitf(exitTempFail, "%w", err) // what was sent until then is told all the same
	}
	err = o.connect.explain(err)
	if o.json {
		if printErr := printJSON(s.out, result); printErr != nil {
			return exitf(exitIO, "%w", printErr)
		}
		return err
	}
	// A table of nothing would hide the one line that says why.
	if result.Accepted == 0 {
		return err // there is nothing to tell but that
	}
	if printErr := result.print(s.out); printErr != nil {
		return exitf(exitIO, "%w", printErr)
	}
	return err
}

// run has the sessions at work until all is sent, or one of them fails.
func (r *loadRun) run(ctx context.Context) (*loadResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	// Each session counts by itself. One table for all would measure its lock.
	all := make([]*latencies, r.sessions)
	begun := time.Now()
	if r.duration > 0 {
		// What is under way then is awaited: its replies count, and so does the time that they take.
		end := time.AfterFunc(r.duration, func() { r.over.Store(true) })
		defer end.Stop()
	}
	for i := range all {
		all[i] = newLatencies()
		workers.Go(func() {
			// The first that fails ends all: a rate of those that are left would be no figure of the server's.
			if err := r.work(ctx, all[i]); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return r.result(time.Since(begun), all), context.Cause(ctx)
}

// work sends over one connection after another, or over one.
func (r *loadRun) work(ctx context.Context, l *latencies) error {
	var s *loadSession
	for r.next() {
		var err error
		// Whatever has to be agreed upon anew with each connection is the library's to say.
		if s == nil || r.dialer.TLS != smtp.TLSNone || r.dialer.Auth != nil || r.dialer.LMTP || r.dialer.Trace != nil {
			s, err = r.open(ctx, l)
		} else {
			err = s.renew(ctx)
		}
		if err != nil {
			return err
		}
		// Closing ends every wait of the session.
		stop := context.AfterFunc(ctx, func() { s.conn.Close() })
		err = loadModes[r.mode](s)
		if err == nil {
			err = s.close()
		}
		stop()
		s.conn.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// A loadTemplate is what is sent, made once: the generator must cost less than any
// server, or it would be what is measured. Everybody's message is the same.
type loadTemplate struct {
	body     []byte // stuffing is not needed
	dotted   []byte // with its end
	envelope []byte // MAIL, RCPT and DATA
	both     []byte // the message's end and the next one's envelope
	chunk    []byte // MAIL, RCPT, BDAT and the message
	chunks   []byte // as many of these as there may be under way
}

const (
	loadMail = "MAIL FROM:<sender@example.com>\r\n"
	loadRcpt = "RCPT TO:<recipient@example.net>\r\n"
)

// newTemplate makes a message of size octets, in lines of 78.
func newTemplate(size, window int) loadTemplate {
	var b bytes.Buffer
	b.WriteString("From: <sender@example.com>\r\nTo: <recipient@example.net>\r\nSubject: postrider load\r\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <load@example.com>\r\n\r\n")
	// Plain lines that no filter changes: no dots to be stuffed, no octet beyond ASCII, none longer than RFC 5322, 2.1.1
	// recommends.
	line := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 3)[:76]
	for rest := size - b.Len(); rest > 0; rest = size - b.Len() {
		b.WriteString(line[:max(0, min(rest-2, len(line)))] + "\r\n")
	}
	t := loadTemplate{body: b.Bytes()}
	t.dotted = append(bytes.Clone(t.body), ".\r\n"...)
	t.envelope = []byte(loadMail + loadRcpt + "DATA\r\n")
	// Behind a message's end stands the next envelope, in one write, as RFC 2920 permits: DATA alone has to be waited for.
	t.both = append(bytes.Clone(t.dotted), t.envelope...)
	t.chunk = append(fmt.Appendf(nil, "%s%sBDAT %d LAST\r\n", loadMail, loadRcpt, len(t.body)), t.body...)
	// A window is written as one piece of this, so that nothing is put together while the clock runs.
	t.chunks = bytes.Repeat(t.chunk, window)
	return t
}
