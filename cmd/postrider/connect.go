package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// How a command gets to a server: the flags that several commands share, and the
// Sender that is made of them. The address is what postrider.Open takes, or a host
// alone. The flags come before what the URL says.

// connectOptions are the flags of a command that talks to a server.
type connectOptions struct {
	user         string
	passwordFile string
	auth         string
	tls          string
	caFile       string
	certFile     string
	keyFile      string
	trace        bool
}

// mechanisms are what --auth takes.
var mechanisms = []string{
	"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
	"SCRAM-SHA-512", "SCRAM-SHA-512-PLUS", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS",
}

// flags defines the flags. There is none for a password: everybody on the machine
// can read command lines.
func (o *connectOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.user, "user", "", "`USER` to authenticate as")
	f.StringVar(&o.passwordFile, "password-file", "", "`FILE` with the user's password or token on its first line; else POSTRIDER_PASSWORD is taken")
	f.StringVar(&o.auth, "auth", "", "the only `MECHANISM` to authenticate with, as SCRAM-SHA-256 or XOAUTH2; else the best that is offered")
	f.StringVar(&o.tls, "tls", "auto", "`MODE` of TLS: auto, implicit, starttls, opportunistic or none")
	f.StringVar(&o.caFile, "ca-file", "", "`FILE` with the certificates in PEM that vouch for the server's, in place of the system's")
	f.StringVar(&o.certFile, "cert-file", "", "`FILE` with the certificate in PEM to show to a server that asks for one, as for --auth EXTERNAL")
	f.StringVar(&o.keyFile, "key-file", "", "`FILE` with its private key in PEM; else it is in the file of the certificate")
	f.BoolVar(&o.trace, "trace", false, "print the dialogue with the server on standard error: times, and no secrets")
}

// localSchemes begin the addresses that are no server.
var localSchemes = []string{"sendmail:", "maildir:", "mbox:", "eml:"}

// isLocal tells whether an address is this machine's own: a mailbox, or a program.
func isLocal(address string) bool {
	return slices.ContainsFunc(localSchemes, func(scheme string) bool { return strings.HasPrefix(address, scheme) })
}

// senders makes one Sender of several addresses, each for whom the one before did
// not take for now, as postrider.Open does, but with the flags. All are made before
// the first is asked: that the last is spelt wrong is better known before the message
// is out.
func (o *connectOptions) senders(addresses []string, s streams) (smtp.SendCloser, error) {
	// Twice the same: as what is closed in the end, and as what each message goes through.
	var all failover
	var senders []smtp.Sender
	for _, address := range addresses {
		one, err := o.sender(address, s)
		if err != nil {
			return nil, err // nothing is connected yet that would have to be closed
		}
		all.senders, senders = append(all.senders, one), append(senders, one)
	}
	// The last has nobody behind it; what it says is the outcome.
	for i := range len(senders) - 1 {
		senders[i] = telling(senders[i], s.err)
	}
	if len(all.senders) == 1 {
		// It stays itself: it need not keep the message for a second try elsewhere.
		return all.senders[0], nil
	}
	all.Sender = smtp.Failover(senders...)
	return &all, nil
}

// telling returns s, which tells on w why the next server is tried: that all went well
// in the end does not mean that nothing is to be mended.
func telling(s smtp.Sender, w io.Writer) smtp.Sender {
	return smtp.SenderFunc(func(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
		results, err := s.Send(ctx, env, msg)
		// Refusals for good are not told here: the next server is not asked about them.
		if smtp.Remaining(env, results) != nil && ctx.Err() == nil {
			complain(w, fmt.Errorf("%w; the next server is tried", err))
		}
		return results, err
	})
}

// A failover is several Senders that stand in for each other.
type failover struct {
	smtp.Sender
	senders []smtp.SendCloser
}

