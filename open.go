package postrider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// Senders from URLs: where mail goes, in one line of a configuration. Nothing that was given is repeated in an error,
// because there may be a password in it.

// A scheme is what a URL may begin with.
type scheme struct {
	name string
	port string // of a server; "" for what is on this machine
	open func(path string) smtp.SendCloser
}

// schemes are what Open knows.
func schemes() []scheme {
	return []scheme{
		{name: "smtp", port: "25"},
		{name: "smtps", port: "465"}, // RFC 8314, 7.3: submission with TLS
		{name: "lmtp", port: "24"},   // LMTP has no port of its own; RFC 2033, 5 only forbids it 25
		{name: "lmtp+unix", open: func(path string) smtp.SendCloser {
			return &smtp.Transport{Addr: path, Dialer: &smtp.Dialer{LMTP: true}}
		}},
		{name: "sendmail", open: func(path string) smtp.SendCloser { return local.Sendmail{Path: path} }},
		{name: "maildir", open: func(path string) smtp.SendCloser { return local.Maildir{Dir: path} }},
		{name: "mbox", open: func(path string) smtp.SendCloser { return local.Mbox{Path: path} }},
		{name: "eml", open: func(path string) smtp.SendCloser { return local.EML{Dir: path} }},
	}
}

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
//	lmtp+unix:///run/lmtp.sock            LMTP over a unix socket
//	sendmail: or sendmail:/path           the sendmail program of this machine
//	maildir:/path                         a maildir, made if it is not there
//	mbox:/path                            an mbox, likewise
//	eml:/path                             a directory with a file for each message, likewise
//
// User and password are percent-encoded where they hold one of : / ? # @ %, paths where they hold ? # or %. For servers
// ?tls= is auto, implicit, starttls, opportunistic or none, as [smtp.TLSMode] has them; ?name= is the EHLO name; ?without=
// names extensions that are not used though they are offered, as CHUNKING,SMTPUTF8; ?auth= is the only mechanism to authenticate with, as SCRAM-SHA-256: with XOAUTH2 and OAUTHBEARER the password is a token, with
// EXTERNAL and ANONYMOUS there is none.
//
// With more URLs the Sender is [smtp.Failover] over all of them: who is deferred by one, because it cannot be reached or
// takes nothing now, is sent to by the next.
//
// Nothing is connected or made yet. To one server the Sender is a *smtp.Transport, which connects when it sends and keeps
// its connections for the next message; the others are those of package local. An error never repeats what was given; the
// Sender is nil then. What Open returns may be used by many at once and is closed by its owner.
func Open(url string, more ...string) (smtp.SendCloser, error) {
	first, err := open(url)
	if err != nil || len(more) == 0 {
		return first, err
	}
	// They have connected nowhere yet, so that those before a wrong one need not be closed.
	all := &failover{senders: []smtp.SendCloser{first}}
	senders := []smtp.Sender{first}
	for _, url := range more {
		next, err := open(url)
		if err != nil {
			return nil, err
		}
		all.senders, senders = append(all.senders, next), append(senders, next)
	}
	all.Sender = smtp.Failover(senders...)
	return all, nil
}

// A failover is several Senders that stand in for each other.
type failover struct {
	smtp.Sender
	senders []smtp.SendCloser
}

