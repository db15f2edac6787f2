package smtp

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/sasl"
)

// AUTH on a server (RFC 4954).

// authOffered tells whether AUTH is announced: never where credentials could be
// read on the way, unless that was asked for.
func (c *Conn) authOffered() bool {
	return c.server.OnAuth != nil && (c.tls != nil || c.server.AllowInsecureAuth) && c.user == ""
}

func (c *Conn) auth(arg string) {
	switch {
	case c.server.OnAuth == nil:
		c.wrong(502, "5.5.1", "authentication is not available")
		return
	case c.user != "":
		c.wrong(503, "5.5.1", "authenticated already")
		return
	case !c.authOffered():
		c.wrong(538, "5.7.11", "authentication needs TLS")
		return
	}
	mechanism, initial, given := strings.Cut(arg, " ")
	var user string
	server := sasl.NewServer(mechanism, func(name, password string) error {
		user = name
		return c.call(func() error { return c.server.OnAuth(c.ctx, c, name, password) })
	})
	if server == nil {
		c.wrong(504, "5.5.4", "the mechanism is not one of those announced")
		return
	}
	switch err := c.exchange(server, initial, given); {
	case err == nil:
		c.mu.Lock()
		c.user = user
		c.mu.Unlock()
		c.say(235, "2.7.0", "authenticated")
	case errors.Is(err, errConnection):
		c.done = true
	case errors.Is(err, errCancelled):
		c.wrong(501, "5.7.0", "authentication cancelled")
	case errors.Is(err, sasl.ErrSyntax):
		c.wrong(501, "5.5.2", "malformed authentication response")
	default:
		c.authFailed(err)
	}
}

// authFailed tells what OnAuth refused. An error that is no *Error is a fault of
// ours and says nothing about the password: it is temporary (RFC 4954, 6).
func (c *Conn) authFailed(err error) {
	e, log := refusal(err)
	if e == errLocal {
		e = &Error{Code: 454, Enhanced: "4.7.0", Text: "temporary authentication failure"}
	}
	if log {
		c.server.log().Error("smtp: OnAuth failed", "session", c.id, "error", err)
	}
	c.wrong(e.Code, e.Enhanced, e.Text)
}

var (
	errConnection = errors.New("smtp: the connection failed")
	errCancelled  = errors.New("smtp: cancelled by the client")
)

// exchange carries an exchange through to its end.
func (c *Conn) exchange(server sasl.Server, initial string, given bool) error {
	var response []byte
	if given {
		if initial == "=" { // RFC 4954, 4: an empty initial response
			initial = ""
		}
		var err error
		if response, err = decodeResponse(initial); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := server.Next(response)
		if done || err != nil {
			return err
		}
		c.say(334, "", base64.StdEncoding.EncodeToString(challenge))
		c.rd.Release()
		line, err := c.rd.ReadLine(maxCommand)
		if err != nil {
			c.readFailed(err)
			return errConnection
		}
		if c.server.Trace != nil {
			c.trace(true, masked)
		}
		if string(line) == "*" {
			return errCancelled
		}
		if response, err = decodeResponse(string(line)); err != nil {
			return err
		}
	}
}

// decodeResponse decodes base64 strictly; the result is never nil.
func decodeResponse(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, sasl.ErrSyntax
	}
	return append([]byte{}, b...), nil
}

// maskAuth hides what AUTH says after the mechanism.
func maskAuth(line string) string {
	name, rest, ok := strings.Cut(line, " ")
	if !ok || !strings.EqualFold(name, "AUTH") {
		return line
	}
	mechanism, _, ok := strings.Cut(rest, " ")
	if !ok {
		return line
	}
	return name + " " + mechanism + " " + masked
}

// checkHello tells whether name may be said in EHLO: a domain or an address
// literal (RFC 5321, 4.1.1.1).
func checkHello(name string) error {
	if !address.IsASCII(name) {
		return address.ErrSyntax
	}
	return address.CheckDomain(name)
}