// Close closes all of them.
func (f *failover) Close() error {
	var errs []error
	for _, one := range f.senders {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// sender makes a Sender of an address. Nothing is connected yet.
func (o *connectOptions) sender(address string, s streams) (smtp.SendCloser, error) {
	// A host alone is no URL, and what it says of itself is completed as people mean it.
	if !isLocal(address) && !strings.Contains(address, "://") {
		address = "smtp://" + address
		if u, err := url.Parse(address); err == nil && u.Port() == "" && o.user != "" {
			address += ":587" // RFC 6409, 3.1: submission
		}
	}
	opened, err := postrider.Open(address)
	if err != nil {
		return nil, flagf(exitUsage, "server", ": %s", strings.TrimPrefix(err.Error(), "postrider: "))
	}
	// Open returns a Transport for a server, and other Senders for what is no server.
	t, ok := opened.(*smtp.Transport)
	if !ok {
		// Somebody who asks for TLS or a trace must not believe that there is some.
		if *o != (connectOptions{tls: "auto"}) {
			return nil, flagf(exitUsage, "server", ": --user, --password-file, --auth, --tls, --ca-file, --cert-file, --key-file and --trace are for servers, which this is not")
		}
		return opened, nil
	}
	return t, o.set(t.Dialer, s)
}

// transport is sender for commands that only a server can answer.
func (o *connectOptions) transport(address string, s streams) (*smtp.Transport, error) {
	opened, err := o.sender(address, s)
	if err != nil {
		return nil, err
	}
	t, ok := opened.(*smtp.Transport)
	if !ok {
		return nil, flagf(exitUsage, "server", ": this is no server that could be asked: give HOST[:PORT], or a URL as smtps://smtp.example.com")
	}
	return t, nil
}

// set makes the settings of the flags. --tls cannot undo smtps://.
func (o *connectOptions) set(d *smtp.Dialer, s streams) error {
	mode, ok := map[string]smtp.TLSMode{
		"implicit": smtp.TLSImplicit, "starttls": smtp.TLSStartTLS, "opportunistic": smtp.TLSOpportunistic, "none": smtp.TLSNone,
	}[o.tls]
	switch {
	case ok && d.TLS == smtp.TLSImplicit && mode != smtp.TLSImplicit:
		return flagf(exitUsage, "tls", " %s contradicts smtps://, which is TLS from the beginning", o.tls)
	case ok:
		d.TLS = mode
	case o.tls != "auto":
		return flagf(exitUsage, "tls", " %q: it is auto, implicit, starttls, opportunistic or none", o.tls)
	}
	if err := o.credentials(d); err != nil {
		return err
	}
	if err := o.certificates(d); err != nil {
		return err
	}
	// Lines, and never the octets of the message; secrets have been masked before they come here (smtp.Line).
	if o.trace {
		d.Trace = transcript(s.err)
	}
	return nil
}

// certificates sets who vouches for the server, and what it is shown of us.
func (o *connectOptions) certificates(d *smtp.Dialer) error {
	if o.keyFile != "" && o.certFile == "" {
		return flagf(exitUsage, "key-file", " needs --cert-file")
	}
	if o.caFile == "" && o.certFile == "" {
		return nil
	}
	// Set, the server's certificate is looked at on loopback too: who shows one of
	// their own wants to know to whom.
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.caFile != "" {
		// In place of the system's, not added to them: who names an authority
		// means that one.
		pool, err := readPool(o.caFile)
		if err != nil {
			return err
		}
		config.RootCAs = pool
	}
	if o.certFile != "" {
		// Many tools write both into one file.
		pair, err := tls.LoadX509KeyPair(o.certFile, cmp.Or(o.keyFile, o.certFile))
		switch {
		case isFile(err):
			return flagf(exitNoInput, "cert-file", ": %w", err)
		case err != nil:
			return flagf(exitData, "cert-file", ": %s holds no certificate with its key, which is in it or in --key-file: %w", o.certFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	d.TLSConfig = config
	return nil
}

// transcript returns a Trace that prints the dialogue. The time is that of the day,
// to the millisecond, so that it can be held against a server's log.
func transcript(w io.Writer) func(smtp.Line) {
	return func(l smtp.Line) {
		side := "S:"
		if l.FromClient {
			side = "C:"
		}
		// A server's text goes to a terminal.
		fmt.Fprintln(w, l.Time.Format("15:04:05.000"), side, printable(l.Text))
	}
}

// credentials sets whom to authenticate as. Those of the URL stay unless --user is
// given.
func (o *connectOptions) credentials(d *smtp.Dialer) error {
	mechanism := strings.ToUpper(o.auth)
	if o.auth != "" && !slices.Contains(mechanisms, mechanism) {
		return flagf(exitUsage, "auth", " %q: it is one of %s", o.auth, strings.Join(mechanisms, ", "))
	}
	// What is said by the mechanism's name is checked before a password is looked for: a slip in the one would
	// otherwise be told as the lack of the other.
	// These two prove nothing by a password: the user is all that they tell.
	switch mechanism {
	case "EXTERNAL":
		d.Auth = sasl.External(o.user)
		return nil
	case "ANONYMOUS":
		d.Auth = sasl.Anonymous(o.user)
		return nil
	}
	if o.user == "" && o.passwordFile != "" {
		return flagf(exitUsage, "password-file", " needs --user")
	}
	if o.user != "" {
		secret, err := o.password()
		if err != nil {
			return err
		}
		// A password serves all mechanisms that take one, and which of them is left to the server's offer.
		d.Auth = sasl.Password(o.user, secret)
		if mechanism == "XOAUTH2" || mechanism == "OAUTHBEARER" {
			d.Auth = sasl.Token(o.user, func(context.Context) (string, time.Time, error) { return secret, time.Time{}, nil })
		}
	}
	if o.auth == "" {
		return nil
	}
	if d.Auth == nil {
		return flagf(exitUsage, "auth", " needs --user, or a URL with credentials")
	}
	d.Auth = sasl.Only(d.Auth, mechanism)
	return nil
}

// password reads the first line of the file, without its end: editors add one that
// is not meant. An empty password is one; that there is none is an error.
func (o *connectOptions) password() (string, error) {
	if o.passwordFile == "" {
		password, ok := os.LookupEnv("POSTRIDER_PASSWORD")
		if !ok {
			return "", flagf(exitUsage, "user", " needs a password: give --password-file FILE, or set POSTRIDER_PASSWORD")
		}
		return password, nil
	}
	f, err := os.Open(o.passwordFile)
	if err != nil {
		return "", flagf(exitNoInput, "password-file", ": %w", err)
	}
	defer f.Close()
	// A token can have some thousand characters.
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", flagf(exitNoInput, "password-file", ": %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return strings.TrimSuffix(string(line), "\r"), nil
}
