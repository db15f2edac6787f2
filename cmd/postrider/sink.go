package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postrider/postrider/internal/disk"
	"github.com/postrider/postrider/internal/human"
	"github.com/postrider/postrider/internal/listen"
	"github.com/postrider/postrider/smtp"
)

// sink: a server that takes all mail and forgets it, for measuring and for testing
// clients. It is the library's server with every check on, so that what is measured
// is what others get.

// sinkOptions are the flags of sink.
type sinkOptions struct {
	listen  string
	durable string
	faults  []string
	odds    float64
	lmtp    bool
	cert    string
	key     string
}

func (o *sinkOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	// Beside that of serve, so that both may run: what is measured is often sent through the one to the other.
	f.StringVar(&o.listen, "listen", "127.0.0.1:2526", "`ADDR` to receive mail on")
	f.StringVar(&o.durable, "durable", "", "`DIR` to keep each message in, on the disk before its 250")
	f.StringArrayVar(&o.faults, "fault", nil, "`VERB=WHAT` goes wrong: a reply as 450 or \"550 5.1.1 nobody\", drop, or a delay as 2s; may be repeated")
	f.Float64Var(&o.odds, "odds", 1, "how often a fault happens, from 0 to 1")
	f.BoolVar(&o.lmtp, "lmtp", false, "speak LMTP in place of SMTP")
	f.StringVar(&o.cert, "tls-cert", "", "`FILE` with a certificate chain in PEM, for STARTTLS")
	f.StringVar(&o.key, "tls-key", "", "`FILE` with its private key in PEM")
}

// newSink builds the command.
func newSink(s streams) *cobra.Command {
	var o sinkOptions
	cmd := &cobra.Command{
		Use:   "sink",
		Short: "Take all mail and forget it, with faults if asked for",
		Long: `A server that accepts every message and forgets it, or keeps it as a file (--durable):
something to measure clients against, and to see what they do when things go wrong.
The file of each message is synced by itself before its 250; the sync of the directory
is shared by all sessions that wait for one.

A fault is what happens at a verb: EHLO, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT …, or
END, the end of the message's data. It refuses with a reply, drops the connection
without one, or answers late. It prints how much came in when it is ended by Ctrl-C.`,
		Example: `  postrider sink
  postrider sink --fault "RCPT=450 4.2.0 busy" --fault END=3s
  postrider sink --fault DATA=drop --odds 0.1`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return sink(cmd.Context(), o, s)
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// A sinkFault is what happens at a verb. A delay and a refusal of one verb do not go
// together: two faults of one verb would be two things to explain at once.
type sinkFault struct {
	refusal error // nil: none
	drop    bool
	delay   time.Duration
}

// parseFault reads VERB=WHAT.
func parseFault(text string) (verb string, f sinkFault, err error) {
	// A reply has blanks in it and a verb has none, so that the first = is the one that is meant.
	verb, what, ok := strings.Cut(text, "=")
	verb = strings.ToUpper(verb)
	if !ok || verb == "" {
		return "", f, flagf(exitUsage, "fault", " %q: it is VERB=WHAT, as RCPT=450", text)
	}
	// A number is a reply where it can refuse; 250 would be no fault, and is told below as what it is not.
	code, rest, _ := strings.Cut(what, " ")
	if n, err := strconv.Atoi(code); err == nil && n >= 400 && n < 600 {
		enhanced, words, found := strings.Cut(rest, " ")
		// RFC 3463, 2: the class is the code's first digit; what has another is a word of the text.
		if !found || !strings.HasPrefix(enhanced, code[:1]+".") {
			enhanced, words = "", rest
		}
		if words == "" {
			words = "a fault that was asked for"
		}
		f.refusal = smtp.Errorf(n, smtp.EnhancedCode(enhanced), "%s", words)
		return verb, f, nil
	}
	if what == "drop" {
		f.drop = true
		return verb, f, nil
	}
	if f.delay, err = time.ParseDuration(what); err != nil || f.delay < 0 {
		return "", f, flagf(exitUsage, "fault", " %q: %q is no reply of 400 to 599, not drop, and no delay as 2s", text, what)
	}
	return verb, f, nil
}

// A sinkServer counts what it takes.
type sinkServer struct {
	faults           map[string]sinkFault
	odds             float64
	keep             *keeper // nil: nothing is kept
	messages, octets atomic.Int64
}

// fail makes the fault of a verb happen. A dropped connection gets no reply, because
// there is nobody left to hear it; the client cannot know what became of its command.
func (k *sinkServer) fail(ctx context.Context, c *smtp.Conn, verb string) error {
	// By chance for each command, not for each session: a client that tries again gets on in the end.
	f, ok := k.faults[verb]
	if !ok || rand.Float64() >= k.odds {
		return nil
	}
	// The session ends by that, so that what is returned reaches nobody.
	if f.drop {
		c.Close()
	}
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
		}
	}
	return f.refusal
}

