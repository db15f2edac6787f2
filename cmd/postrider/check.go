package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postrider/postrider/smtp"
)

// check: what a server offers to whoever connects, without sending mail or a
// password. A certificate that would be refused is looked at all the same, and what
// is wrong with it is said.

// checkOptions are the flags of check.
type checkOptions struct {
	// Fewer than other commands have: nothing is sent, so that there is nobody to authenticate as, and a certificate
	// that would be refused is a finding, not an end.
	tls     string
	caFile  string
	timeout time.Duration
	trace   bool
	json    bool
}

func (o *checkOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.tls, "tls", "auto", "`MODE` of TLS: auto (implicit on port 465, else STARTTLS if offered), implicit or none")
	f.StringVar(&o.caFile, "ca-file", "", "`FILE` with the certificates in PEM that vouch for the server's, in place of the system's")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long it may take in all")
	f.BoolVar(&o.trace, "trace", false, "print the dialogue with the server on standard error, with times")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
}

// newCheck builds the command that looks at a server.
func newCheck(s streams) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check HOST[:PORT]",
		Short: "Show what a server offers: extensions, TLS, certificate, limits, timings",
		Long: `Connects to a server, port 25 unless one is given, and prints what it offers before and
inside TLS, its certificates and until when they are good, the mechanisms to
authenticate with, limits, and how long each step took. No mail is sent, and no
password. Lines that begin with ! say what is wrong, those with - what could be better.

The exit code is 0, 69 if something is wrong, and 68, 75 or 76 if the server cannot be
found, cannot be reached or does not speak SMTP.`,
		Example: "  postrider check mail.example.com\n  postrider check smtp.example.com:465 --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("say which server: postrider check HOST[:PORT]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return check(cmd.Context(), o, args[0], s)
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// check looks at one server and prints the report.
func check(ctx context.Context, o checkOptions, server string, s streams) error {
	if o.tls != "auto" && o.tls != "implicit" && o.tls != "none" {
		return flagf(exitUsage, "tls", " %q: it is auto, implicit or none", o.tls)
	}
	// A URL would be read as a host's name; sockets and local mailboxes offer nothing that could be looked at.
	if strings.Contains(server, "/") {
		return usagef("%q is no server: give HOST[:PORT]", server)
	}
	// Without a port it is what other hosts of the world would use.
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		// An IPv6 address may stand alone or in brackets.
		host, port = strings.Trim(server, "[]"), "25"
		if o.tls == "implicit" {
			port = "465"
		}
	}
	p := &probe{o: o, host: host, report: report{Server: net.JoinHostPort(host, port), Timings: map[string]float64{}}}
	// Each flag is looked at before anybody is connected to: a slip is told at once, not after a time-out.
	if o.caFile != "" {
		if p.roots, err = readPool(o.caFile); err != nil {
			return err
		}
	}
	if o.trace {
		p.trace = transcript(s.err)
	}
	if o.timeout <= 0 {
		return flagf(exitUsage, "timeout", " %s: it is a time as 30s", o.timeout)
	}
	// One time for all of it: a server that answers each line just in time is slow too.
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if err := p.run(ctx, port); err != nil {
		// Advice about flags of other commands would be of no use; what is said is about the server and the way to it.
		return (&connectOptions{}).explain(err)
	}
	p.report.advise(port)
	// The report is printed first: what is wrong is one line of it and the exit code.
	if o.json {
		err = printJSON(s.out, p.report)
	} else {
		err = p.report.print(s.out)
	}
	if err != nil {
		return exitf(exitIO, "%w", err)
	}
	if len(p.report.Wrong) > 0 {
		return exitf(exitUnavailable, "%s: %s", p.report.Server, p.report.Wrong[0])
	}
	return nil
}

// readPool reads the certificates of a file in PEM.
func readPool(name string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, flagf(exitNoInput, "ca-file", ": %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, flagf(exitData, "ca-file", ": %s holds no certificate in PEM", name)
	}
	return pool, nil
}

// A probe is one look at a server. It goes by single steps rather than by
// Dialer.Dial, because each is timed, and because what would make a client stop is
// what there is to report.
type probe struct {
	o      checkOptions
	host   string
	roots  *x509.CertPool // nil: the system's
	trace  func(smtp.Line)
	report report
}

// step times one step. Seconds are what JSON has.
func (p *probe) step(name string, do func() error) error {
	begun := time.Now()
	err := do()
	p.report.Timings[name] = time.Since(begun).Seconds()
	return err
}

