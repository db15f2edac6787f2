package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/crypto/acme/autocert"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/cmd/postrider/hook"
	"github.com/postrider/postrider/internal/mailini"
)

// What serve is told: by flags, else by the environment, else by a file, else by defaults. A flag has one name
// everywhere: --web-host is POSTRIDER_WEB_HOST and the key web_host. What is refused is in servecheck.go.
//
// The flags are the one list. The environment and the file are read by going through it and setting what is not set
// yet, so that a new flag is known in all three places by being defined, its help is their documentation, and a value
// is checked by the same code wherever it came from. Where it came from is kept with the flag, because an error has
// to name the place that can be mended (placed, in exit.go).
//
// A file is different in one thing: once there is one, a port that it does not name is off, and local is true. That is
// what those who come from Axiom's server expect of its keys.

const (
	off         = postrider.Off
	defaultFile = "mail.ini"
	// longestHook leaves a minute of the ten that a client waits for the reply to its message (RFC 5321, 4.5.3.2.6): one
	// that has gone comes again, and the message would be there twice.
	longestHook = 9 * time.Minute
)

// serveOptions are the flags of serve; flags says what each means.
type serveOptions struct {
	// Where: addresses, or off.
	smtp, smtps     string // several with commas
	web             string
	data            string
	tlsCert, tlsKey string
	acme            []string
	acmeURL         string
	acmeHTTP        string
	// Who: users, domains, and who sees the page.
	users    string
	accept   []string
	webAuth  string
	webHosts []string
	webPath  string
	open     bool

	// Who is asked, and for how long.
	onMail, onRcpt, onAuth string
	hookSecretFile         string
	hookTimeout            time.Duration
	hookLimit              int

	inbox   inboxOptions
	print   string
	verbose bool
	init    bool

	// There are no flags for these: what a host is called and takes is its file's to say.
	hostname string // only in a file
	maxSize  int64

	set *pflag.FlagSet // what was read of all this: see placed
}

// flags defines the flags and with them the defaults.
func (o *serveOptions) flags(f *pflag.FlagSet) {
	o.set = f
	// In the order in which one wonders about them, not that of the alphabet. The defaults are for a laptop: nobody else
	// can reach it, and no right is needed to open the ports.
	f.SortFlags = false
	f.StringVar(&o.smtp, "smtp", "127.0.0.1:2525", "`ADDR` to receive mail on; several with commas")
	f.StringVar(&o.smtps, "smtps", off, "`ADDR` to receive mail on with TLS from the start")
	f.StringVar(&o.web, "web", "127.0.0.1:8025", "`ADDR` of the web page and the JSON interface")
	f.StringVar(&o.data, "data", "postrider-data", "`DIR` to keep mail in; made if it is not there")
	f.StringVar(&o.tlsCert, "tls-cert", "", "`FILE` with the certificate chain in PEM, for STARTTLS, --smtps, and a page that others reach")
	f.StringVar(&o.tlsKey, "tls-key", "", "`FILE` with its private key in PEM")
	f.StringSliceVar(&o.acme, "acme", nil, "get certificates for these `NAMES` from Let's Encrypt, whose terms you agree to")
	f.StringVar(&o.acmeURL, "acme-url", autocert.DefaultACMEDirectory, "`URL` of another authority's directory")
	f.StringVar(&o.acmeHTTP, "acme-http", ":80", "`ADDR` at which the authority asks whether the names are ours")
	f.StringVar(&o.users, "users", "", "`FILE` of users, by postrider passwd; only they may send, unless --accept says more")
	f.StringSliceVar(&o.accept, "accept", nil, "accept mail for these `DOMAINS` only, or for any")
	f.StringVar(&o.webAuth, "web-auth", "", "`FILE` of users who may see the web page, or off for everybody")
	f.StringSliceVar(&o.webHosts, "web-host", nil, "`NAME` by which browsers may ask for the page, besides localhost")
	f.StringVar(&o.webPath, "web-path", "/", "`PATH` at which a proxy shows the page, as /mail")
	f.BoolVar(&o.open, "open", false, "allow everything on every address, passwords in clear too: for a test server")
	f.StringVar(&o.onMail, "on-mail", "", "ask `COMMAND` or URL about each message before it is accepted")
	f.StringVar(&o.onRcpt, "on-rcpt", "", "ask `COMMAND` or URL about each recipient")
	f.StringVar(&o.onAuth, "on-auth", "", "ask `COMMAND` or URL about each user and password")
	f.StringVar(&o.hookSecretFile, "hook-secret-file", "", "`FILE` with the secret that signs what a URL is asked; else POSTRIDER_HOOK_SECRET is taken")
	f.DurationVar(&o.hookTimeout, "hook-timeout", hook.Timeout, "`TIME` that a command or URL may take, at most 9m; then the client is asked to come again")
	f.IntVar(&o.hookLimit, "hook-limit", hook.Limit, "`NUMBER` of questions that each of them is asked at a time; others wait within --hook-timeout")
	o.inbox.flags(f)
	f.StringVar(&o.print, "print", "line", "how to print arriving mail: a `line`, or full")
	f.BoolVar(&o.verbose, "verbose", false, "log each session too: who has come, and why it ended")
	f.BoolVar(&o.init, "init", false, "write a mail.ini with the defaults, and end")
}