// take is given each message. What is kept is on the disk before the 250.
func (k *sinkServer) take(ctx context.Context, c *smtp.Conn, _ *smtp.Envelope, r io.Reader) (id string, err error) {
	// Counted on its way: with --durable its size is not known before the file is whole.
	m := &passing{r: r}
	// What is forgotten is read all the same: the end of the data is where a server
	// answers, and a client that is stopped before it is another test.
	if k.keep == nil {
		_, err = m.WriteTo(io.Discard)
	} else {
		id, err = k.keep.keep(m)
	}
	if err != nil {
		return "", err
	}
	if err := k.fail(ctx, c, "END"); err != nil {
		return "", err
	}
	// After the fault: what was refused has not come in.
	k.messages.Add(1)
	k.octets.Add(m.n)
	return id, nil
}

// A passing message is one that comes in, and can be written once.
type passing struct {
	r io.Reader
	n int64
}

func (m *passing) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, m.r)
	m.n = n
	return n, err
}

// server makes the server of the flags. Limits, line ends and timeouts are those that
// every server of the library has, but for the number of sessions: a sink that let more
// through would flatter itself.
func (o *sinkOptions) server() (*smtp.Server, *sinkServer, error) {
	k := &sinkServer{faults: map[string]sinkFault{}, odds: o.odds}
	for _, text := range o.faults {
		verb, f, err := parseFault(text)
		if err != nil {
			return nil, nil, err
		}
		k.faults[verb] = f
	}
	if !(o.odds >= 0 && o.odds <= 1) { // so that NaN is out too
		return nil, nil, flagf(exitUsage, "odds", " %v: it is a number from 0 to 1", o.odds)
	}
	if o.durable != "" {
		if err := disk.MakeDir(o.durable, 0o700); err != nil {
			return nil, nil, flagf(exitCannotWrite, "durable", ": %w", err)
		}
		k.keep = &keeper{dir: o.durable}
	}
	// Whoever measures has many sessions; how many the descriptors are enough for is found out by it.
	server := &smtp.Server{Handler: &smtp.Hooks{OnData: k.take}, MaxConns: 1 << 20}
	// Without one nothing is asked for each verb: the sink is what others are measured against.
	if len(k.faults) > 0 {
		server.OnCommand = func(ctx context.Context, c *smtp.Conn, verb, _ string) error { return k.fail(ctx, c, verb) }
	}
	// Without TLS the sink offers no STARTTLS, and nothing is told: it is for tests on one machine.
	if (o.cert == "") != (o.key == "") {
		return nil, nil, usagef("--tls-cert and --tls-key go together")
	}
	pair, err := openKeyPair(o.cert, o.key)
	if err != nil {
		return nil, nil, err
	}
	server.TLSConfig = tlsOf(pair)
	return server, k, nil
}

// sink carries out one run of the command.
func sink(ctx context.Context, o sinkOptions, s streams) error {
	server, k, err := o.server()
	if err != nil {
		return err
	}
	l, err := listen.Open(o.listen)
	if err != nil {
		return listenError("listen", o.listen, err)
	}
	// The line is for scripts too, which look for the port that :0 has become.
	fmt.Fprintf(s.out, "Takes mail on smtp://%s and forgets it. Ctrl-C ends it.\n", l.Addr())
	begun := time.Now()
	defer runtime.KeepAlive(make([]byte, spareHeap))
	// At once, what is under way too: nobody waits for mail that is forgotten.
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err = server.Serve(smtp.Listener{Listener: l, Policy: smtp.Policy{LMTP: o.lmtp}})
	fmt.Fprintf(s.out, "%d messages, %s, in %s\n", k.messages.Load(), human.Size(k.octets.Load()), time.Since(begun).Round(time.Millisecond))
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}
