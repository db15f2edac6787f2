package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/postrider/postrider/cmd/postrider/hook"
	"github.com/postrider/postrider/cmd/postrider/users"
	"github.com/postrider/postrider/internal/listen"
	"github.com/postrider/postrider/smtp"
)

// What serve refuses to do: a flag that is wrong is said in one line before anything is made. What could harm others is
// not done by default: a server that everybody can reach and that takes all mail, or shows it, has to be asked for by
// name.

// pathForm is what stands for itself in a URL's path, and leads nowhere else.
var pathForm = regexp.MustCompile(`^/?([A-Za-z0-9_-][A-Za-z0-9._-]*/?)*$`)

// check refuses what is wrong or would be dangerous on these ports.
func (o *serveOptions) check(ports []*port) error {
	// First what could harm others: whoever has two things wrong is told that one.
	for _, p := range ports {
		// At the port of ACME there is nothing but what its authority asks for.
		if o.open || p.flag == "acme-http" || listen.Private(p.addr) {
			continue
		}
		if err := o.public(p); err != nil {
			return err
		}
	}
	// Two answers to one question are refused rather than ranked: whoever gave both believes that both hold.
	switch {
	case len(ports) == 0:
		return usagef("every port is off: there is nothing to serve")
	case o.print != "line" && o.print != "full":
		return flagf(exitUsage, "print", " %q: it is line or full", o.print)
	case o.data == "":
		return flagf(exitUsage, "data", " is empty: give a directory")
	case !pathForm.MatchString(o.webPath):
		return flagf(exitUsage, "web-path", " %q: give a path of letters, digits, ., _, - and /, as /mail", o.webPath)
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return usagef("--tls-cert and --tls-key go together")
	case o.tlsCert != "" && o.acme != nil:
		return flagf(exitUsage, "acme", " and --tls-cert both say which certificate: give one of them")
	case !o.tls() && slices.ContainsFunc(ports, func(p *port) bool { return p.flag == "smtps" }):
		return flagf(exitUsage, "smtps", " needs --tls-cert and --tls-key, or --acme")
	case o.users != "" && o.onAuth != "":
		return flagf(exitUsage, "users", " and --on-auth both say who the users are: give one of them")
	case o.hookTimeout <= 0 || o.hookTimeout > longestHook:
		return flagf(exitUsage, "hook-timeout", " %v: give a time such as 30s, at most %v", o.hookTimeout, longestHook)
	case o.hookLimit < 1:
		return flagf(exitUsage, "hook-limit", " %d: give a number from 1", o.hookLimit)
	}
	return nil
}

// public says what is missing for a port that others can reach.
func (o *serveOptions) public(p *port) error {
	switch {
	// RFC 5321, 7.9 and 3.6.2: an open relay is used by others within hours, and a page that everybody
	// can read is somebody's mail. Which flag decides is in the text, since no default could.
	case p.flag == "web" && o.webAuth == "":
		return flagf(exitUsage, "web", " %s can be reached by others, and everybody could read the mail: say with --web-auth who may, or give a loopback address, or --open for a test server", p.addr)
	case p.flag == "web":
		return nil
	case len(o.accept) == 0 && !o.verifies():
		return flagf(exitUsage, p.flag, " %s can be reached by others: say with --accept for which domains mail is accepted, or with --users who may send, or give --open for a test server", p.addr)
	// It would start, and refuse everybody: AUTH is not announced in clear to others.
	case len(o.accept) == 0 && !o.tls():
		return flagf(exitUsage, p.flag, " %s can be reached by others, and nobody could authenticate there: passwords need --tls-cert and --tls-key, or --acme, or --open for a test server", p.addr)
	}
	return nil
}

// verifies tells whether it is known who the users are.
func (o *serveOptions) verifies() bool { return o.users != "" || o.onAuth != "" }

// tries tells whether mail comes from programs that are tried out, not from people
// who want it delivered: what asks for more than to be kept is then taken and shown.
// Elsewhere nobody may believe that a report will come.
func (o *serveOptions) tries() bool { return o.open || o.accept == nil && !o.verifies() }

// tls tells whether there is a certificate, or will be.
func (o *serveOptions) tls() bool { return o.tlsCert != "" || o.acme != nil }

// ports reads the addresses; those that are off are left out.
func (o *serveOptions) ports() ([]*port, error) {
	// An address is checked here, so that a slip is told by its flag; it is opened only later.
	var ports []*port
	// Nobody asks there while there are no names to prove.
	acmeHTTP := o.acmeHTTP
	if o.acme == nil {
		acmeHTTP = off
	}
	for _, set := range []struct{ flag, addrs string }{{"smtp", o.smtp}, {"smtps", o.smtps}, {"web", o.web}, {"acme-http", acmeHTTP}} {
		for addr := range strings.SplitSeq(set.addrs, ",") {
			if addr = strings.TrimSpace(addr); addr == off {
				continue
			}
			if err := listen.Check(addr); err != nil {
				return nil, flagf(exitUsage, set.flag, ": %w, or %q", err, off)
			}
			ports = append(ports, &port{flag: set.flag, addr: addr})
		}
	}
	return ports, nil
}

