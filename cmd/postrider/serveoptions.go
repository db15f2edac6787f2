package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

// What serve is told, and what it refuses to do: a flag that is wrong is said in
// one line before anything is opened. What could harm others is not done by
// default: a server that everybody can reach and that takes all mail, or shows it,
// has to be asked for by name.

const (
	off         = postrider.Off
	defaultFile = "mail.ini"
)

// serveOptions are the flags of serve; flags says what each means.
type serveOptions struct {
	smtp, smtps, web string
	data             string
	tlsCert, tlsKey  string
	accept           []string
	webHosts         []string
	open             bool
	print            string

	hostname string // only in a file
	maxSize  int64
}

// flags defines the flags and with them the defaults.
func (o *serveOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.smtp, "smtp", "127.0.0.1:2525", "`ADDR` to receive mail on")
	f.StringVar(&o.smtps, "smtps", off, "`ADDR` to receive mail on with TLS from the start")
	f.StringVar(&o.web, "web", "127.0.0.1:8025", "`ADDR` of the web page and the JSON interface")
	f.StringVar(&o.data, "data", "postrider-data", "`DIR` to keep mail in; made if it is not there")
	f.StringVar(&o.tlsCert, "tls-cert", "", "`FILE` with the certificate chain in PEM, for STARTTLS and --smtps")
	f.StringVar(&o.tlsKey, "tls-key", "", "`FILE` with its private key in PEM")
	f.StringSliceVar(&o.accept, "accept", nil, "accept mail for these `DOMAINS` only, or for any")
	f.StringSliceVar(&o.webHosts, "web-host", nil, "`NAME` by which browsers may ask for the page, besides localhost")
	f.BoolVar(&o.open, "open", false, "allow everything on every address, passwords in clear too: for a test server")
	f.StringVar(&o.print, "print", "line", "how to print arriving mail: a `line`, or full")
}

// fromEnvironment sets the flags that the command line leaves alone from
// POSTRIDER_*.
func fromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "POSTRIDER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		if !set || f.Changed || f.Name == "help" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, usagef("%s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

// fromFile sets what neither the command line nor the environment has said from
// the configuration file, if there is one. mail.ini may be missing; a file that
// was named may not. The error is that of the path, without what was done to it.
func (o *serveOptions) fromFile(args []string, said func(flag string) bool) error {
	name := defaultFile
	if len(args) > 0 {
		name = args[0]
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && len(args) == 0 {
		return nil
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return exitf(exitNoInput, "%s: %w", name, pathErr.Err)
	}
	if err != nil {
		return exitf(exitNoInput, "%s: %w", name, err)
	}
	defer f.Close()
	c, err := postrider.ParseConfig(f)
	if err != nil {
		return exitf(exitConfig, "%s: %s", name, strings.TrimPrefix(err.Error(), "postrider: "))
	}
	// The file stands below what was said on the command line and around it.
	for _, set := range []struct {
		flag  string
		to    *string
		value string
	}{
		{"smtp", &o.smtp, c.Addr}, {"smtps", &o.smtps, cmp.Or(c.TLSAddr, off)},
		{"tls-cert", &o.tlsCert, c.CertFile}, {"tls-key", &o.tlsKey, c.KeyFile},
	} {
		if !said(set.flag) {
			*set.to = set.value
		}
	}
	o.hostname, o.maxSize = c.Hostname, c.MaxSize
	return nil
}

// check refuses what is wrong or would be dangerous, and loads the certificate;
// nil without an error is no TLS.
func (o *serveOptions) check() (*tls.Config, error) {
	addrs := []struct{ flag, addr string }{{"smtp", o.smtp}, {"smtps", o.smtps}, {"web", o.web}}
	open := 0
	for _, a := range addrs {
		if a.addr == off {
			continue
		}
		open++
		_, port, err := net.SplitHostPort(a.addr)
		_, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil {
			return nil, usagef("--%s %q is no address: give HOST:PORT, or %q", a.flag, a.addr, off)
		}
		// Mail can be let in for certain domains, but there is no password for the
		// page, so that only --open lets others see it.
		if !o.open && !isLoopback(a.addr) && (a.flag == "web" || len(o.accept) == 0) {
			return nil, o.refusal(a.flag, a.addr)
		}
	}
	switch {
	case open == 0:
		return nil, usagef("every port is off: there is nothing to serve")
	case o.print != "line" && o.print != "full":
		return nil, usagef("--print %q: it is line or full", o.print)
	case o.data == "":
		return nil, usagef("--data is empty: give a directory")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return nil, usagef("--tls-cert and --tls-key go together")
	case o.smtps != off && o.tlsCert == "":
		return nil, usagef("--smtps needs --tls-cert and --tls-key")
	case o.tlsCert == "":
		return nil, nil
	}
	// The file system says which of the two files it is; the certificate does not.
	pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, exitf(exitNoInput, "%s: %w", pathErr.Path, pathErr.Err)
	}
	if err != nil {
		return nil, exitf(exitConfig, "the certificate cannot be used: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// refusal says what to do to listen where others can reach it.
func (o *serveOptions) refusal(flag, addr string) error {
	if flag == "web" {
		return usagef("--web %s can be reached by others, and everybody could read the mail: use a loopback address, or --open for a test server", addr)
	}
	return usagef("--%s %s can be reached by others: say with --accept for which domains mail is accepted, or --open for a test server", flag, addr)
}

// private tells whether nobody but this machine can reach the SMTP ports. A port
// that is off is reached by nobody.
func (o *serveOptions) private() bool {
	return (o.smtp == off || isLoopback(o.smtp)) && (o.smtps == off || isLoopback(o.smtps))
}

// isLoopback tells whether an address is this machine's own. A name other than
// localhost may be anything, today or after the next change of a DNS record.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	// An empty host is every address there is.
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// accepts is asked about each recipient. Without --accept everybody is one: then
// the port is private, or --open was given. 550 is for good (RFC 5321, 4.2.3), as
// trying again would not help.
func (o *serveOptions) accepts(_ context.Context, _ *smtp.Conn, to string, _ *smtp.RcptOptions) error {
	if len(o.accept) == 0 {
		return nil
	}
	at := strings.LastIndexByte(to, '@')
	if at < 0 {
		return nil // postmaster without a domain is everybody's (RFC 5321, 4.5.1)
	}
	// A subdomain is another domain: who means it says so.
	for _, domain := range o.accept {
		if strings.EqualFold(domain, to[at+1:]) || domain == "any" {
			return nil
		}
	}
	return smtp.Errorf(550, "5.7.1", "mail for this domain is not accepted here")
}

// listenError says why a port cannot be opened and what to do about it. The
// system's own text names neither the flag nor a way out.
func listenError(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return exitf(exitUnavailable, "%s is in use by another program: give another address with --%s, or --%s off", addr, flag, flag)
	case errors.Is(err, syscall.EACCES):
		return exitf(exitNoPerm, "%s may not be opened by this user: ports below 1024 often are the system's", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return exitf(exitUnavailable, "%s is not an address of this machine", addr)
	}
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		return exitf(exitNoHost, "--%s %s: %s", flag, addr, fmt.Sprint(dnsErr.Err))
	}
	return exitf(exitUnavailable, "--%s %s: %w", flag, addr, err)
}
