package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cmd/postrider/hook"
	"github.com/postrider/postrider/cmd/postrider/users"
	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/listen"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// serve: ports, store, inbox and servers put together, and taken apart again in
// the order in which nothing that was accepted is lost. That is all it knows: the
// rules of mail are in smtp, those of the page in inbox.
//
// Setting up goes from what costs nothing to be wrong to what leaves something behind:
// the options are checked, files read, ports opened, and then the disk is touched. Each
// step may end it with one line and an exit code (exit.go). Taking apart goes the other
// way, and does not hurry what a sender waits for.
//
// There is one inbox and one Handler for all ports; what differs between ports, TLS and
// who must authenticate, is a Policy of the listener.

// A server is what one serve runs. It is set up before run starts the others, and
// only read from then on.
type server struct {
	options serveOptions
	streams streams
	log     *slog.Logger

	// What the options have named, opened.
	certificates           certificates // nil: no TLS
	acme                   *authority   // nil: no certificates are fetched
	users, webUsers        *users.File  // nil if nobody is named
	onMail, onRcpt, onAuth *hook.Hook   // nil if nobody is asked

	// What is served, and with what. They are set in this order and closed in the other.
	ports   []*port
	db      *sqlite.DB
	inbox   *inbox.Inbox
	relay   smtp.SendCloser // nil if nothing may leave
	started time.Time
	done    func() // frugal's
}

// A port is one address that is served.
type port struct {
	flag string // smtp, smtps, web or acme-http
	addr string
	net.Listener
}

// private tells whether this machine alone can reach the port, as it has been opened.
func (p *port) private() bool { return listen.Private(listen.String(p.Addr())) }

const (
	// graceTime is how long messages that are being received may take to end
	// after a signal. An orchestrator kills after ten seconds.
	graceTime = 8 * time.Second
	// webGrace is how long a request for the page may take to end: no mail depends on it.
	webGrace = 2 * time.Second
)

