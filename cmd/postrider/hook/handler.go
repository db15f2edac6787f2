package hook

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/mailjson"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// Hooks as a Handler: what is asked when, and with what. It stands before the Handler that keeps the mail, so that a
// message that a hook refuses is nowhere. MAIL is not asked about: who may send is for AUTH and for the recipients to
// say, and a script that is run for each MAIL of a flood would be the flood's helper.

// maxEnv is how many octets of recipients a command is told of in one variable: systems refuse longer ones, Linux those
// of 128 KiB. Who has more of them is asked to send to the rest by itself (RFC 5321, 4.5.3.1.10).
const maxEnv = 64 << 10

// A Handler is an smtp.Handler that asks before Next is given a message. Nil hooks are not asked.
type Handler struct {
	OnMail, OnRcpt *Hook
	Next           smtp.Handler
}

// Mail implements smtp.Handler.
func (h *Handler) Mail(ctx context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	// Next goes first here and last in Data: it may refuse a sender before any process is started for it.
	next, err := h.Next.Mail(ctx, c, from, opts)
	if err != nil {
		return nil, err
	}
	return &transaction{Handler: h, conn: c, next: next, sender: from}, nil
}

// Offers implements smtp.Offerer: what Next offers.
func (h *Handler) Offers() []string {
	if o, ok := h.Next.(smtp.Offerer); ok {
		return o.Offers()
	}
	return nil
}

// A transaction remembers what --on-mail is told of the envelope.
type transaction struct {
	*Handler
	conn       *smtp.Conn
	next       smtp.Transaction
	sender     string
	recipients []string
	told       int // octets of recipients
}

// Rcpt asks about a recipient.
func (t *transaction) Rcpt(ctx context.Context, to string, opts *smtp.RcptOptions) error {
	// Asked before the recipient is accepted: later there is nobody to send the rest by itself.
	if t.OnMail != nil && t.told+len(to)+1 > maxEnv {
		return smtp.Errorf(452, "4.5.3", "too many recipients, send to the rest by itself")
	}
	if t.OnRcpt != nil {
		s := sessionOf(t.conn)
		err := t.OnRcpt.Ask(ctx, Question{
			Env: append(variables(s), "MAIL_SENDER="+t.sender, "MAIL_RECIPIENT="+to),
			JSON: struct {
				mailjson.Session
				Sender    string `json:"sender"`
				Recipient string `json:"recipient"`
			}{s, t.sender, to},
		})
		if err != nil {
			return err
		}
	}
	// The hook comes first: what is behind it may set something up for each recipient.
	if err := t.next.Rcpt(ctx, to, opts); err != nil {
		return err
	}
	// Only who was accepted is told to --on-mail.
	t.recipients = append(t.recipients, to)
	t.told += len(to) + 1
	return nil
}

// Data asks about the message, which is kept meanwhile, and hands it on if the answer is yes. If it then cannot be kept
// the client sends it again, and the hook is asked again.
func (t *transaction) Data(ctx context.Context, r io.Reader) (string, error) {
	if t.OnMail == nil {
		return t.next.Data(ctx, r)
	}
	// Whole before it is asked about: a command that reads as it comes would see half a message and could not know.
	s, err := spool.Read(r)
	if err != nil {
		return "", err
	}
	defer s.Close()
	q, err := t.question(s)
	if err == nil {
		err = t.OnMail.Ask(ctx, q)
	}
	if err != nil {
		return "", err
	}
	// From the spool, octet by octet as it came: what was asked about is what is kept.
	return t.next.Data(ctx, io.NewSectionReader(s, 0, s.Len()))
}

// question makes what is asked about a message. It is parsed only for those who get it parsed.
func (t *transaction) question(s *spool.Spool) (Question, error) {
	session := sessionOf(t.conn)
	q := Question{
		Message: io.NewSectionReader(s, 0, s.Len()),
		Env: append(variables(session), "MAIL_SENDER="+t.sender, "MAIL_RECIPIENTS="+strings.Join(t.recipients, "\n"),
			"MAIL_SIZE="+strconv.FormatInt(s.Len(), 10)),
	}
	// A filter reads for itself, and what nobody parses cannot fail to be parsed.
	if t.OnMail.input == raw {
		return q, nil
	}
	m, err := mail.ParseAt(s, s.Len())
	if err != nil {
		return q, err
	}
	j, err := mailjson.New(m, mailjson.Options{Content: t.OnMail.input == content})
	if err != nil {
		return q, err
	}
	j.Received, j.Size = time.Now().Format(time.RFC3339), s.Len()
	j.Session = &session
	j.Envelope = &mailjson.Envelope{Sender: t.sender, Recipients: t.recipients}
	q.JSON = j
	return q, nil
}

// sessionOf is what every question tells of whom it is about.
func sessionOf(c *smtp.Conn) mailjson.Session {
	s := mailjson.Session{Host: c.Hello(), User: c.User()}
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		s.IP = addr.AddrPort().Addr().Unmap().WithZone("").String()
	}
	if state := c.TLS(); state != nil {
		s.TLS = tls.VersionName(state.Version)
	}
	return s
}

// variables tells it in the environment. No value has a control in it: smtp refuses them in names and addresses.
func variables(s mailjson.Session) []string {
	return []string{"MAIL_IP=" + s.IP, "MAIL_HOST=" + s.Host, "MAIL_TLS=" + s.TLS, "MAIL_USER=" + s.User}
}

// Password asks whether a password is the user's. Both are on standard input alone: variables can be seen by others on
// some systems.
func (h *Hook) Password(ctx context.Context, c *smtp.Conn, user, password string) error {
	s := sessionOf(c)
	env := variables(s)
	s.User = user
	return h.Ask(ctx, Question{Env: env, JSON: struct {
		mailjson.Session
		Password string `json:"password"`
	}{s, password}})
}
