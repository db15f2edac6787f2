package smtp

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/postrider/postrider/sasl"
)

// AUTH on a client (RFC 4954). What is said after the mechanism's name never
// reaches a trace.

// Auth authenticates with one of the mechanisms that the server offers (RFC
// 4954). Outside TLS it refuses, except to loopback or if the Dialer allows it.
func (c *Client) Auth(ctx context.Context, credential sasl.Credential) (Reply, error) {
	if c.tls == nil && !c.dialer.AllowInsecureAuth && !isLoopback(c.conn.RemoteAddr()) {
		return Reply{}, permanent("AUTH: the connection is not encrypted, and credentials are not sent in clear", nil)
	}
	mechanisms, _ := c.Extension("AUTH")
	x, err := credential.Exchange(ctx, sasl.Offer{Host: c.host, Mechanisms: strings.Fields(strings.ToUpper(mechanisms))})
	if err != nil {
		return Reply{}, permanent("AUTH", err)
	}
	initial, err := x.Next(nil)
	if err != nil {
		return Reply{}, permanent("AUTH", err)
	}
	line := "AUTH " + x.Mechanism()
	if initial != nil {
		line += " " + encodeResponse(initial)
	}
	r, err := c.secret(ctx, line, maskAuth(line))
	for err == nil && r.Code == 334 {
		var challenge, response []byte
		if challenge, err = base64.StdEncoding.DecodeString(r.Text); err == nil {
			response, err = x.Next(append([]byte{}, challenge...))
		}
		if err != nil {
			c.secret(ctx, "*", "*") // RFC 4954, 4: cancels
			return r, permanent("AUTH", err)
		}
		r, err = c.secret(ctx, encodeResponse(response), masked)
	}
	return r, err
}

// encodeResponse encodes a response; an empty one is "=" (RFC 4954, 4).
func encodeResponse(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

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