// run connects and asks. What was offered in clear is kept beside what is offered
// inside TLS, because a client must forget the one at the other (RFC 3207, 4.2).
func (p *probe) run(ctx context.Context, port string) error {
	var conn net.Conn
	// Looking up the name belongs to it: a resolver that is slow is what the user waits for.
	err := p.step("connect", func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", p.report.Server)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	// Of several addresses the one that answered: the others may behave otherwise.
	p.report.Address = conn.RemoteAddr().String()
	// RFC 8314, 3.3: nothing is said on port 465 before TLS.
	implicit := p.o.tls == "implicit" || p.o.tls == "auto" && port == "465"
	if implicit {
		secured := tls.Client(conn, p.config())
		if err := p.step("tls", func() error { return secured.HandshakeContext(ctx) }); err != nil {
			return handshakeError(fmt.Errorf("TLS with %s: %w", p.host, err))
		}
		p.secured(secured.ConnectionState(), "implicit")
		conn = secured
	}
	c, err := p.greeted(ctx, conn)
	if err != nil {
		return err
	}
	defer c.Close()
	greeting, err := c.Greeting(ctx)
	if err != nil {
		return err
	}
	p.report.Greeting = greeting.Text
	// Without TLS, or before it. Whoever listens in can take away what is offered here, STARTTLS first of all.
	p.offered(c)
	p.report.Clear = []string{}
	if !implicit {
		p.report.Clear = p.report.Mechanisms
	}
	// A server that offers no STARTTLS is judged by the report (advise), not by an error: there may be a reason.
	if _, has := c.Extension("STARTTLS"); has && !implicit && p.o.tls == "auto" {
		if err := p.startTLS(ctx, c); err != nil {
			return err
		}
	}
	// The first command that costs a server nothing: it shows the round trip.
	if err := p.step("noop", func() error { _, err := c.Noop(ctx); return err }); err != nil {
		return err
	}
	c.Quit(ctx) // whatever it says, it has been looked at
	return nil
}

// greeted waits for the greeting and says EHLO, or HELO to who does not know it. The
// certificate has been looked at, or will be. The Dialer does both in one: where the
// first ended and the other began is when the client spoke.
func (p *probe) greeted(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	begun, spoke := time.Now(), time.Time{}
	d := &smtp.Dialer{TLS: smtp.TLSNone, Trace: func(l smtp.Line) {
		if l.FromClient && spoke.IsZero() {
			spoke = l.Time
		}
		if p.trace != nil {
			p.trace(l)
		}
	}}
	c, err := d.Client(ctx, conn)
	if err != nil {
		return nil, err
	}
	p.report.Timings["greeting"] = spoke.Sub(begun).Seconds()
	p.report.Timings["ehlo"] = time.Since(spoke).Seconds()
	return c, nil
}

// handshakeError tells a server that speaks something else than TLS, or none of ours,
// from one that could not be reached.
func handshakeError(err error) error {
	_, noRecord := errors.AsType[tls.RecordHeaderError](err)
	// Both are answers. Anything else is a connection that broke, which may pass.
	if _, alert := errors.AsType[tls.AlertError](err); alert || noRecord {
		return exitf(exitProtocol, "%w", err)
	}
	return err
}

// startTLS begins TLS and asks again.
func (p *probe) startTLS(ctx context.Context, c *smtp.Client) error {
	err := p.step("tls", func() error { _, err := c.StartTLS(ctx, p.config()); return err })
	if err != nil {
		return handshakeError(err)
	}
	p.secured(*c.TLS(), "starttls")
	// The Dialer has found a name for the first EHLO; that it was taken is known, and
	// what is said here need only be one.
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "localhost"
	}
	if err := p.step("ehlo", func() error { _, err := c.Hello(ctx, name); return err }); err != nil {
		return err
	}
	p.offered(c)
	return nil
}

// config takes any certificate and any version: they are judged afterwards.
func (p *probe) config() *tls.Config {
	return &tls.Config{ServerName: p.host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
}

// offered keeps what EHLO announced last.
func (p *probe) offered(c *smtp.Client) {
	p.report.Extensions, p.report.Mechanisms = map[string]string{}, []string{}
	for name, params := range c.Extensions() {
		p.report.Extensions[name] = params
		if name == "AUTH" {
			p.report.Mechanisms = strings.Fields(params)
		}
	}
}

// secured keeps what TLS came to, and verifies as a client would.
func (p *probe) secured(state tls.ConnectionState, how string) {
	// Names and not numbers: they are what is looked up, and what other programs' documentation has.
	r := &tlsReport{How: how, Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite), version: state.Version}
	p.report.TLS = r
	// The first certificate is the server's own; the others lead
	// to an authority, and one that is missing there breaks clients that have not
	// seen it elsewhere.
	intermediates := x509.NewCertPool()
	for i, c := range state.PeerCertificates {
		if i > 0 {
			intermediates.AddCert(c)
		}
		names := c.DNSNames
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		r.Certificates = append(r.Certificates, chainLink{
			Subject: c.Subject.String(), Names: names, Issuer: c.Issuer.String(),
			NotBefore: c.NotBefore, NotAfter: c.NotAfter, Key: c.PublicKeyAlgorithm.String(), Days: int(time.Until(c.NotAfter).Hours() / 24),
		})
	}
	if len(state.PeerCertificates) == 0 {
		r.Error = "no certificate"
		return
	}
	// As a client would: by the name that was asked for, and with the certificates that were sent, none fetched.
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: p.host, Roots: p.roots, Intermediates: intermediates})
	if err != nil {
		r.Error = err.Error()
	}
	r.Verified = err == nil
}
