package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// send: one message, made of flags or read from a file, to one server. It is the
// library's client with flags: what can be known to be wrong without a connection
// is said before there is one, and nobody has to guess from the output or the exit
// code whether it was delivered. Nothing is kept; what failed is sent again by
// whoever called.

// sendOptions are the flags of send; flags says what each means.
type sendOptions struct {
	server       string
	from         string
	to, cc, bcc  []string
	replyTo      []string
	subject      string
	text, html   string
	attach       []string
	embed        []string
	header       []string
	eml          string
	user         string
	passwordFile string
	auth         string
	tls          string
	caFile       string
	trace        bool
	dryRun       bool
	json         bool
}

// flags defines the flags in the order in which the help shows them. There is none
// for a password: everybody on the machine can read command lines.
func (o *sendOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.server, "server", "", "`URL` of the server, or HOST[:PORT]")
	f.StringVar(&o.from, "from", "", "`ADDRESS` of the author, with or without a name")
	f.StringArrayVar(&o.to, "to", nil, "`ADDRESSES` of recipients: a list with commas; may be repeated")
	f.StringArrayVar(&o.cc, "cc", nil, "`ADDRESSES` that get a copy")
	f.StringArrayVar(&o.bcc, "bcc", nil, "`ADDRESSES` that get a copy without the others knowing")
	f.StringArrayVar(&o.replyTo, "reply-to", nil, "`ADDRESSES` that answers shall go to")
	f.StringVar(&o.subject, "subject", "", "`SUBJECT` of the message")
	f.StringVar(&o.text, "text", "", "the text: as it is, `@FILE`, or - for standard input")
	f.StringVar(&o.html, "html", "", "the text as HTML: as it is, `@FILE`, or - for standard input")
	f.StringArrayVar(&o.attach, "attach", nil, "`FILE` to attach; may be repeated")
	f.StringArrayVar(&o.embed, "embed", nil, "`FILE` that the HTML shows as cid:NAME, NAME being the file's; may be repeated")
	f.StringArrayVar(&o.header, "header", nil, "further `\"NAME: VALUE\"` for the header; may be repeated")
	f.StringVar(&o.eml, "eml", "", "send a message that is complete: a `FILE`, or - for standard input")
	f.StringVar(&o.user, "user", "", "`USER` to authenticate as")
	f.StringVar(&o.passwordFile, "password-file", "", "`FILE` with the user's password on its first line; else POSTRIDER_PASSWORD is taken")
	f.StringVar(&o.auth, "auth", "", "the only `MECHANISM` to authenticate with: PLAIN or LOGIN")
	f.StringVar(&o.tls, "tls", "auto", "`MODE` of TLS: auto, implicit, starttls, opportunistic or none")
	f.StringVar(&o.caFile, "ca-file", "", "`FILE` with the certificates in PEM that vouch for the server's, in place of the system's")
	f.BoolVar(&o.trace, "trace", false, "print the dialogue with the server on standard error")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the message, send nothing")
	f.BoolVar(&o.json, "json", false, "print what became of each recipient as JSON")
}