// newServe builds the command that receives mail.
func newServe(s streams) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [FILE.ini]",
		Short: "Receive mail and show it on a web page",
		Long: `Receives mail by SMTP, keeps it, and shows it on a web page and as JSON.

Everything is accepted, whoever it is for, and nothing is sent on. Reports, times and
priorities that a client asks for (DSN and others) are shown, and nothing comes of
them. With any user and password a client may also authenticate. Other machines
cannot reach it unless it is told to listen elsewhere than on loopback; then it wants
to know for which domains mail is accepted (--accept) or who may send (--users,
--on-auth), and who may see the page (--web-auth), which is there by HTTPS if there is
a certificate. --open waives that: for a test server in a container.

An address is HOST:PORT, unix:PATH, or "off" for a port that is not to be opened.
Systemd may open the ports: sockets named smtp, smtps and web take their place.
Each flag can also be given in the environment, --tls-cert as POSTRIDER_TLS_CERT,
and, but for the ports, in FILE.ini, as web_host; a file has the keys port, local,
tls_port, tls_crt, tls_key, hostname and max_size for them, and once one is read, a
port that it does not name is off. Without FILE.ini a mail.ini in the current
directory is read if there is one. Flags come before the environment, and both
before the file.

A COMMAND is run without a shell, for --hook-timeout at the most, with the envelope in
MAIL_SENDER, MAIL_RECIPIENTS (a line each), MAIL_RECIPIENT, MAIL_IP, MAIL_HOST,
MAIL_USER, MAIL_TLS and MAIL_SIZE, and with JSON on standard input. It accepts with
exit code 0, refuses with 1 and 64 to 78, where the first line that it prints is told
to the client, and defers with 75; whatever else happens defers too. A URL gets the
JSON in a POST, signed as Standard Webhooks has it (an HMAC with the secret), and in
Postrider-Hook mail, rcpt or auth; three times if it does not answer or with 408, 429
or 5xx. 2xx accepts, 403, 404, 410 and 422 refuse, where the first line of an answer in
text/plain is told, anything else defers.

The JSON has ip, host, tls and user; for --on-auth, password; for --on-rcpt, sender and
recipient; for --on-mail, sender, recipients, and the message as "postrider show --json"
prints it, to which content: before the COMMAND or URL adds the content of attachments.
raw: before a COMMAND gives it the message itself.

SIGHUP has certificates and users read again.`,
		Example: `  postrider serve
  postrider serve --smtp 127.0.0.1:1025 --web 127.0.0.1:8080 --data /var/lib/postrider
  postrider serve --smtp :25 --accept example.com,example.org --web off
  postrider serve --smtp :587 --users users --tls-cert chain.pem --tls-key key.pem
  postrider serve --on-rcpt ./is-ours --on-mail "raw:./filter --strict"
  postrider serve --init`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one file, but got %q too; see %s --help", cmd.CommandPath(), args[1], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			// A file that is wrong must not keep a new one from being written, so that --init reads
			// neither it nor the environment.
			if o.init {
				return writeInitial(append(args, defaultFile)[0], s.out)
			}
			// Who is set first wins: what a later source finds set it leaves alone.
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if err := o.fromFile(args, cmd.Flags()); err != nil {
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
	o.tidy()
	// On a terminal each message has its line already; a log is for what collects it.
	level := slog.LevelInfo
	switch {
	case o.verbose:
		level = slog.LevelDebug
	case isTerminal(s.err):
		level = slog.LevelWarn
	}
	v := &server{options: o, streams: s, log: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level})), started: time.Now()}
	var err error
	if v.ports, err = o.ports(); err != nil {
		return err
	}
	defer v.close()
	// Sockets of systemd come before the check: they say which addresses others can reach.
	if err := v.activate(); err != nil {
		return err
	}
	if err := v.options.check(v.ports); err != nil {
		return err
	}
	// What is named is read now, not when the first client comes: a certificate that does not fit
	// its key, or a users file with a slip, is told to whoever starts it.
	if err := v.openCertificates(); err != nil {
		return err
	}
	if err := v.files(); err != nil {
		return err
	}
	if err := v.openInbox(); err != nil {
		return err
	}
	// Ports come first: if one is taken, nothing has been made on the disk.
	if err := v.listen(); err != nil {
		return err
	}
	if v.db, err = openStore(ctx, o.data, s, v.log, v.notify); err != nil {
		if ctx.Err() != nil {
			return nil // what it was migrating is as it was
		}
		return err
	}
	v.inbox.Store = v.db.Inbox()
	// What the empty page tells people to send mail to.
	for _, p := range v.ports {
		if (p.flag == "smtp" || p.flag == "smtps") && v.inbox.SMTP == "" {
			v.inbox.SMTP = reachable(p.Addr())
		}
	}
	// Connections that have come meanwhile wait in the kernel: whoever reads the greeting may connect.
	if err := v.greet(); err != nil {
		return err
	}
	return v.run(ctx)
}

// openInbox makes the inbox of the options, which has no store yet: nothing that the options can have wrong leaves
// anything behind.
func (v *server) openInbox() (err error) {
	o := &v.options
	v.done = frugal()
	v.inbox = &inbox.Inbox{Hosts: o.webHosts, Root: o.webPath, OnMail: v.printMail, Logger: v.log}
	// What may come by SMTP may be put in too; without that it has the inbox's own bound.
	if o.maxSize > 64<<20 {
		v.inbox.MaxUpload = o.maxSize
	}
	if o.tries() {
		v.inbox.Offer = []string{"DSN", "DELIVERBY", "FUTURERELEASE 604800", "MT-PRIORITY", "RRVS", "REQUIRETLS"}
	}
	v.relay, err = o.inbox.apply(v.inbox)
	return err
}

// listen opens the ports that are not open yet.
func (v *server) listen() error {
	for _, p := range v.ports {
		if p.Listener == nil {
			l, err := listen.Open(p.addr)
			if err != nil {
				return listenError(p.flag, p.addr, err)
			}
			p.Listener = l
		}
		// What the empty page tells people to send mail to.
		if (p.flag == "smtp" || p.flag == "smtps") && v.inbox.SMTP == "" {
			v.inbox.SMTP = reachable(p.Addr())
		}
	}
	return nil
}

