package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
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

// check refuses what is wrong or would be dangerous on these ports.
func (o *serveOptions) check(ports []*port) error {
	for _, p := range ports {
		// At the port of ACME there is nothing but what its authority asks for.
		if o.open || p.flag == "acme-http" || listen.Private(p.addr) {
			continue
		}
		if err := o.public(p); err != nil {
			return err
		}
	}
	switch {
	case len(ports) == 0:
		return usagef("every port is off: there is nothing to serve")
	case o.print != "line" && o.print != "full":
		return usagef("--print %q: it is line or full", o.print)
	case o.data == "":
		return usagef("--data is empty: give a directory")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return usagef("--tls-cert and --tls-key go together")
	case o.tlsCert != "" && o.acme != nil:
		return usagef("--tls-cert and --acme both say which certificate: give one of them")
	case !o.tls() && slices.ContainsFunc(ports, func(p *port) bool { return p.flag == "smtps" }):
		return usagef("--smtps needs --tls-cert and --tls-key, or --acme")
	case o.users != "" && o.onAuth != "":
		return usagef("--users and --on-auth both say who the users are: give one of them")
	case o.hookTimeout <= 0 || o.hookTimeout > longestHook:
		return usagef("--hook-timeout %v: give a time such as 30s, at most %v", o.hookTimeout, longestHook)
	case o.hookLimit < 1:
		return usagef("--hook-limit %d: give a number from 1", o.hookLimit)
	}
	return nil
}

// public says what is missing for a port that others can reach.
func (o *serveOptions) public(p *port) error {
	switch {
	case p.flag == "web" && o.webAuth == "":
		return usagef("--web %s can be reached by others, and everybody could read the mail: say with --web-auth who may, or give a loopback address, or --open for a test server", p.addr)
	case p.flag == "web":
		return nil
	case len(o.accept) == 0 && !o.verifies():
		return usagef("--%s %s can be reached by others: say with --accept for which domains mail is accepted, or with --users who may send, or give --open for a test server", p.flag, p.addr)
	case len(o.accept) == 0 && !o.tls():
		return usagef("--%s %s can be reached by others, and nobody could authenticate there: passwords need --tls-cert and --tls-key, or --acme, or --open for a test server", p.flag, p.addr)
	}
	return nil
}

// verifies tells whether it is known who the users are.
func (o *serveOptions) verifies() bool { return o.users != "" || o.onAuth != "" }

// tls tells whether there is a certificate, or will be.
func (o *serveOptions) tls() bool { return o.tlsCert != "" || o.acme != nil }

// ports reads the addresses; those that are off are left out.
func (o *serveOptions) ports() ([]*port, error) {
	var ports []*port
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
				return nil, usagef("--%s: %w, or %q", set.flag, err, off)
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
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return exitf(exitNoInput, "--%s: there is no file %s; postrider passwd --users %s NAME makes it", f.flag, f.path, f.path)
			case isFile(err):
				return pathError(f.path, err)
			}
			return exitf(exitConfig, "--%s: %w", f.flag, err)
		}
	}
	secret, err := o.hookSecret()
	if err != nil {
		return err
	}
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
			if errors.Is(err, hook.ErrNoSecret) {
				err = fmt.Errorf("%w: give --hook-secret-file or POSTRIDER_HOOK_SECRET", err)
			}
			return usagef("--on-%s: %w", h.kind, err)
		}
	}
	return nil
}

// hookSecret reads the secret of the file or of the environment; nil if there is none.
func (o *serveOptions) hookSecret() ([]byte, error) {
	text, from := os.Getenv("POSTRIDER_HOOK_SECRET"), "POSTRIDER_HOOK_SECRET"
	if o.hookSecretFile != "" {
		b, err := readConfig(o.hookSecretFile)
		if err != nil {
			return nil, err
		}
		text, from = string(b), "--hook-secret-file"
	}
	secret, err := hook.Secret(text)
	if err != nil {
		return nil, exitf(exitConfig, "%s: %w", from, err)
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
		return exitf(exitUnavailable, "%s is in use by another program: give another address with --%s%s", addr, flag, hint)
	case errors.Is(err, syscall.EACCES):
		return exitf(exitNoPerm, "%s may not be opened by this user: ports below 1024 often are the system's", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return exitf(exitUnavailable, "%s is not an address of this machine", addr)
	}
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		return exitf(exitNoHost, "--%s %s: %s", flag, addr, fmt.Sprint(dnsErr.Err))
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return usagef("--%s %q: it is HOST:PORT, or :PORT for all addresses of this machine", flag, addr)
	}
	return exitf(exitUnavailable, "--%s %s: %w", flag, addr, err)
}
