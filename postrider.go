// Package postrider is the short way: [Send] sends one message, [Open] makes a Sender from a URL, [Serve] receives mail.
//
// Each is a few lines over the packages that do the work: mail composes and parses, smtp is both sides of the wire. Use
// those where more is to be said. RFC 5321 and 8314.
package postrider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// Send sends one message over a connection of its own to the server that url names, as [Open] reads it, for the
// message's recipients. The results are those of smtp.Sender: one for each recipient, in the order of m.Recipients. They
// are nil only if nothing was tried, because the URL or the message is wrong. The error is nil only if every recipient was
// accepted. It may be called from anywhere at once; m must not be changed until it has returned. For more than one message
// Open is better, which keeps the connection.
func Send(ctx context.Context, url string, m *mail.Message) ([]smtp.Result, error) {
	s, err := Open(url)
	if err != nil {
		return nil, err
	}
	results, err := Deliver(ctx, s, m)
	// Whatever becomes of the connection now, the message's fate is known.
	s.Close()
	return results, err
}

// Deliver sends a message by s. The envelope is taken from it: the sender is Sender, or the first author; the recipients
// are those of To, Cc and Bcc, each once. Results and error are those of s; results are nil also when the message has no
// author or no recipients. It may be called at once where s may.
func Deliver(ctx context.Context, s smtp.Sender, m *mail.Message) ([]smtp.Result, error) {
	env, err := envelope(m)
	if err != nil {
		return nil, err
	}
	return s.Send(ctx, env, m)
}

// envelope takes the envelope from the fields, as RFC 5322, 3.6.2 means them: Sender is who transmits, From who wrote.
// With several authors the first is taken, since an envelope has one sender (RFC 5321, 3.3).
func envelope(m *mail.Message) (*smtp.Envelope, error) {
	from := m.Originator()
	if from == "" {
		return nil, errors.New("postrider: the message has no author: set From")
	}
	to := m.Recipients()
	if len(to) == 0 {
		return nil, errors.New("postrider: the message has no recipients: set To, Cc or Bcc")
	}
	// Bcc is in the envelope only; the message is written without it (RFC 5322, 3.6.3).
	return smtp.NewEnvelope(from, to...), nil
}

// schemes are what Open knows.
var schemes = []string{"smtp", "smtps", "lmtp"}

// tlsModes are the words of ?tls=.
var tlsModes = map[string]smtp.TLSMode{
	"auto": smtp.TLSAuto, "implicit": smtp.TLSImplicit, "starttls": smtp.TLSStartTLS,
	"opportunistic": smtp.TLSOpportunistic, "none": smtp.TLSNone,
}

// Open makes a Sender from a URL:
//
//	smtp://[user:password@]host[:port]    port 25, or 587 with credentials; STARTTLS required, but to loopback
//	smtps://[user:password@]host[:port]   port 465, TLS from the beginning
//	lmtp://host[:port]                    port 24
//
// User and password are percent-encoded where they hold one of : / ? # @ %. ?tls= is auto, implicit, starttls,
// opportunistic or none, as [smtp.TLSMode] has them; ?name= is the EHLO name. Nothing is connected yet: the Sender, which
// is a *smtp.Transport, connects when it sends and keeps its connections for the next message. An error never repeats
// what was given, because there may be a password in it; the Sender is nil then. What Open returns may be used by many at
// once and is closed by its owner.
func Open(rawURL string) (smtp.SendCloser, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's own error repeats the URL with its password, so that it is not wrapped.
		return nil, errors.New("postrider: this is no URL; it is smtp://user:password@host:port, with %40 for an @ in the user or password, %2F for a /, %25 for a %")
	}
	if !slices.Contains(schemes, u.Scheme) {
		return nil, fmt.Errorf("postrider: the URL begins with none of %s://", strings.Join(schemes, "://, "))
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("postrider: the %s URL names no host", u.Scheme)
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, fmt.Errorf("postrider: something follows the host in the %s URL; a / or # in a password is written %%2F or %%23", u.Scheme)
	}
	d := &smtp.Dialer{LMTP: u.Scheme == "lmtp"}
	// RFC 8314, 7.3: 465 is submission with TLS. LMTP has no port of its own; RFC 2033 only forbids it 25.
	port := map[string]string{"smtp": "25", "smtps": "465", "lmtp": "24"}[u.Scheme]
	if u.Scheme == "smtps" {
		d.TLS = smtp.TLSImplicit
	}
	if u.User != nil {
		password, given := u.User.Password()
		if u.User.Username() == "" || !given {
			return nil, errors.New("postrider: credentials in the URL are user:password@")
		}
		d.Auth = sasl.Password(u.User.Username(), password)
		if u.Scheme == "smtp" {
			port = "587" // RFC 6409, 3.1: submission
		}
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if err := setParameters(d, u.Query()); err != nil {
		return nil, err
	}
	return &smtp.Transport{Addr: net.JoinHostPort(u.Hostname(), port), Dialer: d}, nil
}

// setParameters takes what is behind the question mark. One that is unknown is an error: a ?tls that is spelt wrong would
// send in clear what was meant to be protected.
func setParameters(d *smtp.Dialer, query url.Values) error {
	for name, values := range query {
		// The last one counts, so that something can be appended to a URL that is kept elsewhere.
		value := values[len(values)-1]
		switch name {
		case "tls":
			mode, ok := tlsModes[value]
			if !ok {
				return fmt.Errorf("postrider: ?tls=%s: it is auto, implicit, starttls, opportunistic or none", value)
			}
			if d.TLS == smtp.TLSImplicit && mode != smtp.TLSImplicit && mode != smtp.TLSAuto {
				return fmt.Errorf("postrider: ?tls=%s contradicts smtps://, which is TLS from the beginning", value)
			}
			if mode != smtp.TLSAuto {
				d.TLS = mode
			}
		case "name":
			d.Hostname = value
		default:
			return fmt.Errorf("postrider: the URL has the parameter %q; there are tls and name", name)
		}
	}
	return nil
}