// close lets go of what is still held when serve returns. A port that a server
// has closed already says so again, which is of no interest; the store is last,
// as sessions write to it.
func (v *server) close() {
	for _, p := range v.ports {
		if p.Listener != nil {
			p.Close()
		}
	}
	if v.relay != nil {
		v.relay.Close()
	}
	if v.db != nil {
		if err := v.db.Close(); err != nil {
			v.log.Error("closing the store", "err", err)
		}
	}
}

// run serves until ctx ends or a server fails, then ends the servers in order:
// no new mail, what is being received to its end, then the page.
func (v *server) run(ctx context.Context) error {
	defer runtime.KeepAlive(make([]byte, spareHeap))
	// Streams of events never end by themselves; this context ends them.
	requests, endRequests := context.WithCancel(context.Background())
	defer endRequests()
	// The guard stands before all of the page, events and the JSON interface with it.
	var page http.Handler = v.inbox
	if v.webUsers != nil {
		page = v.webUsers.Guard(page)
	}
	webServer := v.webServer(requests, page)
	// Indexing ends last: what has just been accepted is still told.
	indexing, endIndexing := context.WithCancel(context.Background())
	indexed := make(chan error, 1)
	go func() { indexed <- v.inbox.Run(indexing) }()

	// Room for all of them, so that none hangs when nobody listens any more.
	failed := make(chan error, len(v.ports))
	var mailServers []*smtp.Server
	handler := v.handler()
	for _, p := range v.ports {
		switch p.flag {
		case "web":
			go func() { failed <- v.serveWeb(webServer, p) }()
			continue
		case "acme-http":
			challenges := v.webServer(requests, v.acme.challenges())
			defer challenges.Close()
			go func() { failed <- challenges.Serve(p) }()
			go v.acme.fetch(requests, v.log)
			continue
		}
		// A server for each port, and not one for all: whether passwords may be said in clear belongs to the
		// server, and is not the same on loopback and elsewhere.
		s := v.mailServer(p, handler)
		mailServers = append(mailServers, s)
		// Where users are known and no domain is said to be ours, mail is for users alone: a stranger is
		// refused at MAIL already (530), before any recipient is asked about.
		policy := smtp.Policy{ImplicitTLS: p.flag == "smtps", RequireAuth: v.options.verifies() && len(v.options.accept) == 0 && !v.options.open}
		go func() { failed <- s.Serve(smtp.Listener{Listener: p, Policy: policy}) }()
	}
	v.notify(ready)
	// From here until wait returns nothing changes but what SIGHUP reads again.
	err := v.wait(ctx, failed)
	v.notify(stopping)
	endMail(mailServers)
	// The page is there while mail still arrives, so that who watches it sees the last message.
	endRequests()
	last, cancelLast := context.WithTimeout(context.Background(), webGrace)
	defer cancelLast()
	if webServer.Shutdown(last) != nil {
		webServer.Close()
	}
	endIndexing()
	// Run tells of what was accepted and not read yet, within its own bound.
	return errors.Join(err, <-indexed)
}

// endMail has no server take new mail, and waits for what is being received.
func endMail(servers []*smtp.Server) {
	grace, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	// All at once: while one port is waited for, another must not take new mail.
	var ending sync.WaitGroup
	for _, s := range servers {
		ending.Go(func() {
			if s.Shutdown(grace) != nil {
				s.Close() // whoever has not had a 250 by now will send again
			}
		})
	}
	ending.Wait()
}

// wait returns when ctx ends or a server does, and has files read again meanwhile.
func (v *server) wait(ctx context.Context, failed <-chan error) error {
	// One place is enough: two signals before the files are read are one wish. Without Notify SIGHUP
	// would end the process.
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(v.streams.out, "Ending: what is being received is finished first.")
			return nil
		// Until a signal comes, a server ends only because it cannot go on.
		case err := <-failed:
			return exitf(exitUnavailable, "a port failed: %w", err)
		case <-again:
			v.notify(reloading)
			v.reload()
			v.notify(ready)
		}
	}
}

