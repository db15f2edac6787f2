package conform

import (
	"context"
	"errors"
	"maps"
	"strconv"

	"github.com/postrider/postrider/smtp"
)

// What a server announces decides which cases it is held against. It is asked
// once, before the first.

// offers are the extensions that are announced in each state, with their
// parameters.
type offers struct {
	clear, secure, hello map[string]string
	implicit             bool // TLS comes first
	startTLS             bool // STARTTLS can be said
	helloTLS             bool // it is said before most cases
}

// size is the limit that is announced; if none is, one that nobody reaches.
func (o *offers) size() int64 {
	n, err := strconv.ParseInt(o.hello["SIZE"], 10, 64)
	if err != nil || n <= 0 {
		return 1 << 50
	}
	return n
}

// probe asks for the offers.
func (c *Config) probe(ctx context.Context) (*offers, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	client := smtp.NewClient(conn)
	defer client.Close()
	if _, err := client.Greeting(ctx); err != nil {
		return nil, err
	}
	if _, err := client.Hello(ctx, "client.example.org"); err != nil {
		return nil, err
	}
	o := &offers{clear: maps.Collect(client.Extensions()), implicit: c.implicit()}
	o.secure, o.hello = o.clear, o.clear
	if _, ok := o.clear["STARTTLS"]; !ok || o.implicit || c.TLS == smtp.TLSNone {
		if c.TLS == smtp.TLSStartTLS {
			return nil, errors.New("STARTTLS is not announced")
		}
		return o, nil
	}
	if _, err := client.StartTLS(ctx, c.tls()); err != nil {
		return nil, err
	}
	if _, err := client.Hello(ctx, "client.example.org"); err != nil {
		return nil, err
	}
	o.startTLS, o.secure = true, maps.Collect(client.Extensions())
	if c.TLS == smtp.TLSStartTLS || c.User != "" {
		o.helloTLS, o.hello = true, o.secure
	}
	return o, nil
}
