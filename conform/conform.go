// Package conform holds any SMTP server against a suite of dialogues: what the
// RFCs ask of one, and what has broken servers before.
//
// Each [Case] is a rule with the place it comes from and the replies that a server
// may give; [Run] plays them all, [Test] does so as subtests. Replies are judged by
// their codes, so that it does not matter how a server words them. Cases that need
// what a server does not announce, or a recipient that is not given, are skipped
// and say why, and so are those that a server which takes any password or any
// recipient cannot pass. Nothing is sent to anybody but that recipient.
//
// RFC 5321, RFC 2505 (relaying) and the extensions (1870, 2034, 2920, 3030, 3207,
// 3461, 4954, 6152, 6531).
package conform

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/internal/dialogue"
	"github.com/postrider/postrider/smtp"
)

// Running. A case judges a server by nothing but what it says and when it closes, so that
// one written in another language, or on another machine, can be held to it; with a
// mailbox to look into, also by what it has kept. Whatever a server is made to do, it is
// done on a connection of its own: a case that breaks one breaks no other. There is no
// clock in a verdict: a slow server is not a wrong one (RFC 5321, 4.5.3.2 gives minutes).

// A Config says which server is tried, and how it is reached. Only Addr must be
// set.
type Config struct {
	Addr string // host:port; a host alone is port 25
	// TLS is TLSImplicit, TLSStartTLS (all but the cases about what comes before
	// it), TLSNone, or TLSAuto (zero): implicit on port 465, else in clear, and
	// STARTTLS only where credentials are sent.
	TLS smtp.TLSMode
	// TLSConfig verifies the server. nil: its name and the system's authorities, on
	// loopback nothing.
	TLSConfig *tls.Config
	// User and Password are for AUTH PLAIN, before all cases but those about AUTH. A
	// User of "" does not authenticate.
	User, Password string
	From           string // the sender; postmaster at localhost if empty
	Rcpt           string // gets all messages; "": the cases that send some are skipped
	// RelayTo is an address at a domain that is not the server's, for a server that
	// must not take mail for it from a stranger, as this machine is one to it. It is
	// said in RCPT, VRFY and EXPN, and no message follows. "": the cases about it are
	// skipped.
	RelayTo string
	// Mailbox is a directory in which the server has put what Rcpt got by the time
	// of its reply, a message a file (a Maildir, or .eml). "": nobody looks.
	Mailbox string
	// Timeout is for each reply; 30 seconds if zero.
	Timeout time.Duration
	// Only are the names of the cases to be run, as path.Match has them: "bdat-*".
	// None: all.
	Only []string
	// Split says everything an octet at a time, but for cases of very long lines.
	Split bool
}

func (c *Config) from() string {
	if c.From == "" {
		return "postmaster@localhost"
	}
	return c.From
}

// An Outcome is how a case went.
type Outcome string

const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	Skip Outcome = "skip"
)

// A Result is a case and how it went.
type Result struct {
	Case
	Outcome Outcome
	Detail  string        // of a failure, what came; of a skip, why
	Took    time.Duration // on the clock
}

// Run plays the cases one after the other, each on a connection of its own. Its
// last pair holds an error if the suite could not be run at all, such as of a
// server that is not there, or by a Config that cannot be (fs.ErrInvalid); a case that
// fails is no error. ctx ends it early.
//
// What was yielded before an error holds: it is the machine's, or the context's.
func Run(ctx context.Context, c Config) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		err := c.check()
		var o *offers
		if err == nil {
			o, err = c.probe(ctx)
		}
		if err != nil {
			yield(Result{}, fmt.Errorf("conform: %s: %w", c.Addr, err))
			return
		}
		for _, one := range allCases() {
			if ctx.Err() != nil {
				yield(Result{}, ctx.Err())
				return
			}
			if c.wants(one.Name) && !yield(c.run(ctx, one, o), nil) {
				return
			}
		}
	}
}

// check refuses what no server could be tried with: the address that is not to be
// reached is put into commands in many forms.
func (c *Config) check() error {
	if c.Rcpt != "" && address.Check(c.Rcpt) != nil {
		return configErrorf("Rcpt is %q, want an address such as bob@example.net", c.Rcpt)
	}
	if c.Mailbox != "" {
		if info, err := os.Stat(c.Mailbox); err != nil || !info.IsDir() {
			return configErrorf("Mailbox is %q, want a directory that can be read", c.Mailbox)
		}
	}
	if c.RelayTo == "" {
		return nil
	}
	local, domain := cutAddress(c.RelayTo)
	_, here := cutAddress(c.Rcpt)
	switch {
	case address.Check(c.RelayTo) != nil || local == "" || !address.IsASCII(c.RelayTo) || strings.ContainsAny(c.RelayTo, `"[`):
		return configErrorf("RelayTo is %q, want a plain address such as eve@example.org", c.RelayTo)
	case strings.EqualFold(domain, here):
		return configErrorf("RelayTo is at %s as Rcpt is, want another domain", domain)
	}
	return nil
}

