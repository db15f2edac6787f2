// Package sasl holds the authentication exchanges of mail, the client's side
// and the server's.
//
// A client has a [Credential]; for each connection it begins an [Exchange] by
// the best of the mechanisms that the server offers. A server has a [Server] for
// each exchange, which ends in a question to a [Verify] function. The mechanisms
// are PLAIN (RFC 4616) and LOGIN, in the frame of RFC 4422; how they travel in
// SMTP is RFC 4954, and package smtp's business.
package sasl

import (
	"context"
	"errors"
	"strings"
)

// ErrNoMechanism says that the server offers no mechanism that the credential
// can be used with.
var ErrNoMechanism = errors.New("no usable authentication mechanism")

// A Credential is what a client proves itself with. It may be used by several
// connections at once.
type Credential interface {
	// Exchange begins an exchange by the strongest mechanism that both sides
	// have. It returns ErrNoMechanism, wrapped, if there is none.
	Exchange(ctx context.Context, offer Offer) (Exchange, error)
}

// An Offer is what a server gives a Credential to choose from.
type Offer struct {
	Host       string   // the server's name
	Mechanisms []string // in upper case
}

// has tells whether the server offers mechanism.
func (o Offer) has(mechanism string) bool {
	for _, m := range o.Mechanisms {
		if strings.EqualFold(m, mechanism) {
			return true
		}
	}
	return false
}

// An Exchange is the client's side of one authentication.
type Exchange interface {
	Mechanism() string
	// Next answers a challenge. The first call, with nil, asks for the initial
	// response; a nil answer means that the mechanism has none.
	Next(challenge []byte) (response []byte, err error)
}

// A Server is the server's side of one authentication.
type Server interface {
	// Next takes the client's response and returns the next challenge, or
	// done. The first response is nil if the client sent none with the command.
	// An error ends the exchange: one of Verify's, or ErrSyntax.
	Next(response []byte) (challenge []byte, done bool, err error)
}

// ErrSyntax is a response that is not of the mechanism's form.
var ErrSyntax = errors.New("malformed authentication response")

// Verify decides whether password is user's; nil accepts.
type Verify func(user, password string) error
