package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/postrider/postrider/sasl"
)

// AUTH on a client (RFC 4954). What is said after the mechanism's name never
// reaches a trace.

// Auth authenticates with the strongest of the mechanisms that the server offers
// and the credential can be used with (RFC 4954). If the server then says that the
// mechanism is at fault the next one is tried; if it refuses a token that had been
// kept, a new one, once. Outside TLS it refuses, except to loopback or if the
// Dialer allows it.
//
// A refused credential is an *Error: 535 for good, 454 for now; sasl.ErrNoToken is
// temporary, and ErrNoMechanism for good. A server that
// accepts without the proof that SCRAM asks of it is sasl.ErrUnproven, and the
// connection is closed.
func (c *Client) Auth(ctx context.Context, credential sasl.Credential) (Reply, error) {
	switch {
	case c.dialer.AllowInsecureAuth || isLoopback(c.conn.RemoteAddr()):
	case c.tls == nil:
		return Reply{}, permanent("AUTH: the connection is not encrypted, and credentials are not sent in clear", nil)
	case c.anybody:
		return Reply{}, permanent("AUTH: nobody has verified who the server is, and credentials are not sent to just anybody", nil)
	}
	announced, _ := c.Extension("AUTH")
	offer := sasl.Offer{Host: c.host, Mechanisms: strings.Fields(strings.ToUpper(announced)), TLS: c.tls}
	var refused Reply
	var refusal error
	for renewed := false; ; {
		x, err := credential.Exchange(ctx, offer)
		switch {
		case errors.Is(err, sasl.ErrNoMechanism) && refusal != nil:
			return refused, refusal // says more than that nothing is left
		// Where tokens come from may be out of order, and the mail none the worse for it.
		case errors.Is(err, sasl.ErrNoToken), ctx.Err() != nil && err != nil:
			return Reply{}, temporary("AUTH", err)
		case err != nil:
			return Reply{}, permanent("AUTH", err)
		}
		r, err := c.authBy(ctx, x)
		switch {
		case errors.Is(err, sasl.ErrStale) && !renewed:
			renewed = true
		case atFault(err):
			offer.Skip = append(offer.Skip, x.Mechanism())
		default:
			return r, err
		}
		refused, refusal = r, err
	}
}

// atFault tells whether a server has refused the mechanism and not who uses it:
// it is too weak, needs encryption, or is after all none of the server's (RFC
// 4954, 4 and 6). QUIRK: Exchange says 5.7.4 for the last.
func atFault(err error) bool {
	e := findError(err)
	if e == nil || e.Code/100 != 5 {
		return false
	}
	switch e.Enhanced {
	case "5.5.4", "5.7.4", "5.7.9", "5.7.11":
		return true
	}
	return e.Code == 504 || e.Code == 534 || e.Code == 538
}

// authBy carries one exchange through.
func (c *Client) authBy(ctx context.Context, x sasl.Exchange) (Reply, error) {
	initial, err := x.Next(nil)
	if err != nil {
		return Reply{}, permanent("AUTH", err)
	}
	line := "AUTH " + x.Mechanism()
	if initial != nil {
		response := encodeResponse(initial)
		if response == "" {
			response = "=" // RFC 4954, 4: an empty one, in the command alone
		}
		// The command is bound to the length of any other (RFC 5321, 4.5.3.1.4);
		// the lines after it are not.
		if len(line)+1+len(response) <= 510 {
			line += " " + response
			initial = nil
		}
	}
	r, err := c.secret(ctx, line, maskAuth(line))
	for err == nil && r.Code == 334 {
		var response []byte
		challenge, wrong := base64.StdEncoding.DecodeString(r.Text)
		switch {
		case wrong == nil && initial != nil && len(challenge) == 0:
			response, initial = initial, nil
		case wrong == nil:
			response, wrong = x.Next(append([]byte{}, challenge...))
		}
		if wrong != nil {
			c.secret(ctx, "*", "*") // RFC 4954, 4: cancels
			return r, permanent("AUTH", wrong)
		}
		r, err = c.secret(ctx, encodeResponse(response), masked)
	}
	if err != nil && findError(err) == nil {
		return r, err // no word of the server's
	}
	refusal := err
	if err = x.End(refusal); err != nil && refusal == nil {
		err = permanent("AUTH", err)
		c.lose(err)
	}
	return r, err
}

func encodeResponse(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// secret says a line that a trace must not see.
func (c *Client) secret(ctx context.Context, line, shown string) (r Reply, err error) {
	end, err := c.begin(ctx)
	if err != nil {
		return r, err
	}
	defer end(&err)
	c.out = append(append(c.out, line...), '\r', '\n')
	if c.dialer.Trace != nil {
		c.trace(true, shown)
	}
	if r, err = c.reply(c.dialer.Timeouts.command()); err == nil && r.Code != 334 {
		err = expect(r, "AUTH", 2)
	}
	return r, err
}
