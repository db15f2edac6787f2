package postrider

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/listen"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// Receiving mail with functions. A message is in memory up to 64 KiB, then in a file that nobody else sees; it is parsed
// there, and gone when OnMail has returned. OnMail decides whether we answer 250, and with that who is responsible
// (RFC 5321, 4.2.5): nothing is acknowledged before it has returned nil.

// A Received is a message as it arrived. It is valid during OnMail: what shall outlive that is copied, since Original and
// the bodies of Message are gone with the file. Nothing in it is proved but User and IP; Host is what the client claims.
type Received struct {
	IP     string // the client's address; "" over a socket in the file system
	Host   string // what it called itself in EHLO
	TLS    string // the version, such as "TLS 1.3"; "" if the message came in clear
	User   string // who the client proved to be; "" without AUTH
	Sender string // of the envelope, bare; "" is the null sender of reports
	// Sender and Recipients need not be the message's From and To: Bcc and lists are in the envelope alone.
	Recipients []string // of the envelope, bare: those that OnRcpt accepted
	Time       time.Time

	Message  *mail.Message     // parsed; bodies are read from Original when they are opened
	Original *io.SectionReader // the message's octets as they came
}

// Handlers are the functions that Serve calls, for several messages at once. What their errors become is told at
// [smtp.Transaction]: an *smtp.Error is what the client hears, anything else is 451 and goes to the log.
type Handlers struct {
	// OnMail is given each message. To return nil is to take responsibility for it: the client hears 250 and forgets
	// the message. Nil: all mail is refused with 554.
	OnMail func(context.Context, *Received) error
	// OnRcpt decides on each recipient, which is bare. Nil accepts everyone, which is right for a test and makes anything
	// else a place to send spam to.
	OnRcpt func(context.Context, string) error
	// OnAuth decides whether a password is the user's: nil lets in, sasl.ErrRefused is a no (535), and anything else a fault
	// of this side, after which the client may try again (454). Nil: authentication is not offered. Outside TLS it is asked
	// only on loopback, unless Config.AllowInsecureAuth is set.
	OnAuth func(ctx context.Context, user, password string) error
}

// shutdownTime is how long messages that are being received may take to end when the context has ended.
const shutdownTime = 10 * time.Second

// Serve receives mail until ctx ends; what is being received is then finished, for ten seconds at the most, and Serve
// returns nil. It returns an error if a port cannot be opened, or fails; when it returns, every port is closed, those of
// Config.Listeners too. It may be called several times at once, with other ports.
func Serve(ctx context.Context, c Config, h Handlers) error {
	certificate, tlsErr := c.tlsConfig()
	// All ports are opened before the first is served: nothing arrives at a server that then does not start.
	listeners, err := c.listen()
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	if err = cmp.Or(tlsErr, err); err != nil {
		return err
	}
	failed := make(chan error, len(listeners))
	var servers []*smtp.Server
	for _, l := range listeners {
		s := c.server(h, certificate, l)
		servers = append(servers, s)
		// Connections wait in the system's queue by now, so that whoever is told may connect at once.
		if c.OnListen != nil {
			c.OnListen(l.Addr())
		}
		go func() { failed <- s.Serve(l) }()
	}
	select {
	case <-ctx.Done(): // which is no error
	case err = <-failed:
		err = fmt.Errorf("postrider: %w", err)
	}
	// The context that has ended would end the grace with it.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	// All at once: while one port is waited for, another must not take new mail.
	var ending sync.WaitGroup
	for _, s := range servers {
		ending.Go(func() {
			if s.Shutdown(grace) != nil {
				s.Close() // whoever has not had a 250 by now will send again
			}
		})
	}
	ending.Wait()
	return err
}

// listen opens the ports and gives them with those that are open already. After an error too they are the caller's to
// close.
func (c *Config) listen() ([]net.Listener, error) {
	listeners := slices.Clone(c.Listeners)
	addr := c.Addr
	if addr == "" && c.TLSAddr == "" && len(listeners) == 0 {
		addr = "127.0.0.1:2525"
	}
	for i, a := range []string{addr, c.TLSAddr} {
		if a == "" || a == Off {
			continue
		}
		l, err := listen.Open(a)
		if err != nil {
			return listeners, fmt.Errorf("postrider: %w", err)
		}
		listeners = append(listeners, smtp.Listener{Listener: l, Policy: smtp.Policy{ImplicitTLS: i == 1}})
	}
	if len(listeners) == 0 {
		return nil, errors.New("postrider: every port is off: there is nothing to serve")
	}
	return listeners, nil
}

// tlsConfig loads the certificate; nil without an error is no TLS. It is done before any port is opened. TLSConfig is
// copied, because it is the caller's.
func (c *Config) tlsConfig() (*tls.Config, error) {
	if c.CertFile == "" && c.KeyFile == "" {
		if c.TLSAddr != "" && c.TLSAddr != Off && c.TLSConfig == nil {
			return nil, errors.New("postrider: TLSAddr needs a certificate: set CertFile and KeyFile, or TLSConfig")
		}
		return c.TLSConfig, nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("postrider: %s with %s: the certificate cannot be used: %w", c.CertFile, c.KeyFile, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSConfig != nil {
		config = c.TLSConfig.Clone()
	}
	config.Certificates = append(config.Certificates, pair)
	return config, nil
}

// server makes the server of one port. Each port has its own, since what may be said in clear depends on who can reach it.
func (c *Config) server(h Handlers, certificate *tls.Config, l net.Listener) *smtp.Server {
	s := &smtp.Server{
		Hostname: c.Hostname, TLSConfig: certificate, MaxSize: c.MaxSize, Logger: c.Logger,
		AllowInsecureAuth: c.AllowInsecureAuth || listen.Private(listen.String(l.Addr())),
	}
	// A function that is not given is not set either: nil is what says that a feature is off.
	hooks := &smtp.Hooks{}
	if h.OnRcpt != nil {
		hooks.OnRcpt = func(ctx context.Context, _ *smtp.Conn, to string, _ *smtp.RcptOptions) error {
			return h.OnRcpt(ctx, to)
		}
	}
	if h.OnAuth != nil {
		s.OnAuth = func(ctx context.Context, _ *smtp.Conn, user, password string) error {
			return h.OnAuth(ctx, user, password)
		}
	}
	if h.OnMail != nil {
		hooks.OnData = func(ctx context.Context, conn *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
			return "", receive(ctx, conn, env, r, h.OnMail)
		}
	}
	s.Handler = hooks
	return s
}

// receive keeps a message, parses it and hands it to onMail. An error of reading is returned as it is: the server knows
// its own. Parsing refuses hardly anything, as odd mail is still mail (RFC 7103, 1).
func receive(ctx context.Context, c *smtp.Conn, env *smtp.Envelope, r io.Reader, onMail func(context.Context, *Received) error) error {
	s, err := spool.Read(r)
	if err != nil {
		return err
	}
	defer s.Close()
	received := &Received{
		Host: c.Hello(), User: c.User(), Sender: env.From, Time: time.Now(),
		Original: io.NewSectionReader(s, 0, s.Len()),
	}
	// Over a socket in the file system there is none.
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		received.IP = addr.AddrPort().Addr().Unmap().WithZone("").String()
	}
	if state := c.TLS(); state != nil {
		received.TLS = tls.VersionName(state.Version)
	}
	for _, to := range env.To {
		received.Recipients = append(received.Recipients, to.Address)
	}
	if received.Message, err = mail.ParseAt(s, s.Len()); err != nil {
		return err
	}
	return onMail(ctx, received)
}