// newSend builds the command that sends a message.
func newSend(s streams) *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Compose a message and send it",
		Long: `Composes one message and sends it to a server, or sends one that is complete (--eml).

The server is a URL, as smtps://smtp.example.com, or HOST[:PORT]; then it is port
25, or 587 with --user, and 465 is TLS from the beginning. TLS is required, except
to this machine. The recipients are those of --to, --cc and --bcc; with --eml and
none of these, those of the message. Each flag can also be given in the environment:
--server as POSTRIDER_SERVER. A password comes from a file or from POSTRIDER_PASSWORD.

It prints what became of each recipient. The exit code is 0 if all were accepted,
75 if trying again may help, 69 if not, 76 if the message may have been delivered
but its reply was lost; see also sysexits(3).`,
		Example: `  postrider send --server 127.0.0.1:2525 --from ann@example.com --to bob@example.net --subject Hello --text "Hello, Bob."
  postrider send --server smtps://smtp.example.com --user ann --password-file ~/.password \
    --from "Ann <ann@example.com>" --to bob@example.net,eve@example.net --subject Minutes --text @minutes.txt --attach minutes.pdf
  postrider send --server mx.example.net --from ann@example.com --to bob@example.net --eml message.eml --trace`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return send(cmd.Context(), o, s)
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// send carries out one run of the command.
func send(ctx context.Context, o sendOptions, s streams) error {
	if n := o.fromStdin(); n > 1 {
		return usagef("standard input can be one of --text, --html and --eml")
	}
	m, err := o.message(s.in)
	if err != nil {
		return err
	}
	// No server is needed to look at a message.
	if o.dryRun {
		if _, err := m.body.WriteTo(s.out); err != nil {
			return messageError(err)
		}
		return nil
	}
	transport, err := o.transport(s)
	if err != nil {
		return err
	}
	defer transport.Close()
	// What could not be printed matters only if all else went well: the fate of
	// the message is worth more than a closed pipe.
	results, err := transport.Send(ctx, m.envelope, m.body)
	if printErr := o.print(s, results); printErr != nil && err == nil {
		return exitf(exitIO, "%w", printErr)
	}
	return o.explain(err)
}

// transport makes the connection's settings of the flags. --tls comes before
// what the URL says, but cannot undo smtps://.
func (o *sendOptions) transport(s streams) (*smtp.Transport, error) {
	if o.server == "" {
		return nil, usagef("say where to send to: --server HOST[:PORT], or a URL as smtps://smtp.example.com")
	}
	address := o.server
	if !strings.Contains(address, "://") {
		address = "smtp://" + address
		if u, err := url.Parse(address); err == nil && u.Port() == "" && o.user != "" {
			address += ":587" // RFC 6409, 3.1: submission
		}
	}
	opened, err := postrider.Open(address)
	if err != nil {
		return nil, usagef("--server: %s", strings.TrimPrefix(err.Error(), "postrider: "))
	}
	t := opened.(*smtp.Transport) // what Open makes of these schemes
	mode, ok := map[string]smtp.TLSMode{
		"implicit": smtp.TLSImplicit, "starttls": smtp.TLSStartTLS, "opportunistic": smtp.TLSOpportunistic, "none": smtp.TLSNone,
	}[o.tls]
	switch {
	case ok && t.Dialer.TLS == smtp.TLSImplicit && mode != smtp.TLSImplicit:
		return nil, usagef("--tls %s contradicts smtps://, which is TLS from the beginning", o.tls)
	case ok:
		t.Dialer.TLS = mode
	case o.tls != "auto":
		return nil, usagef("--tls %q: it is auto, implicit, starttls, opportunistic or none", o.tls)
	}
	if err := o.credentials(t.Dialer); err != nil {
		return nil, err
	}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, exitf(exitNoInput, "--ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, exitf(exitData, "--ca-file: %s holds no certificate in PEM", o.caFile)
		}
		// In place of the system's, not added to them: who names an authority
		// means that one. Set, it is looked at on loopback too.
		t.Dialer.TLSConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if o.trace {
		t.Dialer.Trace = func(l smtp.Line) {
			side := "S: "
			if l.FromClient {
				side = "C: "
			}
			// A server's text goes to a terminal.
			fmt.Fprintln(s.err, side+printable(l.Text))
		}
	}
	return t, nil
}

