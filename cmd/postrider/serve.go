package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// serve: ports, store, inbox and servers put together, and taken apart again in
// the order in which nothing that was accepted is lost. That is all it knows: the
// rules of mail are in smtp, those of the page in inbox.

// A server is what one serve runs. It is set up before run starts the others, and
// only read from then on.
type server struct {
	options serveOptions
	streams streams
	log     *slog.Logger

	smtp, smtps, web net.Listener // nil if off
	db               *sqlite.DB
	inbox            *inbox.Inbox
	started          time.Time
}

const (
	// graceTime is how long messages that are being received may take to end
	// after a signal. An orchestrator kills after ten seconds.
	graceTime = 8 * time.Second
	webGrace  = 2 * time.Second
)

// newServe builds the command that receives mail.
func newServe(s streams) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [FILE.ini]",
		Short: "Receive mail and show it on a web page",
		Long: `Receives mail by SMTP, keeps it, and shows it on a web page and as JSON.

Everything is accepted, whoever it is for, and nothing is sent on. With any user
and password a client may also authenticate. Other machines cannot reach it unless
it is told to listen elsewhere than on loopback; then it wants to know for which
domains mail is accepted (--accept), and the web page stays on loopback. --open
waives that: for a test server in a container.

An address is HOST:PORT, or "off" for a port that is not to be opened. Each flag
can also be given in the environment: --tls-cert as POSTRIDER_TLS_CERT. FILE.ini
has the keys port, local, tls_port, tls_crt, tls_key, hostname and max_size; once
one is read, a port that it does not name is off. Without FILE.ini a mail.ini in
the current directory is read if there is one. Flags come before the environment,
and both before the file.`,
		Example: `  postrider serve
  postrider serve --smtp 127.0.0.1:1025 --web 127.0.0.1:8080 --data /var/lib/postrider
  postrider serve --smtp :25 --accept example.com,example.org --web off
  postrider serve mail.ini`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one file, but got %q too; see %s --help", cmd.CommandPath(), args[1], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if err := o.fromFile(args, cmd.Flags().Changed); err != nil {
				return err
			}
			return serve(cmd.Context(), o, s)
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// serve runs until ctx ends or something fails that cannot be done without. It
// returns nil after a signal: to be ended is no failure.
func serve(ctx context.Context, o serveOptions, s streams) error {
	certificate, err := o.check()
	if err != nil {
		return err
	}
	v := &server{options: o, streams: s, log: slog.New(slog.NewTextHandler(s.err, nil)), started: time.Now()}
	defer v.close()
	// Ports come first: if one is taken, nothing has been made on the disk.
	if err := v.listen(); err != nil {
		return err
	}
	if v.db, err = sqlite.Open(ctx, o.data); err != nil {
		return dataError(err)
	}
	v.inbox = &inbox.Inbox{Store: v.db.Inbox(), Hosts: o.webHosts, OnMail: v.printMail, Logger: v.log}
	// What the empty page tells people to send mail to.
	if l := cmp.Or[net.Listener](v.smtp, v.smtps); l != nil {
		v.inbox.SMTP = reachable(l.Addr())
	}
	if err := v.greet(); err != nil {
		return err
	}
	return v.run(ctx, certificate)
}

// listen opens the ports.
func (v *server) listen() error {
	for _, p := range []struct {
		to         *net.Listener
		addr, flag string
	}{{&v.smtp, v.options.smtp, "smtp"}, {&v.smtps, v.options.smtps, "smtps"}, {&v.web, v.options.web, "web"}} {
		if p.addr == off {
			continue
		}
		l, err := net.Listen("tcp", p.addr)
		if err != nil {
			return listenError(p.flag, p.addr, err)
		}
		*p.to = l
	}
	return nil
}

// close lets go of what is still held when serve returns. A port that a server
// has closed already says so again, which is of no interest; the store is last,
// as sessions write to it.
func (v *server) close() {
	for _, l := range []net.Listener{v.smtp, v.smtps, v.web} {
		if l != nil {
			l.Close()
		}
	}
	if v.db != nil {
		if err := v.db.Close(); err != nil {
			v.log.Error("closing the store", "err", err)
		}
	}
}

