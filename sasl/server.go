package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The server's side. What a server can check decides what it offers: each of a
// Verifier's functions stands for the mechanisms that it makes possible.

// A Verifier is what a server knows about its users. Each function makes some
// mechanisms possible; nil: they are not offered. A function that returns
// ErrRefused says that the client is not to be let in; any other error is a fault
// of the server's. Functions may be called by many sessions at once; ctx is that
// of the session.
type Verifier struct {
	// Password decides whether password is user's: PLAIN and LOGIN. It should
	// compare in constant time, and take as long for a user who does not exist.
	Password func(ctx context.Context, user, password string) error
	// Keys looks up what is kept of a user's password for a SCRAM mechanism, such
	// as SCRAM-SHA-256; user has been through SASLprep. ErrRefused: there is no
	// such user, which the client learns only as if its password were wrong.
	Keys func(ctx context.Context, user, mechanism string) (Keys, error)
	// Secret looks up a user's password as it is: CRAM-MD5, which cannot do with
	// less.
	Secret func(ctx context.Context, user string) (string, error)
	// Token decides whose token this is, and returns the user's name: OAUTHBEARER
	// and XOAUTH2. user is whom the client says it is; OAUTHBEARER may leave it
	// empty.
	Token func(ctx context.Context, user, token string) (string, error)
	// Certificate returns the user whose certificate the client has shown in TLS:
	// EXTERNAL, in a connection where that was verified. identity is whom the
	// client wants to act as, which the function has to judge; it may be empty.
	Certificate func(ctx context.Context, cert *x509.Certificate, identity string) (string, error)
	// Anonymous lets in whoever comes, as the user "anonymous": ANONYMOUS. trace
	// is for the log, unverified and maybe empty.
	Anonymous func(ctx context.Context, trace string) error
	// Authorize decides whether user may act as identity, which then is the
	// session's user. nil: nobody may act as anybody else.
	Authorize func(ctx context.Context, user, identity string) error

	// Only are the mechanisms to offer of those that are possible, in upper case;
	// nil: all.
	Only []string
	// SaltKey makes up salts for users who do not exist: the same at each try, so
	// that they cannot be told apart from others. nil: a random one, as long as
	// the process lives. Keep one if Keys has been there longer.
	SaltKey []byte
	// Iterations are those that users who do not exist seem to have: set what
	// others have. 4096 if zero.
	Iterations int
}

// A Channel is the connection that an exchange goes over.
type Channel struct {
	Host        string               // the server's name
	TLS         *tls.ConnectionState // nil outside TLS
	Certificate *x509.Certificate    // the server's own; nil: tls-server-end-point cannot be bound to
}

// binds tells whether there is something in the connection to bind to: keying
// material in TLS 1.3 (RFC 9266, 3), before that only the server's certificate.
func (c Channel) binds() bool {
	return c.TLS != nil && (c.TLS.Version >= tls.VersionTLS13 || c.Certificate != nil)
}

// A Server is the server's side of one authentication.
type Server interface {
	// Next takes the client's response and returns the next challenge, or
	// done. The first response is nil if the client sent none with the command.
	// An error ends the exchange: ErrSyntax, ErrRefused, or what one of the
	// Verifier's functions returned.
	Next(response []byte) (challenge []byte, done bool, err error)
	// User returns who the client is, or acts as, when Next has said done.
	User() string
}

// An exchange is what the servers share.
type exchange struct {
	*Verifier
	ctx       context.Context
	mechanism string
	channel   Channel
	user      string
}

func (x *exchange) User() string { return x.user }

// accept ends an exchange of user, who wants to act as identity.
func (x *exchange) accept(user, identity string) ([]byte, bool, error) {
	if identity != "" && identity != user {
		// QUIRK: Racket's net/smtp repeats the user as the identity.
		if x.Authorize == nil || !visible(identity) {
			return nil, false, ErrRefused
		}
		if err := x.Authorize(x.ctx, user, identity); err != nil {
			return nil, false, err
		}
		user = identity
	}
	// The name goes into logs and Received fields.
	if !visible(user) {
		return nil, false, ErrSyntax
	}
	x.user = user
	return nil, true, nil
}

// A mechanism is a row of the table.
type mechanism struct {
	name     string
	possible func(v *Verifier, c Channel) bool
	server   func(x *exchange) Server
}

// mechanisms is the table, the strongest first.
var mechanisms = mechanismTable()