// fromEnvironment sets the flags that the command line leaves alone from
// POSTRIDER_*.
func fromEnvironment(flags *pflag.FlagSet) error {
	// All that is wrong is told, since who sets variables often sets several.
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "POSTRIDER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		// help and init are acts, and no settings: a variable that is left behind must not make every start write a file.
		if !set || f.Changed || f.Name == "help" || f.Name == "init" {
			return
		}
		errs = append(errs, setAt(flags, f.Name, value, name))
	})
	return errors.Join(errs...)
}

// fromFile sets what neither the command line nor the environment has said from the configuration file, if there is one.
// mail.ini may be missing; a file that was named may not.
func (o *serveOptions) fromFile(args []string, flags *pflag.FlagSet) error {
	name, found := defaultFile, true
	if len(args) > 0 {
		name, found = args[0], false
	}
	// Read once and parsed twice, for the library's keys and for the program's: both must speak of the same text.
	text, err := readConfig(name)
	if errors.Is(err, fs.ErrNotExist) && found {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return exitf(exitNoInput, "there is no file %s; postrider serve --init %s writes one", name, name)
	}
	if err != nil {
		return err
	}
	wrong := func(err error) error {
		return exitf(exitConfig, "%s: %s", name, strings.TrimPrefix(err.Error(), "postrider: "))
	}
	c, err := postrider.ParseConfig(bytes.NewReader(text))
	if err != nil {
		return wrong(err)
	}
	file, err := mailini.Parse(bytes.NewReader(text))
	if err != nil {
		return wrong(err)
	}
	// Keys with names of their own, which are Axiom's, become the flags that they stand for.
	o.hostname, o.maxSize = c.Hostname, c.MaxSize
	set := map[string]string{"port": c.Addr, "tls_port": cmp.Or(c.TLSAddr, off), "tls_crt": c.CertFile, "tls_key": c.KeyFile}
	for _, key := range mailini.Program() {
		value := file.Value(key)
		// Whoever can put a file where we are started must not have us run commands, or ask URLs for our users'
		// passwords.
		if found && value != "" && strings.HasPrefix(key, "on_") {
			return wrong(file.Wrong(key, "a file that is merely found may not say whom to ask; postrider serve "+name+" takes it"))
		}
		if value != "" {
			set[key] = value
		}
	}
	// The file stands below what was said on the command line and around it.
	for _, key := range slices.Sorted(maps.Keys(set)) { // of two errors the same one is told each time
		flag := cmp.Or(map[string]string{"port": "smtp", "tls_port": "smtps", "tls_crt": "tls-cert"}[key], strings.ReplaceAll(key, "_", "-"))
		if flags.Changed(flag) {
			continue
		}
		if err := setAt(flags, flag, set[key], name+": "+file.At(key)); err != nil {
			return err
		}
	}
	return nil
}