// anyDomain is what --accept says for all of them.
const anyDomain = "any"

// accepts is asked about each recipient. Without --accept everybody is one: then the port is private, or whoever sends is
// a user, or --open was given. 550 is for good (RFC 5321, 4.2.3), as trying again would not help.
func (o *serveOptions) accepts(_ context.Context, c *smtp.Conn, to string, _ *smtp.RcptOptions) error {
	// A user is somebody only where it is known who they are.
	if len(o.accept) == 0 || o.verifies() && c.User() != "" {
		return nil
	}
	at := strings.LastIndexByte(to, '@')
	if at < 0 {
		return nil // postmaster without a domain is everybody's (RFC 5321, 4.5.1)
	}
	// A subdomain is another domain: who means it says so.
	for _, domain := range o.accept {
		if strings.EqualFold(domain, to[at+1:]) || domain == anyDomain {
			return nil
		}
	}
	return smtp.Errorf(550, "5.7.1", "mail for this domain is not accepted here")
}

// files opens what the options name: users and hooks. It is done before any port is opened.
func (v *server) files() error {
	o := &v.options
	for _, f := range []struct {
		flag, path string
		to         **users.File
	}{{"users", o.users, &v.users}, {"web-auth", o.webAuth, &v.webUsers}} {
		if f.path == "" || f.path == off {
			continue
		}
		// One file for both is one, and is read again once.
		if f.flag == "web-auth" && f.path == o.users {
			v.webUsers = v.users
			continue
		}
		var err error
		if *f.to, err = users.Open(f.path); err != nil {
			// Each of these is mended in another way: by making the file, by its rights, or by its lines.
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return flagf(exitNoInput, f.flag, ": there is no file %s; postrider passwd --users %s NAME makes it", f.path, f.path)
			case isFile(err):
				return flagf(exitNoInput, f.flag, ": %w", pathError(f.path, err))
			}
			return flagf(exitConfig, f.flag, ": %w", err)
		}
	}
	// One secret for all hooks: whoever is asked verifies that it is we who ask.
	secret, err := o.hookSecret()
	if err != nil {
		return err
	}
	// A hook is parsed before any port is open: a program that is not there is found out now.
	settings := hook.Settings{Secret: secret, Log: v.log, Timeout: o.hookTimeout, Limit: o.hookLimit}
	for _, h := range []struct {
		kind hook.Kind
		text string
		to   **hook.Hook
	}{{hook.Mail, o.onMail, &v.onMail}, {hook.Rcpt, o.onRcpt, &v.onRcpt}, {hook.Auth, o.onAuth, &v.onAuth}} {
		if h.text == "" {
			continue
		}
		if *h.to, err = hook.Parse(h.kind, h.text, settings); err != nil {
			// Package hook knows no flags; which one is missing is said here.
			if errors.Is(err, hook.ErrNoSecret) {
				err = fmt.Errorf("%w: give --hook-secret-file or POSTRIDER_HOOK_SECRET", err)
			}
			return flagf(exitUsage, "on-"+string(h.kind), ": %w", err)
		}
	}
	return nil
}

// hookSecret reads the secret of the file or of the environment; nil if there is none.
func (o *serveOptions) hookSecret() ([]byte, error) {
	// A secret has no flag of its own: the command line is there for everybody on the machine to
	// read (ps), a file and the environment are not.
	const flag = "hook-secret-file"
	if o.hookSecretFile == "" {
		secret, err := hook.Secret(os.Getenv("POSTRIDER_HOOK_SECRET"))
		if err != nil {
			return nil, exitf(exitConfig, "POSTRIDER_HOOK_SECRET: %w", err)
		}
		return secret, nil
	}
	text, err := readConfig(o.hookSecretFile)
	if err != nil {
		return nil, flagf(exitNoInput, flag, ": %w", err)
	}
	secret, err := hook.Secret(string(text))
	if err != nil {
		return nil, flagf(exitConfig, flag, ": %w", err)
	}
	return secret, nil
}

// listenError says why a port cannot be opened and what to do about it. The
// system's own text names neither the flag nor a way out.
func listenError(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint := ", or --" + flag + " off"
		if flag == "listen" { // sink's, which has no other
			hint = ""
		}
		return flagf(exitUnavailable, flag, " %s is in use by another program: give another address%s", addr, hint)
	case errors.Is(err, syscall.EACCES):
		return flagf(exitNoPerm, flag, " %s may not be opened by this user: ports below 1024 often are the system's", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return flagf(exitUnavailable, flag, " %s is not an address of this machine", addr)
	}
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		return flagf(exitNoHost, flag, " %s: %s", addr, fmt.Sprint(dnsErr.Err))
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return flagf(exitUsage, flag, " %q: it is HOST:PORT, or :PORT for all addresses of this machine", addr)
	}
	return flagf(exitUnavailable, flag, " %s: %w", addr, err)
}