// reload reads certificates and users again. What cannot be read stays as it is, which is told: a server that ends
// because of a slip in a file would be worse.
func (v *server) reload() {
	// Sessions that are open keep their TLS; passwords are looked up in the new file from now on.
	var files []interface{ Reload() error }
	if v.certificates != nil {
		files = append(files, v.certificates)
	}
	if v.users != nil {
		files = append(files, v.users)
	}
	if v.webUsers != nil && v.webUsers != v.users {
		files = append(files, v.webUsers)
	}
	said := "Read certificates and users again."
	for _, f := range files {
		if err := f.Reload(); err != nil {
			v.log.Error("what was read before is kept", "err", placed(v.options.set, err))
			said = "Not all of the certificates and users could be read again: the log says why."
		}
	}
	fmt.Fprintln(v.streams.out, said)
}

// handler is what the SMTP servers hand mail to: who may be written to, whom to ask, and the inbox.
func (v *server) handler() smtp.Handler {
	var next smtp.Handler = v.inbox
	// Hooks are asked before the inbox keeps anything, and after the domain was found to be ours: a
	// script is not to be run for mail that would be refused anyway.
	if v.onMail != nil || v.onRcpt != nil {
		next = &hook.Handler{OnMail: v.onMail, OnRcpt: v.onRcpt, Next: next}
	}
	return refusals{&smtp.Hooks{OnRcpt: v.options.accepts, Next: next}, v.log}
}

// mailServer makes the SMTP server of one port: what may be said in clear depends on who can reach it, and on whether it
// is worth anything to them.
func (v *server) mailServer(p *port, handler smtp.Handler) *smtp.Server {
	private := v.options.open || p.private()
	s := &smtp.Server{
		Handler:   handler,
		TLSConfig: tlsOf(v.certificates),
		Hostname:  v.options.hostname,
		MaxSize:   v.options.maxSize,
		Logger:    v.log,
		// RFC 4954, 4: a password that is looked at is taken in clear only where there is no TLS to say it in. What is
		// on loopback may be the near end of a tunnel.
		AllowInsecureAuth: private && (v.certificates == nil || !v.options.verifies() || v.options.open),
	}
	// Nobody at all, where others can listen in and no users are named: AUTH is not announced then.
	switch {
	case v.users != nil:
		s.SASL = v.users.Verifier()
	case v.onAuth != nil:
		s.OnAuth = v.onAuth.Password
	// Where nobody else can listen in, any credentials are as good as none, and
	// an application that insists on sending some can be tested.
	case private:
		s.OnAuth = func(context.Context, *smtp.Conn, string, string) error { return nil }
	}
	v.inbox.Attach(s)
	return s
}

// webServer makes the server of the page. There is no time-out for writing as a whole: a large message may go to a slow
// reader, and streams of events go on for days.
func (v *server) webServer(requests context.Context, handler http.Handler) *http.Server {
	answer := func(w http.ResponseWriter, r *http.Request) {
		defer v.done() // also of what panics
		handler.ServeHTTP(w, r)
	}
	return &http.Server{
		Handler: http.HandlerFunc(answer), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return requests },
		TLSConfig:   tlsOf(v.certificates),
		ErrorLog:    slog.NewLogLogger(v.log.Handler(), slog.LevelWarn),
	}
}

// serveWeb serves the page at a port.
func (v *server) serveWeb(s *http.Server, p *port) error {
	if v.encrypted(p) {
		return s.ServeTLS(p, "", "")
	}
	if v.webUsers != nil && !p.private() {
		v.log.Warn("without --tls-cert or --acme the page is not encrypted: its mail and passwords can be read on the way", "address", p.Addr().String())
	}
	return s.Serve(p)
}

// encrypted tells whether the page is there by HTTPS: where others can reach it, if there is a certificate.
func (v *server) encrypted(p *port) bool {
	return v.certificates != nil && !p.private()
}