// run serves until ctx ends or a server fails, then ends the servers in order:
// no new mail, what is being received to its end, then the page.
func (v *server) run(ctx context.Context, certificate *tls.Config) error {
	mailServer := v.mailServer(certificate)
	// Streams of events never end by themselves; this context ends them.
	requests, endRequests := context.WithCancel(context.Background())
	defer endRequests()
	// No time-out for writing as a whole: a large message may go to a slow reader,
	// and streams of events go on for days.
	webServer := &http.Server{
		Handler: v.inbox, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(v.log.Handler(), slog.LevelWarn),
	}
	// Indexing ends last: what has just been accepted is still told.
	indexing, endIndexing := context.WithCancel(context.Background())
	indexed := make(chan error, 1)
	go func() { indexed <- v.inbox.Run(indexing) }()

	// Room for all of them, so that none hangs when nobody listens any more.
	failed := make(chan error, 3)
	if v.smtp != nil {
		go func() { failed <- mailServer.Serve(v.smtp) }()
	}
	if v.smtps != nil {
		tlsListener := smtp.Listener{Listener: v.smtps, Policy: smtp.Policy{ImplicitTLS: true}}
		go func() { failed <- mailServer.Serve(tlsListener) }()
	}
	if v.web != nil {
		go func() { failed <- webServer.Serve(v.web) }()
	}
	var err error
	select {
	case <-ctx.Done():
		fmt.Fprintln(v.streams.out, "Ending: what is being received is finished first.")
	// Until a signal comes, a server ends only because it cannot go on.
	case err = <-failed:
		err = exitf(exitUnavailable, "a port failed: %w", err)
	}
	grace, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	if shutdownErr := mailServer.Shutdown(grace); shutdownErr != nil {
		mailServer.Close() // whoever has not had a 250 by now will send again
	}
	endRequests()
	last, cancelLast := context.WithTimeout(context.Background(), webGrace)
	defer cancelLast()
	if webServer.Shutdown(last) != nil {
		webServer.Close()
	}
	endIndexing()
	return errors.Join(err, <-indexed)
}

// mailServer makes the SMTP server over the inbox. One serves both ports: the
// listener says which of them is TLS from the first octet (RFC 8314, 3.3).
func (v *server) mailServer(certificate *tls.Config) *smtp.Server {
	s := &smtp.Server{
		Handler:   &smtp.Hooks{OnRcpt: v.options.accepts, Next: v.inbox},
		TLSConfig: certificate,
		Hostname:  v.options.hostname,
		MaxSize:   v.options.maxSize,
		Logger:    v.log,
	}
	// Where nobody else can listen in, any credentials are as good as none, and
	// an application that insists on sending some can be tested.
	if v.options.open || v.options.private() {
		s.AllowInsecureAuth = true
		s.OnAuth = func(context.Context, *smtp.Conn, string, string) error { return nil }
	}
	return s
}

// dataError says in one line why the directory cannot be used. What the store has
// no name for is the file system's: it cannot be written.
func dataError(err error) error {
	code := exitCannotWrite
	for _, own := range []error{sqlite.ErrLocked, sqlite.ErrNewer, sqlite.ErrForeign, sqlite.ErrCorrupt} {
		if errors.Is(err, own) {
			code = exitCode(own)
		}
	}
	return exitf(code, "mail cannot be kept: %w", err)
}

// greet says where to find everything, in a form that can be clicked. The ports
// are open by then, so that a program that waits for the last line may connect.
func (v *server) greet() error {
	out := v.streams.out
	dir, err := filepath.Abs(v.options.data)
	if err != nil {
		dir = v.options.data
	}
	stats, err := v.db.Inbox().Stats(context.Background())
	if err != nil {
		return err
	}
	version, _ := build()
	fmt.Fprintf(out, "postrider %s\n\n", version)
	if v.web != nil {
		fmt.Fprintf(out, "  Web page   http://%s/\n", reachable(v.web.Addr()))
	}
	if v.smtp != nil {
		fmt.Fprintf(out, "  SMTP       smtp://%s\n", reachable(v.smtp.Addr()))
	}
	if v.smtps != nil {
		fmt.Fprintf(out, "  SMTP, TLS  smtps://%s\n", reachable(v.smtps.Addr()))
	}
	fmt.Fprintf(out, "  Kept in    %s (%s)\n\n", dir, count(stats.Messages, "message"))
	_, err = fmt.Fprintln(out, "Waiting for mail. Ctrl-C ends it.")
	return err
}

// reachable returns an address that can be connected to: one that listens
// everywhere is also there on loopback, but 0.0.0.0 is no address to connect to.
// QUIRK: Linux takes it for loopback all the same, Windows does not.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}

// count returns "1 message", "2 messages".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