// A configError is a Config that no server can be tried with.
type configError string

func configErrorf(format string, args ...any) error { return configError(fmt.Sprintf(format, args...)) }

func (e configError) Error() string        { return string(e) }
func (e configError) Is(target error) bool { return target == fs.ErrInvalid }

// wants tells whether a case is to be run.
func (c *Config) wants(name string) bool {
	for _, pattern := range c.Only {
		if ok, _ := filepath.Match(pattern, name); ok {
			return true
		}
	}
	return len(c.Only) == 0
}

// run plays one case.
func (c *Config) run(ctx context.Context, one Case, o *offers) Result {
	begin := time.Now()
	r := Result{Case: one, Outcome: Skip}
	if r.Detail = c.missing(&one, o); r.Detail != "" {
		return r
	}
	r.Outcome = Pass
	if err := c.play(ctx, &one, o); err != nil {
		r.Outcome, r.Detail = Fail, explain(err)
	}
	r.Took = time.Since(begin)
	return r
}

// missing tells what a case needs and is not there, "" if all is. A case that is left out
// has to say why, in the words of who runs the suite: else a server that offers little
// would seem to pass all.
func (c *Config) missing(one *Case, o *offers) string {
	offered := o.hello
	switch {
	case one.after == "clear" && o.implicit:
		return "the connection is in TLS from the beginning"
	case one.after == "clear":
		offered = o.clear
	case strings.HasPrefix(one.after, "secure") || one.after == "stranger":
		offered = o.secure
	}
	switch {
	// RFC 4954, 6 and RFC 3207, 4: it cannot be found out what it would do then.
	case (c.User == "" && one.after != "stranger" || one.after == "secure-mail") && one.mails() && o.asksFirst():
		return "the server takes no mail from just anybody (530): it wants credentials or TLS first, which are not given"
	case c.RelayTo == "" && one.relays():
		return "it asks for mail to be passed on, and no address to relay to is given"
	case c.Rcpt == "" && (one.after == "rcpt" || strings.Contains(one.lines, "{rcpt}")):
		return "it sends a message, and no recipient is given"
	case c.Rcpt == "" && (strings.Contains(one.lines, "{here}") || strings.Contains(one.lines, "{twin")):
		return "it needs the server's domain, and no recipient is given"
	case o.twin == "" && strings.Contains(one.lines, "{twin"):
		return "no other domain looks like the server's"
	}
	for _, need := range one.needs {
		name, unwanted := strings.CutPrefix(need, "!")
		if why := c.lacks(name, offered, o); unwanted && why == "" {
			return "it is for servers without " + name
		} else if !unwanted && why != "" {
			return why
		}
	}
	if c.Mailbox == "" && one.kept == "0" {
		return "it looks at what was kept, and no mailbox is given"
	}
	return ""
}

// lacks tells why a need is not met, "" if it is. What an extension was announced with
// counts in the state in which the case uses it: TLS may add some and take others away.
func (c *Config) lacks(need string, offered map[string]string, o *offers) string {
	extension, word, _ := strings.Cut(need, "=")
	switch params, ok := offered[extension]; {
	case need == "credentials":
		if c.User == "" {
			return "no credentials are given"
		}
	case need == "small":
		if o.size() > 1<<20 {
			return "the size limit is too large to be tried"
		}
	case need == "passwords":
		// Who has been given credentials expects others to be refused.
		if c.User == "" && o.anyPassword() {
			return "the server takes any password, so that none is wrong, or a secret"
		}
	case need == "mailboxes":
		if o.anyMailbox() {
			return "the server takes any recipient at its domain, so that this one may be its own"
		}
	case !ok:
		return extension + " is not announced"
	case word != "" && !strings.Contains(" "+strings.ToUpper(params)+" ", " "+word+" "):
		return extension + " " + word + " is not announced"
	}
	return ""
}

