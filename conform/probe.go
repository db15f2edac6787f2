package conform

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/idna"

	"github.com/postrider/postrider/smtp"
)

// What a server announces decides which cases it is held against. It is asked
// once, before the first. Whether it takes anybody is asked where a case needs to
// know: a server for tests does, by design, and cannot be held to refusals.

// offers are the extensions that are announced in each state, with their
// parameters, and what else must be known of a server.
type offers struct {
	clear, secure, hello map[string]string
	implicit             bool // TLS comes first
	startTLS             bool // STARTTLS can be said
	helloTLS             bool // it is said before most cases

	self            string // the server's address as a literal
	twin, twinASCII string // a domain that looks like the recipient's; "" if none does

	asksFirst   func() bool // whether MAIL is refused to who has no credentials, in TLS where most cases are
	anyPassword func() bool // whether a password that nobody has is taken
	anyMailbox  func() bool // whether a recipient that nobody is, at the recipient's domain, is taken
}

// size is the limit that is announced; if none is, one that nobody reaches.
func (o *offers) size() int64 {
	n, err := strconv.ParseInt(o.hello["SIZE"], 10, 64)
	if err != nil || n <= 0 {
		return 1 << 50
	}
	return n
}

// probe asks for the offers, in clear and in TLS, as a stranger. What a server announces to
// its users is no other.
func (c *Config) probe(ctx context.Context) (*offers, error) {
	conn, client, err := c.hello(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	o := &offers{clear: maps.Collect(client.Extensions()), implicit: c.implicit(), self: literal(conn.RemoteAddr())}
	o.asksFirst = sync.OnceValue(func() bool { return c.asksFirst(ctx, o) })
	o.anyPassword = sync.OnceValue(func() bool { return c.takesPassword(ctx, o) })
	o.anyMailbox = sync.OnceValue(func() bool { return c.takesMailbox(ctx, o) })
	_, here := cutAddress(c.Rcpt)
	o.twin, o.twinASCII = twin(here)
	o.secure, o.hello = o.clear, o.clear
	if _, ok := o.clear["STARTTLS"]; !ok || o.implicit || c.TLS == smtp.TLSNone {
		if c.TLS == smtp.TLSStartTLS {
			return nil, errors.New("STARTTLS is not announced")
		}
		return o, nil
	}
	if err := c.secure(ctx, client); err != nil {
		return nil, err
	}
	o.startTLS, o.secure = true, maps.Collect(client.Extensions())
	if c.TLS == smtp.TLSStartTLS || c.User != "" {
		o.helloTLS, o.hello = true, o.secure
	}
	return o, nil
}

// hello connects and greets.
func (c *Config) hello(ctx context.Context) (net.Conn, *smtp.Client, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	client := smtp.NewClient(conn)
	if _, err = client.Greeting(ctx); err == nil {
		_, err = client.Hello(ctx, "client.example.org")
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return conn, client, nil
}

// secure leads into TLS and greets again.
func (c *Config) secure(ctx context.Context, client *smtp.Client) error {
	_, err := client.StartTLS(ctx, c.tls())
	if err == nil {
		_, err = client.Hello(ctx, "client.example.org")
	}
	return err
}

// stranger returns a session of somebody without credentials, in TLS where there
// is TLS; nil if there is none.
func (c *Config) stranger(ctx context.Context, o *offers) *smtp.Client {
	_, client, err := c.hello(ctx)
	if err == nil && o.startTLS {
		if err = c.secure(ctx, client); err != nil {
			client.Close()
		}
	}
	if err != nil {
		return nil
	}
	return client
}

// asksFirst tells whether a server wants to know who is there before it takes mail, or
// wants TLS: 530 is the answer to both.
func (c *Config) asksFirst(ctx context.Context, o *offers) bool {
	_, client, err := c.hello(ctx)
	if err != nil {
		return false
	}
	defer client.Close()
	if o.helloTLS && c.secure(ctx, client) != nil {
		return false
	}
	r, _ := client.Mail(ctx, c.from(), nil)
	return r.Code == 530
}

// takesPassword tells whether a user and a password out of nowhere are let in.
func (c *Config) takesPassword(ctx context.Context, o *offers) bool {
	client := c.stranger(ctx, o)
	if client == nil {
		return false
	}
	defer client.Close()
	// In the words of the cases, which ask for PLAIN or for LOGIN.
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + rand.Text() + "\x00" + rand.Text()))
	// The one password that a random one is not is a wrong one: 235 is a server that does
	// not look.
	if r, _ := client.Command(ctx, "AUTH PLAIN "+plain); r.Code == 235 {
		return true
	}
	var r smtp.Reply
	for _, line := range []string{"AUTH LOGIN", "bm9ib2R5", "d3Jvbmc="} {
		// The first two are answered 334, which Command calls an error.
		if r, _ = client.Command(ctx, line); r.Code >= 400 || r.Code == 0 {
			return false
		}
	}
	return r.Code == 235
}

// takesMailbox tells whether a local part out of nowhere is taken at the
// recipient's domain.
func (c *Config) takesMailbox(ctx context.Context, o *offers) bool {
	_, here := cutAddress(c.Rcpt)
	client := c.stranger(ctx, o)
	if client == nil || here == "" {
		return false
	}
	defer client.Close()
	_, err := client.Mail(ctx, c.from(), nil)
	if err == nil {
		_, err = client.Rcpt(ctx, strings.ToLower(rand.Text())+"@"+here, nil)
	}
	return err == nil
}

// literal writes an address as RFC 5321, 4.1.3 has it.
func literal(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok:
		return "[127.0.0.1]"
	case tcp.IP.To4() != nil:
		return "[" + tcp.IP.To4().String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}

// twins are Cyrillic letters that look like Latin ones.
var twins = strings.NewReplacer("a", "а", "c", "с", "e", "е", "o", "о", "p", "р", "x", "х", "y", "у")

// twin returns a domain that looks like another, in both forms: its first label is
// in Cyrillic letters. Both are "" where there is nothing to be replaced.
// A domain that looks like another is the oldest way past a list of names, which may be
// compared in either of the two forms (RFC 5891, 4.4): so there are both.
func twin(domain string) (unicode, ascii string) {
	label, rest, _ := strings.Cut(strings.ToLower(domain), ".")
	label = twins.Replace(label)
	if unicode = label + "." + rest; unicode == strings.ToLower(domain) {
		return "", ""
	}
	ascii, err := idna.ToASCII(unicode)
	if err != nil {
		return "", ""
	}
	return unicode, ascii
}
