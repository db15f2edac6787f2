package sasl

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// Password returns the credential of a user with a password, for the mechanisms
// PLAIN and LOGIN. Both send the password as it is: use them inside TLS.
func Password(user, password string) Credential { return credential{user, password} }

type credential struct{ user, password string }

// String keeps the password out of logs.
func (c credential) String() string { return "password of " + c.user }

// GoString keeps it out of %#v too.
func (c credential) GoString() string { return c.String() }

func (c credential) Exchange(_ context.Context, offer Offer) (Exchange, error) {
	switch {
	case offer.has("PLAIN"):
		return &plain{c}, nil
	case offer.has("LOGIN"):
		return &login{credential: c}, nil
	}
	return nil, fmt.Errorf("sasl: %w: a password works with PLAIN and LOGIN, the server offers %s",
		ErrNoMechanism, strings.Join(offer.Mechanisms, " "))
}

// plain is one message: identity, user, password (RFC 4616, 2).
type plain struct{ credential }

func (*plain) Mechanism() string { return "PLAIN" }

func (p *plain) Next(challenge []byte) ([]byte, error) {
	if len(challenge) > 0 {
		return nil, fmt.Errorf("sasl: PLAIN: unexpected challenge")
	}
	if strings.ContainsRune(p.user+p.password, 0) {
		return nil, fmt.Errorf("sasl: PLAIN: a NUL in the user name or the password")
	}
	return []byte("\x00" + p.user + "\x00" + p.password), nil
}

// login answers two questions, whatever their wording. It was never
// standardised; QUIRK: some servers offer nothing else.
type login struct {
	credential
	step int
}

func (*login) Mechanism() string { return "LOGIN" }

func (l *login) Next(challenge []byte) ([]byte, error) {
	if challenge == nil {
		return nil, nil
	}
	l.step++
	switch l.step {
	case 1:
		return []byte(l.user), nil
	case 2:
		return []byte(l.password), nil
	}
	return nil, fmt.Errorf("sasl: LOGIN: unexpected challenge")
}

// NewServer returns the server's side of a mechanism that ends in verify: PLAIN
// or LOGIN, in any case. It returns nil for any other.
func NewServer(mechanism string, verify Verify) Server {
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		return &plainServer{verify}
	case "LOGIN":
		return &loginServer{verify: verify}
	}
	return nil
}

type plainServer struct{ verify Verify }

func (s *plainServer) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte{}, false, nil
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 {
		return nil, false, ErrSyntax
	}
	// An identity other than the user would be a right to act for someone else,
	// which nobody here can grant. QUIRK: Racket's net/smtp repeats the user.
	if len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return nil, false, ErrSyntax
	}
	return nil, true, s.verify(string(parts[1]), string(parts[2]))
}

type loginServer struct {
	verify Verify
	user   *string
}

func (s *loginServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case s.user == nil:
		// QUIRK: .NET sends the user name with the command.
		user := string(response)
		s.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, s.verify(*s.user, string(response))
}