// play plays the dialogue of a case and looks at what was kept.
func (c *Config) play(ctx context.Context, one *Case, o *offers) error {
	token := strings.ToLower(rand.Text()[:8])
	script, err := one.script(c.values(o, token))
	if err != nil {
		return err
	}
	before := map[string]bool{}
	if one.kept != "" {
		if err := c.mails(func(_, name string) error { before[name] = true; return nil }); err != nil {
			return err
		}
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// An octet at a time takes a system call for each, on both sides; of the longest lines
	// there would be millions, and they come in many pieces anyway.
	player := &dialogue.Player{Role: 'C', Conn: conn, TLS: c.tls(), Codes: true, Split: c.Split && script.Said() < 100_000, Timeout: c.Timeout}
	if o.implicit {
		player.TLS = nil
	}
	if err := player.Play(script); err != nil {
		return err
	}
	if c.Mailbox == "" || one.kept == "" {
		return nil
	}
	return c.kept(one, token, before)
}

// mails tells each message of the mailbox by its file and the file's name, without the flags that a Maildir puts behind
// it. Nothing is read: it may be a person's, with years of mail in it.
func (c *Config) mails(tell func(file, name string) error) error {
	if c.Mailbox == "" {
		return nil
	}
	return filepath.WalkDir(c.Mailbox, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err == nil && d.IsDir() && d.Name() == "tmp" && file != c.Mailbox:
			return fs.SkipDir // what a Maildir has not delivered yet
		case err != nil || d.IsDir():
			return err
		}
		name, _, _ := strings.Cut(d.Name(), ":2,")
		return tell(file, name)
	})
}

// kept looks into the mailbox for the message of a case: the one that holds its token or, if the case has said none, any
// that was not there before.
func (c *Config) kept(one *Case, token string, before map[string]bool) error {
	if one.kept == "0" {
		// That nothing arrives cannot be waited for. A server that keeps what it should
		// not has it by now, or soon.
		time.Sleep(50 * time.Millisecond)
	}
	var found []string
	err := c.mails(func(file, name string) error {
		if before[name] {
			return nil
		}
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was a file on its way in
		}
		if m := string(b); strings.Contains(m, token) || !strings.Contains(one.lines, "{token}") {
			found = append(found, m)
		}
		return err
	})
	if err != nil {
		return err
	}
	low, high, ok := strings.Cut(one.kept, "-")
	if !ok {
		high = low
	}
	if n := fmt.Sprint(len(found)); n < low || n > high {
		return fmt.Errorf("the recipient has %d messages, want %s", len(found), one.kept)
	}
	want, err := dialogue.Unescape(one.holds)
	if err != nil {
		return err
	}
	for _, m := range found {
		if !strings.Contains(m, want) {
			return fmt.Errorf("the recipient has %.200q, which should hold %.200q", m, want)
		}
	}
	return nil
}

// explain says a failure without what only whoever wrote the case would know: not the
// line of a script, but what was said before it.
func explain(err error) string {
	m, ok := errors.AsType[*dialogue.Mismatch](err)
	switch {
	case !ok:
		return err.Error()
	case m.After == "":
		return m.Err.Error()
	case len(m.After) > 60:
		m.After = m.After[:60] + " …"
	}
	return fmt.Sprintf("after %q: %v", m.After, m.Err)
}

// A tester is a *testing.T, which programs that only call Run need not link.
type tester[T any] interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Skip(args ...any)
	Run(name string, f func(T)) bool
}

// Test runs the suite as subtests of t, one for each case.
func Test[T tester[T]](t T, c Config) {
	t.Helper()
	for r, err := range Run(t.Context(), c) {
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		// It has run already: a subtest only tells, so that -run chooses what is told. Only
		// chooses what is played.
		t.Run(r.Name, func(t T) {
			t.Helper()
			switch r.Outcome {
			case Skip:
				t.Skip(r.Detail)
			case Fail:
				t.Errorf("%s (%s): %s", r.Title, r.Source, r.Detail)
			}
		})
	}
}

// dial connects, and begins TLS where it comes first.
func (c *Config) dial(ctx context.Context) (net.Conn, error) {
	addr := c.Addr
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), "25")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil || !c.implicit() {
		return conn, err
	}
	secure := tls.Client(conn, c.tls()) // before the greeting: no case is about that
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

func (c *Config) implicit() bool {
	return c.TLS == smtp.TLSImplicit || c.TLS == smtp.TLSAuto && strings.HasSuffix(c.Addr, ":465")
}

// tls returns what TLS is begun with.
func (c *Config) tls() *tls.Config {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		host = c.Addr
	}
	config := &tls.Config{}
	if c.TLSConfig != nil {
		config = c.TLSConfig.Clone()
	} else if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		config.InsecureSkipVerify = true
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	return config
}