// credentials sets the user and the password, which never come from a flag. Those
// of the URL stay unless --user is given.
func (o *sendOptions) credentials(d *smtp.Dialer) error {
	if o.user == "" && o.passwordFile != "" {
		return usagef("--password-file needs --user")
	}
	if o.user != "" {
		password, err := o.password()
		if err != nil {
			return err
		}
		d.Auth = sasl.Password(o.user, password)
	}
	if o.auth == "" {
		return nil
	}
	mechanism := strings.ToUpper(o.auth)
	if !slices.Contains([]string{"PLAIN", "LOGIN"}, mechanism) {
		return usagef("--auth %q: it is PLAIN or LOGIN", o.auth)
	}
	if d.Auth == nil {
		return usagef("--auth needs --user, or a URL with credentials")
	}
	d.Auth = onlyMechanism{d.Auth, mechanism}
	return nil
}

// password reads the first line of the file, without its end: editors add one that
// is not meant. An empty password is one; that there is none is an error.
func (o *sendOptions) password() (string, error) {
	if o.passwordFile == "" {
		password, ok := os.LookupEnv("POSTRIDER_PASSWORD")
		if !ok {
			return "", usagef("--user needs a password: give --password-file FILE, or set POSTRIDER_PASSWORD")
		}
		return password, nil
	}
	f, err := os.Open(o.passwordFile)
	if err != nil {
		return "", exitf(exitNoInput, "--password-file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", exitf(exitNoInput, "--password-file: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return strings.TrimSuffix(string(line), "\r"), nil
}

// onlyMechanism is a credential that is used with one mechanism. It takes the rest
// out of the offer, so that a server cannot have a weaker one chosen (RFC 4422, 6.1.2).
type onlyMechanism struct {
	sasl.Credential
	mechanism string
}

// Exchange implements sasl.Credential.
func (m onlyMechanism) Exchange(ctx context.Context, offer sasl.Offer) (sasl.Exchange, error) {
	if !slices.Contains(offer.Mechanisms, m.mechanism) {
		return nil, fmt.Errorf("%w: %s is asked for, the server offers %s", sasl.ErrNoMechanism, m.mechanism, strings.Join(offer.Mechanisms, " "))
	}
	offer.Mechanisms = []string{m.mechanism}
	return m.Credential.Exchange(ctx, offer)
}

// A sentResult is the JSON of a recipient's fate.
type sentResult struct {
	Recipient string `json:"recipient"`
	Outcome   string `json:"outcome"` // accepted, deferred, refused or unknown
	Host      string `json:"host"`
	ID        string `json:"id"` // what the server queued it as
	Code      int    `json:"code"`
	Enhanced  string `json:"enhanced"`
	Text      string `json:"text"`
	Error     string `json:"error,omitempty"`
}

// outcome gives an error the word for it. Unknown comes first: it is neither of
// the others, and must not look as if trying again were safe.
func outcome(err error) string {
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, smtp.ErrUnknown):
		return "unknown"
	case errors.Is(err, smtp.ErrTemporary):
		return "deferred"
	}
	return "refused"
}

// print tells what became of each recipient. If all share one error it is told once, by the caller.
// What was accepted goes to standard output, the rest to standard error; with
// --json all of it is one array on standard output, empty if nothing was tried.
func (o *sendOptions) print(s streams, results []smtp.Result) error {
	if o.json {
		out := make([]sentResult, 0, len(results))
		for _, r := range results {
			one := sentResult{Recipient: r.Rcpt, Outcome: outcome(r.Err), Host: r.Host, ID: r.ID, Code: r.Reply.Code, Enhanced: string(r.Reply.Enhanced), Text: r.Reply.Text}
			if r.Err != nil {
				one.Error = r.Err.Error()
			}
			out = append(out, one)
		}
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(out)
	}
	for _, r := range results {
		if r.Err == nil {
			if _, err := fmt.Fprintf(s.out, "%s  accepted  %s\n", printable(r.Rcpt), printable(r.Reply.String())); err != nil {
				return err
			}
			continue
		}
		if r.Reply.Code == 0 {
			continue // the connection's error, which is told once
		}
		fmt.Fprintf(s.err, "%s  %s  %s\n", printable(r.Rcpt), outcome(r.Err), printable(r.Reply.String()))
	}
	return nil
}
