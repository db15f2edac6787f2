package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/sasl"
)

// AUTH on a server (RFC 4954). How a mechanism goes is sasl's business; here is when it
// may be said, how its lines travel, and what a failure costs.
//
// What is announced is what can be verified, and in clear only if that was asked for: a
// client takes the first mechanism that it knows, and its password is gone with the first
// line, before any refusal (RFC 4954, 9).

// verifier returns what clients are checked with, nil if nothing is known of any
// user.
func (c *Conn) verifier() *sasl.Verifier {
	var v sasl.Verifier
	switch s := c.server; {
	case s.SASL == nil && s.OnAuth == nil:
		return nil
	case s.SASL != nil:
		v = *s.SASL
	}
	// OnAuth is the short way and wins: it knows the session, which Password does not.
	if onAuth := c.server.OnAuth; onAuth != nil {
		v.Password = func(ctx context.Context, user, password string) error { return onAuth(ctx, c, user, password) }
	}
	return &v
}

// channel is what an exchange may be bound to (RFC 5929, 4): the certificate as this very
// client has seen it, which a reload in the meantime does not change.
func (c *Conn) channel() sasl.Channel {
	return sasl.Channel{Host: c.hostname, TLS: c.tls, Certificate: c.shown}
}

// mechanisms returns what AUTH is announced with, "" if it is not: never where
// credentials could be read on the way, unless that was asked for.
func (c *Conn) mechanisms() string {
	v := c.verifier()
	if v == nil || c.tls == nil && !c.server.AllowInsecureAuth || c.user != "" {
		return ""
	}
	return strings.Join(v.Mechanisms(c.channel()), " ")
}

// auth carries out AUTH. Where it is not to be had, and why, is told by different codes,
// because clients go by them: 538 makes one try STARTTLS, 504 another mechanism (RFC
// 4954, 4 and 6).
func (c *Conn) auth(arg string) {
	v := c.verifier()
	switch {
	case v == nil:
		c.wrong(502, "5.5.1", "authentication is not available")
		return
	case c.user != "": // RFC 4954, 4: once in a session
		c.wrong(503, "5.5.1", "authenticated already")
		return
	case c.tls == nil && !c.server.AllowInsecureAuth:
		c.wrong(538, "5.7.11", "authentication needs TLS")
		return
	}
	mechanism, initial, given := strings.Cut(arg, " ")
	server := v.Server(c.ctx, mechanism, c.channel())
	if server == nil {
		c.wrong(504, "5.5.4", "the mechanism is not one of those announced")
		return
	}
	switch err := c.exchange(server, initial, given); {
	case err == nil:
		// The only place at which a session gets a user, XCLIENT aside.
		c.mu.Lock()
		c.user = server.User()
		c.mu.Unlock()
		c.say(235, "2.7.0", "authenticated")
	case errors.Is(err, errConnection):
		c.done = true // readFailed has said why
	case errors.Is(err, errCancelled):
		c.wrong(501, "5.7.0", "authentication cancelled")
	case errors.Is(err, sasl.ErrSyntax):
		c.wrong(501, "5.5.2", "malformed authentication response")
	default:
		c.authFailed(err)
	}
}

// authFailed tells what was refused. An error that is neither an *Error nor
// ErrRefused is a fault of ours and says nothing about the client: it is
// temporary (RFC 4954, 6).
func (c *Conn) authFailed(err error) {
	e, log := refusal(err)
	switch {
	case errors.Is(err, sasl.ErrRefused):
		e, log = &Error{Code: 535, Enhanced: "5.7.8", Text: "authentication failed"}, false
	case e == errLocal:
		e = &Error{Code: 454, Enhanced: "4.7.0", Text: "temporary authentication failure"}
	}
	if log {
		c.server.log().Error("smtp: authentication failed on this side", "session", c.id, "error", err)
	} else { // for those who count from where passwords are guessed
		c.server.log().Info("smtp: authentication refused", "session", c.id, "remote", c.RemoteAddr(), "error", e)
	}
	// The reply waits, twice as long each time: guessing takes a session's time, and a
	// session is one of the few that an address may have. A user who mistypes does not
	// notice the first. Close ends the waiting, as it ends all else.
	timer := time.NewTimer(authDelay << min(c.authErrors, 10))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
	// It counts as an error too: who guesses between other commands is no better off.
	c.wrong(e.Code, e.Enhanced, e.Text)
	if c.authErrors++; c.authErrors >= orInt(c.server.MaxAuthErrors, 5) && !c.done {
		c.giveUp(&Error{Code: 421, Enhanced: "4.7.0", Text: "too many failed authentications"})
	}
}

// authDelay is how long the first failure is not told.
const authDelay = 250 * time.Millisecond

var (
	errConnection = errors.New("smtp: the connection failed")
	errCancelled  = errors.New("smtp: cancelled by the client")
)

// exchange carries an exchange through to its end. A response has the limit and the time
// of a command line. It is not one, so that no verb in it is run; a line "*" gives up (RFC
// 4954, 4). What a trace sees of it is that there was one.
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
		var challenge []byte
		var done bool
		// A verifier may ask a database: it is watched and contained as a Handler is.
		err := c.call(func() (err error) {
			challenge, done, err = server.Next(response)
			return err
		})
		if done || err != nil {
			return err
		}
		c.say(334, "", base64.StdEncoding.EncodeToString(challenge))
		line, err := c.readLine()
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

// decodeResponse decodes base64 strictly; the result is never nil, because to sasl nil is
// that nothing was said. Bits behind the last octet would give one password several forms
// (RFC 4648, 3.5).
func decodeResponse(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, sasl.ErrSyntax
	}
	return append([]byte{}, b...), nil
}

// checkHello tells whether name may be said in EHLO: a domain or an address
// literal (RFC 5321, 4.1.1.1).
func checkHello(name string) error {
	if !address.IsASCII(name) {
		return address.ErrSyntax
	}
	return address.CheckDomain(name)
}