// tidy takes the blanks away that people put behind commas.
func (o *serveOptions) tidy() {
	// Names with blanks are none, so that nothing can be meant by them.
	for _, list := range [][]string{o.accept, o.acme, o.webHosts} {
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
	}
}

// readConfig reads the file, or as much of one that is too long as shows it. An error is that of the path, without what
// was done to it.
func readConfig(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, pathError(name, err)
	}
	defer f.Close()
	// 2 MiB are more than any configuration or secret has; a device that was named by mistake never ends.
	text, err := io.ReadAll(io.LimitReader(f, 2<<20))
	if err != nil {
		return nil, pathError(name, err)
	}
	return text, nil
}

// pathError says what is wrong with a file that is to be read, in the form NAME: why.
func pathError(name string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return exitf(exitNoInput, "%s: %w", e.Path, e.Err)
	}
	return exitf(exitNoInput, "%s: %w", name, err)
}

// initialFile is what --init writes: the defaults, with what can be said besides them.
const initialFile = `# What postrider serve receives mail with. Lines that begin with # or ; are comments; a port that is commented out is off.
# Flags (--web-host) and the environment (POSTRIDER_WEB_HOST) come before this file.

# Where to receive mail, and whether this machine alone can connect.
port = 2525
local = true

# TLS: with a certificate, port offers STARTTLS. tls_port is TLS from the beginning.
;tls_port = 465
;tls_crt = chain.pem
;tls_key = key.pem

# Or certificates that an authority gives out by ACME (RFC 8555): Let's Encrypt, whose terms you agree to, or another. It
# asks at port 80 of each name whether it is ours.
;acme = mail.example.com
;acme_url = https://acme-v02.api.letsencrypt.org/directory
;acme_http = :80

# The name in the greeting; that of this machine if it is not set. Octets that a message may have.
;hostname = mail.example.com
;max_size = 52428800

# Where the web page and the JSON interface are, and where mail is kept.
web = 127.0.0.1:8025
data = postrider-data

# Who may send: users of a file (postrider passwd --users users ann), and everybody to these domains, or to any.
;users = users
;accept = example.com, example.org

# Who may see the page, where others can reach it, and by which names they ask for it.
;web_auth = users
;web_host = mail.example.com

# Where a proxy in front shows the page, if other things are beside it.
;web_path = /mail

# Commands or URLs that are asked before something is accepted. They count only in a file that is named:
# postrider serve mail.ini
;on_mail = /usr/local/bin/check-mail
;on_rcpt = /usr/local/bin/check-recipient
;on_auth = https://users.example.com/check
;hook_secret_file = hook-secret
;hook_timeout = 1m
;hook_limit = 16

# How much is kept, and how mail is parted into inboxes: by domain, plus, user or listener.
;keep = 10000, 30d, 2GB
;inboxes = domain

# The server through which messages may be released and sent; postrider sendmail sends through it too.
;relay = smtp://mail.example.com

# How to misbehave, for tests; several rules with |.
;fault = RCPT *@full.example 452 4.2.2 mailbox full | DATA 10% delay=5s

# A line for each message that arrives, or full; and whether the log is to tell of each session too.
print = line
;verbose = true
`

// writeInitial writes the file, and never over one that is there.
func writeInitial(name string, out io.Writer) error {
	// O_EXCL asks and makes in one step: what somebody has just written cannot be lost between the two. Others may read it,
	// as what is written has no secret in it.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return exitf(exitCannotWrite, "%s is there already, and is left as it is", name)
	}
	if err == nil {
		_, err = f.WriteString(initialFile)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return exitf(exitCannotWrite, "%s: %w", name, err)
	}
	_, err = fmt.Fprintf(out, "Wrote %s. postrider serve %s takes it.\n", name, name)
	return err
}
