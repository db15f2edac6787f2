package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/internal/mailini"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// sendmail: what other programs call to get rid of mail. They hand over a message
// as they have it, with the line ends of this system and often without half of the
// fields, and go by the exit code. There is no queue: the message is given to a
// relay while the caller waits, and the caller hears what became of it.

// systemConfig is read where the user has none.
const systemConfig = "/etc/postrider/mail.ini"

// newSendmail builds the command. Its arguments are its own: -oi is no flag of
// cobra's.
func newSendmail(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "sendmail [OPTIONS] [RECIPIENT...]",
		Short: "Send a message as sendmail(8) does, for programs that call it",
		Long: `Reads a message from standard input and gives it to a relay. This is the interface
of sendmail(8): install the program, or a link to it, as /usr/sbin/sendmail or
/usr/lib/sendmail, and cron, git, PHP, mutt and others send by it.

  -t            take the recipients from To, Cc and Bcc, besides those given
  -i, -oi       a line with a dot alone does not end the message
  -f, -r ADDR   the sender of the envelope; <> is nobody
  -F NAME       the author's name, if the message has no From
  -N WHEN       report: never, or some of success,failure,delay
  -R full|hdrs  what a report gives back
  -V ID         the envelope's identifier, for reports
  -v            print the dialogue with the relay
  -bs           speak SMTP on standard input and output
  -bm           read a message, which it does anyway
  --            what follows are recipients

Further options of sendmail's are accepted, with their arguments, and do nothing:
-B -C -D -G -L -O -U -X -d -e -h -m -n -o -p -q.

The relay is a URL as for postrider send --server: "relay =" in mail.ini of the
user's configuration directory (~/.config/postrider), else in ` + systemConfig + `,
or POSTRIDER_SERVER, which comes first. Of several, with spaces between them, each
is for whom the one before did not take for now. Without one the exit code is 78.

What the message lacks is added: From, Date, Message-ID, and the domain of addresses
that have none, which is this host's name or "hostname =" of the same file. Bcc is
taken out. Exit codes are those of sysexits(3); 75 is for what may be tried again.`,
		Example: `  postrider sendmail -t <message.eml
  postrider sendmail -i -f ann@example.com -- bob@example.net <message.eml
  ln -s /usr/local/bin/postrider /usr/sbin/sendmail`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "--help" {
				return cmd.Help()
			}
			return sendmail(cmd.Context(), args, s)
		},
	}
}

// calledSendmail tells whether the program goes by that name.
func calledSendmail(arg0 string) bool {
	name := strings.ToLower(filepath.Base(arg0))
	return strings.TrimSuffix(name, ".exe") == "sendmail"
}

// sendmail carries out one call.
func sendmail(ctx context.Context, args []string, s streams) error {
	var o sendmailOptions
	if err := o.parse(args); err != nil {
		return err
	}
	if o.flush && len(o.recipients) == 0 && !o.fromHeader {
		return nil // the queue is empty, as it always is
	}
	config, err := findRelay()
	if err != nil {
		return err
	}
	relays := strings.Fields(config.relay)
	// Programs that say -v do not know what the relay is: what is no server has no dialogue.
	connect := connectOptions{tls: "auto", trace: o.verbose && !slices.ContainsFunc(relays, isLocal)}
	told := s
	if !o.verbose {
		told.err = io.Discard // whatever is heard of a message that was sent worries somebody
	}
	relay, err := connect.senders(relays, told)
	if e, ok := errors.AsType[*exitError](err); ok {
		return exitf(exitConfig, "%s%w", config.from, e.err) // in the place of the flag's name
	}
	defer relay.Close()
	if o.smtp {
		return speakSMTP(ctx, relay, config.host, s)
	}
	// sendmail(8): without -i a message that is typed ends at a dot alone.
	in := s.in
	if !o.dots {
		in = &dotted{r: bufio.NewReader(s.in), begin: true}
	}
	m, err := o.message(in, config.host)
	if err != nil {
		return err
	}
	results, err := relay.Send(ctx, m.envelope, m.body)
	// Who calls reads the code, and people the rest: success is silent.
	for _, r := range results {
		if r.Err != nil && len(results) > 1 {
			complain(s.err, &smtp.SendError{Results: []smtp.Result{r}})
		}
	}
	return err
}

// A relayConfig is where mail goes, and who says so.
type relayConfig struct {
	relay string // a URL, or several with spaces between them
	from  string // for errors
	host  string // what names without a domain get
}

