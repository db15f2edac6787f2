// Package sasl holds the authentication exchanges of mail, the client's side
// and the server's.
//
// A client has a [Credential]; for each connection it begins an [Exchange] by
// the strongest of the mechanisms that the server offers. A server has a
// [Verifier], whose functions decide which mechanisms there are, and a [Server]
// for each exchange. The mechanisms are SCRAM with and without channel binding
// (RFC 5802, 7677, 9266, 5929), PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195),
// OAUTHBEARER (RFC 7628), XOAUTH2, EXTERNAL (RFC 4422, appendix A) and ANONYMOUS
// (RFC 4505), in the frame of RFC 4422; how they travel in SMTP is RFC 4954, and
// package smtp's business.
package sasl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrNoMechanism says that the server offers no mechanism that the
	// credential can be used with.
	ErrNoMechanism = errors.New("no usable authentication mechanism")
	// ErrUnproven says that the server could not prove that it knows the
	// password: it is not the one that it claims to be.
	ErrUnproven = errors.New("the server did not prove that it knows the password")
	// ErrStale says that the server refused a token that had been kept. It is
	// forgotten, and another Exchange asks for a new one.
	ErrStale = errors.New("the token is no longer good")
	// ErrNoToken says that a TokenSource gave no token. Nothing was said to the
	// server, and the same may succeed later.
	ErrNoToken = errors.New("no access token")
	// ErrSyntax is a client's response that is not of the mechanism's form.
	ErrSyntax = errors.New("malformed authentication response")
	// ErrRefused says that a client is not who it claims to be, or may not act
	// for whom it wants to. A Verifier's functions return it, and so does Server.
	ErrRefused = errors.New("authentication failed")
)

// A Credential is what a client proves itself with. It may be used by several
// connections at once.
type Credential interface {
	// Exchange begins an exchange by the strongest mechanism that both sides
	// have. It returns ErrNoMechanism, wrapped, if there is none. ctx ends the
	// wait for what the credential must fetch, such as a token.
	Exchange(ctx context.Context, offer Offer) (Exchange, error)
}

// An Offer is what a server gives a Credential to choose from.
type Offer struct {
	Host       string               // the server's name; "" if it is not known
	Mechanisms []string             // what it announces, in upper case
	Skip       []string             // those of them that are not to be used
	TLS        *tls.ConnectionState // nil outside TLS: no channel binding
}

// has tells whether mechanism is announced and to be used.
func (o Offer) has(mechanism string) bool {
	return slices.Contains(o.Mechanisms, mechanism) && !slices.Contains(o.Skip, mechanism)
}

// first returns the first of the mechanisms that is offered.
func (o Offer) first(what string, mechanisms ...string) (string, error) {
	for _, m := range mechanisms {
		if o.has(m) {
			return m, nil
		}
	}
	return "", o.none(what, mechanisms)
}

// none is the error of a credential that works with none but mechanisms.
func (o Offer) none(what string, mechanisms []string) error {
	offered := "no authentication"
	if len(o.Mechanisms) > 0 {
		offered = fmt.Sprintf("%q", strings.Join(o.Mechanisms, " "))
	}
	return fmt.Errorf("sasl: %w: %s works with %s; the server offers %s", ErrNoMechanism, what, strings.Join(mechanisms, ", "), offered)
}

// An Exchange is the client's side of one authentication.
type Exchange interface {
	// Mechanism returns its name, in upper case.
	Mechanism() string
	// Next answers a challenge. The first call, with nil, asks for the initial
	// response; a nil answer means that the mechanism has none. After an error
	// the connection is not to be used.
	Next(challenge []byte) (response []byte, err error)
	// End is told the server's last word: nil if it says that the client is
	// authenticated, else its refusal. It returns what counts: ErrUnproven where
	// the server accepted but owes a proof, ErrStale for a token that had been
	// kept, or the refusal, with what the server told about it before.
	End(refusal error) error
}

// Only restricts a credential to the mechanisms given, in any case. A SCRAM
// mechanism does not stand for its -PLUS form: to be sure of channel binding,
// name the -PLUS forms alone.
func Only(c Credential, mechanisms ...string) Credential { return only{c, mechanisms} }

type only struct {
	Credential
	mechanisms []string
}

func (c only) Exchange(ctx context.Context, o Offer) (Exchange, error) {
	// What is left out stays announced: a client that can bind must not tell
	// the server that it saw no -PLUS (RFC 5802, 6).
	skip := slices.Clone(o.Skip)
	for _, m := range o.Mechanisms {
		if !slices.ContainsFunc(c.mechanisms, func(s string) bool { return strings.EqualFold(s, m) }) {
			skip = append(skip, m)
		}
	}
	if !slices.ContainsFunc(o.Mechanisms, func(m string) bool { return !slices.Contains(skip, m) }) {
		return nil, o.none("the credential, as it is restricted,", c.mechanisms)
	}
	o.Skip = skip
	return c.Credential.Exchange(ctx, o)
}

// named is an exchange that ends as the server says.
type named string

func (n named) Mechanism() string     { return string(n) }
func (named) End(refusal error) error { return refusal }

// unexpected is the error of a challenge that the mechanism does not have.
func (n named) unexpected() error { return fmt.Errorf("sasl: %s: unexpected challenge", n) }

// clean checks that nothing in a value could end a line or a field further on:
// CR, LF and NUL are in no credential.
func clean(what, value string) error {
	if strings.ContainsAny(value, "\r\n\x00") {
		return fmt.Errorf("sasl: a line end or a NUL in the %s", what)
	}
	return nil
}

// visible tells whether s is a name that may go into logs and fields as it is:
// UTF-8, not empty and without controls.
func visible(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