func mechanismTable() []mechanism {
	var rows []mechanism
	scram := func(x *exchange) Server { return &scramServer{exchange: x} }
	for _, h := range scramHashes() {
		rows = append(rows, mechanism{h.mechanism + plus, func(v *Verifier, c Channel) bool { return v.Keys != nil && c.binds() }, scram})
	}
	for _, h := range scramHashes() {
		rows = append(rows, mechanism{h.mechanism, func(v *Verifier, _ Channel) bool { return v.Keys != nil }, scram})
	}
	token := func(v *Verifier, _ Channel) bool { return v.Token != nil }
	password := func(v *Verifier, _ Channel) bool { return v.Password != nil }
	return append(rows,
		mechanism{"EXTERNAL", func(v *Verifier, c Channel) bool {
			return v.Certificate != nil && c.TLS != nil && len(c.TLS.VerifiedChains) > 0
		}, single(external)},
		mechanism{"OAUTHBEARER", token, func(x *exchange) Server { return &tokenServer{exchange: x, parse: parseBearer} }},
		mechanism{"XOAUTH2", token, func(x *exchange) Server { return &tokenServer{exchange: x, parse: parseXOAUTH2} }},
		mechanism{"PLAIN", password, single(plain)},
		mechanism{"LOGIN", password, func(x *exchange) Server { return &loginServer{exchange: x} }},
		mechanism{"CRAM-MD5", func(v *Verifier, _ Channel) bool { return v.Secret != nil }, func(x *exchange) Server { return &cramServer{exchange: x} }},
		mechanism{"ANONYMOUS", func(v *Verifier, _ Channel) bool { return v.Anonymous != nil }, single(anonymous)})
}

// Mechanisms returns what can be offered over a connection, the strongest first.
func (v *Verifier) Mechanisms(c Channel) []string {
	var names []string
	for _, m := range mechanisms {
		if m.possible(v, c) && (v.Only == nil || slices.Contains(v.Only, m.name)) {
			names = append(names, m.name)
		}
	}
	return names
}

// Server begins an exchange by a mechanism, named in any case. It is nil if the
// mechanism is not offered over this connection.
func (v *Verifier) Server(ctx context.Context, mechanism string, c Channel) Server {
	mechanism = strings.ToUpper(mechanism)
	if !slices.Contains(v.Mechanisms(c), mechanism) {
		return nil
	}
	for _, m := range mechanisms {
		if m.name == mechanism {
			return m.server(&exchange{Verifier: v, ctx: ctx, mechanism: mechanism, channel: c})
		}
	}
	return nil
}

// single makes the server of a mechanism that is one message of the client's.
func single(check func(x *exchange, message []byte) ([]byte, bool, error)) func(*exchange) Server {
	return func(x *exchange) Server { return &singleServer{x, check} }
}

type singleServer struct {
	*exchange
	check func(x *exchange, message []byte) ([]byte, bool, error)
}

func (s *singleServer) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte{}, false, nil
	}
	return s.check(s.exchange, response)
}

// plain checks identity, user and password (RFC 4616, 2).
func plain(x *exchange, message []byte) ([]byte, bool, error) {
	parts := bytes.Split(message, []byte{0})
	if len(parts) != 3 || !visible(string(parts[1])) {
		return nil, false, ErrSyntax
	}
	user := string(parts[1])
	if err := x.Password(x.ctx, user, string(parts[2])); err != nil {
		return nil, false, err
	}
	return x.accept(user, string(parts[0]))
}

// external checks the certificate that TLS has verified.
func external(x *exchange, message []byte) ([]byte, bool, error) {
	if len(message) > 0 && !visible(string(message)) {
		return nil, false, ErrSyntax
	}
	user, err := x.Certificate(x.ctx, x.channel.TLS.VerifiedChains[0][0], string(message))
	if err != nil {
		return nil, false, err
	}
	return x.accept(user, "")
}

// anonymous lets in (RFC 4505, 2).
func anonymous(x *exchange, message []byte) ([]byte, bool, error) {
	if len(message) > 0 && !visible(string(message)) || utf8.RuneCount(message) > maxTrace {
		return nil, false, ErrSyntax
	}
	if err := x.Anonymous(x.ctx, string(message)); err != nil {
		return nil, false, err
	}
	return x.accept("anonymous", "")
}

type loginServer struct {
	*exchange
	name *string
}

func (s *loginServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case s.name == nil:
		// QUIRK: .NET sends the user name with the command.
		name := string(response)
		s.name = &name
		return []byte("Password:"), false, nil
	case !visible(*s.name):
		return nil, false, ErrSyntax
	}
	if err := s.Password(s.ctx, *s.name, string(response)); err != nil {
		return nil, false, err
	}
	return s.accept(*s.name, "")
}

type cramServer struct {
	*exchange
	challenge []byte
}

func (s *cramServer) Next(response []byte) ([]byte, bool, error) {
	if s.challenge == nil {
		if response != nil { // RFC 2195 has no initial response
			return nil, false, ErrSyntax
		}
		s.challenge = fmt.Appendf(nil, "<%s.%d@%s>", rand.Text(), time.Now().Unix(), s.channel.Host)
		return s.challenge, false, nil
	}
	at := bytes.LastIndexByte(response, ' ')
	if at < 0 || !visible(string(response[:at])) {
		return nil, false, ErrSyntax
	}
	user, digest := string(response[:at]), bytes.ToLower(response[at+1:])
	secret, err := s.Secret(s.ctx, user)
	if err != nil && !errors.Is(err, ErrRefused) {
		return nil, false, err
	}
	// A user who does not exist costs as much time as any other.
	if !hmac.Equal(digest, []byte(digestMD5(secret, s.challenge))) || err != nil {
		return nil, false, ErrRefused
	}
	return s.accept(user, "")
}
