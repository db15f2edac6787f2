package sasl

import (
	"context"
	"errors"
	"unicode/utf8"
)

// Mechanisms that prove nothing themselves.

// External returns the credential of a client whom the server knows already, by
// its TLS certificate, for EXTERNAL (RFC 4422, appendix A). identity is whom it
// wants to act as; "" leaves that to the server.
func External(identity string) Credential { return once{"EXTERNAL", "a certificate", identity} }

// Anonymous returns the credential of nobody, for ANONYMOUS (RFC 4505). trace is
// what the server may log: an address, or a word of up to 255 characters; it may
// be empty.
func Anonymous(trace string) Credential { return once{"ANONYMOUS", "no identity", trace} }

// once is a credential whose mechanism is one message.
type once struct{ mechanism, what, message string }

func (c once) Exchange(_ context.Context, o Offer) (Exchange, error) {
	if c.message != "" && !visible(c.message) || utf8.RuneCountInString(c.message) > maxTrace {
		return nil, errors.New("sasl: " + c.mechanism + ": a control character in the message, or more than 255 characters")
	}
	mechanism, err := o.first(c.what, c.mechanism)
	if err != nil {
		return nil, err
	}
	return &onceExchange{named(mechanism), c.message}, nil
}

// maxTrace is what RFC 4505, 2 allows.
const maxTrace = 255

// onceExchange says its message and wants to hear nothing more.
type onceExchange struct {
	named
	message string
}

func (x *onceExchange) Next(challenge []byte) ([]byte, error) {
	if challenge != nil {
		return nil, x.unexpected()
	}
	return []byte(x.message), nil
}