// findRelay looks for the relay. The current directory has no say: who can write
// to it would have all mail.
func findRelay() (relayConfig, error) {
	c := relayConfig{relay: os.Getenv("POSTRIDER_SERVER"), from: "POSTRIDER_SERVER"}
	// The user's own file comes before the machine's, as the other way round nobody
	// without root could have a relay of their own.
	paths := []string{systemConfig}
	if dir, err := os.UserConfigDir(); err == nil {
		paths = []string{filepath.Join(dir, "postrider", "mail.ini"), systemConfig}
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return c, exitf(exitConfig, "%w", err)
		}
		// Strictly, as serve reads it: a relay that is spelt wrong loses mail.
		ini, err := mailini.Parse(f)
		f.Close()
		if err != nil {
			return c, exitf(exitConfig, "%s: %w", path, err)
		}
		if c.host == "" {
			c.host = ini.Value("hostname")
		}
		if c.relay == "" {
			c.relay, c.from = ini.Value("relay"), path+": "+ini.At("relay")
		}
	}
	if strings.TrimSpace(c.relay) == "" {
		return c, exitf(exitConfig, "there is no relay to give the message to: set POSTRIDER_SERVER, or write relay = smtp://HOST:PORT into %s", strings.Join(paths, " or "))
	}
	if c.host == "" {
		// Without a name it is localhost, which a relay may refuse, and says so.
		if c.host, _ = os.Hostname(); c.host == "" {
			c.host = "localhost"
		}
	}
	return c, nil
}

// speakSMTP is -bs: one session, whose mail the relay decides about.
func speakSMTP(ctx context.Context, relay smtp.Sender, host string, s streams) error {
	server := &smtp.Server{Hostname: host}
	if proxy, ok := relay.(smtp.Handler); ok {
		server.Handler = proxy
	} else {
		server.Handler = smtp.Relay(relay)
	}
	conn := smtp.Stream(s.in, s.out)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	server.ServeConn(conn, smtp.Policy{})
	return nil
}

// message reads what the caller has and makes a message of it that others take.
func (o *sendmailOptions) message(in io.Reader, host string) (outgoing, error) {
	m, err := readOriginal(in)
	if errors.Is(err, errLongHeader) {
		return outgoing{}, exitf(exitData, "%w", err)
	}
	if err != nil {
		return outgoing{}, exitf(exitNoInput, "%w", err)
	}
	o.complete(m, host)
	said, err := m.parsed()
	if err != nil {
		return outgoing{}, exitf(exitData, "%w", err)
	}
	env := &smtp.Envelope{From: o.from(host), Options: o.envelope}
	if env.Options.Body == "" {
		env.Options.Body = smtp.Body8BitMIME // true of every message (RFC 6152, 3)
	}
	var to []string
	for _, word := range o.recipients {
		list, err := mail.ParseAddressList(qualify(word, host))
		if err != nil {
			return outgoing{}, exitf(exitUsage, "recipient %q: %s", word, strings.TrimPrefix(err.Error(), "mail: "))
		}
		for _, a := range list {
			to = append(to, a.Address)
		}
	}
	if o.fromHeader {
		to = append(to, said.Recipients()...)
	}
	// Somebody who is named twice, as an argument and in To, wants one copy.
	seen := make(map[string]bool)
	for _, a := range to {
		if !seen[a] {
			env.To = append(env.To, smtp.Recipient{Address: a, Options: smtp.RcptOptions{Notify: o.notify}})
		}
		seen[a] = true
	}
	if len(env.To) == 0 {
		return outgoing{}, usagef("no recipients: give them as arguments, or use -t and have them in To, Cc or Bcc")
	}
	m.withoutBcc()
	return outgoing{env, m}, nil
}

// from returns the envelope's sender: -f, or who calls.
func (o *sendmailOptions) from(host string) string {
	name := ""
	switch u, err := user.Current(); {
	case o.sender != nil:
		name = *o.sender
	case err == nil:
		// On Windows the domain comes before it.
		name = u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
	default:
		name = "nobody"
	}
	if name == "" || strings.Contains(name, "@") {
		return name
	}
	return name + "@" + host
}

// complete adds what RFC 5322, 3.6 requires and callers leave to sendmail: From,
// Date and Message-ID; and the domain of local names (RFC 6409, 8.1), as cron
// writes "From: root (Cron Daemon)".
func (o *sendmailOptions) complete(m *original, host string) {
	h := &m.header
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Bcc"} {
		var lists []string
		changed := false
		for f := range h.Named(name) {
			list := qualify(f.Value(), host)
			changed = changed || list != f.Value()
			if strings.TrimSpace(list) != "" {
				lists = append(lists, list)
			}
		}
		// One field of all of that name, as there may be but one (RFC 5322, 3.6): callers write several, a recipient in each.
		if changed {
			h.Replace(name, strings.Join(lists, ", "))
		}
	}
	// In front, because the last field may lack its line end.
	if !h.Has("Message-ID") {
		h.Prepend("Message-ID", "<"+strings.ToLower(rand.Text())+"@"+host+">")
	}
	if !h.Has("Date") {
		h.Prepend("Date", time.Now().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	if !h.Has("From") {
		from := o.from(host)
		if from == "" {
			from = "MAILER-DAEMON@" + host
		}
		h.Prepend("From", mail.Address{Name: o.name, Address: from}.String())
	}
}