// Close closes all of them.
func (f *failover) Close() error {
	var errs []error
	for _, s := range f.senders {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// open makes the Sender of one URL.
func open(rawURL string) (smtp.SendCloser, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's own error repeats the URL with its password, so that it is not wrapped.
		return nil, errors.New("postrider: this is no URL; it is smtp://user:password@host:port, with %40 for an @ in the user or password, %2F for a /, %25 for a %")
	}
	var names []string
	for _, s := range schemes() {
		switch {
		case s.name != u.Scheme:
			names = append(names, s.name+":")
		case s.open != nil:
			return openPath(s, u)
		default:
			return openServer(s, u)
		}
	}
	return nil, fmt.Errorf("postrider: the URL begins with none of %s", strings.Join(names, " "))
}

// openPath is for what a path leads to. A path may begin behind the colon or behind two slashes and an empty host.
func openPath(s scheme, u *url.URL) (smtp.SendCloser, error) {
	name := u.Path
	if u.Opaque != "" {
		var err error
		if name, err = url.PathUnescape(u.Opaque); err != nil {
			return nil, fmt.Errorf("postrider: the path of the %s URL is not percent-encoded", s.name)
		}
	}
	switch {
	case u.Host != "" || u.User != nil:
		return nil, fmt.Errorf("postrider: a %s URL has no host; it is %s:/path", s.name, s.name)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("postrider: a %s URL has no parameters; a ? or # in the path is written %%3F or %%23", s.name)
	case name == "" && s.name != "sendmail":
		return nil, fmt.Errorf("postrider: the %s URL has no path; it is %s:/path", s.name, s.name)
	case s.name == "lmtp+unix" && !path.IsAbs(name):
		return nil, errors.New("postrider: the path of a socket is absolute: lmtp+unix:///run/lmtp.sock")
	}
	return s.open(name), nil
}

// openServer is for servers.
func openServer(s scheme, u *url.URL) (smtp.SendCloser, error) {
	if u.Hostname() == "" {
		return nil, fmt.Errorf("postrider: the %s URL names no host", s.name)
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, fmt.Errorf("postrider: something follows the host in the %s URL; a / or # in a password is written %%2F or %%23", s.name)
	}
	if _, err := strconv.ParseUint(cmp.Or(u.Port(), s.port), 10, 16); err != nil || u.Port() == "0" {
		return nil, fmt.Errorf("postrider: the port in the %s URL is none: they are numbers from 1 to 65535", s.name)
	}
	d := &smtp.Dialer{LMTP: s.name == "lmtp"}
	if s.name == "smtps" {
		d.TLS = smtp.TLSImplicit
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("postrider: the parameters of the %s URL are not percent-encoded", s.name)
	}
	auth, err := setParameters(d, query)
	if err != nil {
		return nil, err
	}
	if d.Auth, err = credential(u.User, auth); err != nil {
		return nil, err
	}
	port := s.port
	if d.Auth != nil && s.name == "smtp" {
		port = "587" // RFC 6409, 3.1: submission
	}
	return &smtp.Transport{Addr: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)), Dialer: d}, nil
}

// credential is what the URL says to prove oneself with; nil: nothing. mechanism is in upper case, "" for the best.
func credential(user *url.Userinfo, mechanism string) (sasl.Credential, error) {
	password, given := user.Password()
	switch {
	case mechanism == "EXTERNAL" && !given:
		return sasl.External(user.Username()), nil
	case mechanism == "ANONYMOUS" && !given:
		return sasl.Anonymous(user.Username()), nil
	case user == nil && mechanism == "":
		return nil, nil
	case user.Username() == "" || !given:
		return nil, errors.New("postrider: credentials in the URL are user:password@")
	case mechanism == "":
		return sasl.Password(user.Username(), password), nil
	case mechanism == "XOAUTH2" || mechanism == "OAUTHBEARER":
		token := func(context.Context) (string, time.Time, error) { return password, time.Time{}, nil }
		return sasl.Only(sasl.Token(user.Username(), token), mechanism), nil
	}
	return sasl.Only(sasl.Password(user.Username(), password), mechanism), nil
}

// setParameters takes what is behind the question mark, and returns the mechanism. One that is unknown is an error: a ?tls
// that is spelt wrong would send in clear what was meant to be protected.
func setParameters(d *smtp.Dialer, query url.Values) (auth string, err error) {
	for name, values := range query {
		// The last one counts, so that something can be appended to a URL that is kept elsewhere.
		value := values[len(values)-1]
		switch name {
		case "tls":
			mode, ok := tlsModes[value]
			if !ok {
				return "", errors.New("postrider: ?tls= is auto, implicit, starttls, opportunistic or none")
			}
			if d.TLS == smtp.TLSImplicit && mode != smtp.TLSImplicit && mode != smtp.TLSAuto {
				return "", fmt.Errorf("postrider: ?tls=%s contradicts smtps://, which is TLS from the beginning", value)
			}
			if mode != smtp.TLSAuto {
				d.TLS = mode
			}
		case "name":
			d.Hostname = value
		case "without":
			d.Without = strings.Split(value, ",")
		case "auth":
			auth = strings.ToUpper(value)
		default:
			return "", errors.New("postrider: the URL has a parameter that is none of tls, name, without and auth; a ? or & in a password is written %3F or %26")
		}
	}
	return auth, nil
}
