package smtp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/postrider/postrider/sasl"
)

// How a client gets to a server that will take its mail: connected, greeted, in
// TLS and authenticated, as configured.

// A TLSMode says when a Dialer uses TLS.
type TLSMode uint8

const (
	// TLSAuto is implicit TLS on port 465 and STARTTLS on every other. It is
	// required and verified, except to loopback: there STARTTLS is used if
	// offered, and the certificate is not looked at unless TLSConfig is set.
	TLSAuto          TLSMode = iota
	TLSImplicit              // from the first octet (RFC 8314, 3.3)
	TLSStartTLS              // STARTTLS, required (RFC 3207)
	TLSOpportunistic         // STARTTLS if offered, any certificate: no protection from an active attacker
	TLSNone                  // never
)

// A Dialer makes connections to servers. Its zero value is valid; it may be used
// by several goroutines at once if it is not changed meanwhile.
type Dialer struct {
	Hostname  string      // EHLO name; "": this host's name, or its address if that is no domain
	TLS       TLSMode     // TLSAuto if zero
	TLSConfig *tls.Config // nil: verify the name that is dialled, TLS 1.2 or later
	// Pins are the public keys that are trusted, as Pin writes them: one of the verified
	// chain must be among them; where TLSConfig skips the verification, the server's own.
	// With pins TLS is required to loopback too. WrapTLS must look at them itself. nil:
	// any that the certificates vouch for.
	Pins []string
	// WrapTLS replaces the TLS handshake by the caller's own. nil: crypto/tls.
	WrapTLS func(ctx context.Context, conn net.Conn) (net.Conn, error)
	Auth    sasl.Credential // nil: no authentication
	// AllowInsecureAuth sends credentials in clear, or to whoever answers where TLS is
	// opportunistic, to other hosts than loopback.
	AllowInsecureAuth bool
	Timeouts          Timeouts
	LMTP              bool // the server speaks LMTP (RFC 2033)
	// Without are extensions that are not used although the server offers them, as
	// "CHUNKING" or "PIPELINING": for one that offers what it cannot do. What needs one
	// of them fails as where it is not offered. nil: all are used.
	Without []string
	// Commit is called when the message has been written and before the final
	// octets go out: the last moment at which cancelling stops the delivery. An
	// error abandons it. nil: nothing is called.
	Commit func(ctx context.Context, env *Envelope) error
	// Trace is called for each line of a session. nil: nothing is called.
	Trace func(Line)
	// NetDial connects. nil: net.Dialer, to "tcp", or to "unix" for an address
	// that begins with a slash.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// LocalAddr is the address of this host to connect from, where NetDial is nil. Zero:
	// the system chooses.
	LocalAddr netip.Addr
	// Proxy is what connects instead: socks5://, http:// or https:// (RFC 9110, 9.3.6),
	// with user and password if it wants them. It resolves the server's name. Not for
	// unix sockets. nil: none. A host reached through it is never loopback.
	Proxy *url.URL
}

// Dial connects to addr, "host:port" or the path of a unix socket, and returns a
// Client that is ready for mail. Port 25 is taken if addr has none, 24 for LMTP.
func (d *Dialer) Dial(ctx context.Context, addr string) (*Client, error) {
	network, host, addr := d.target(addr)
	dialCtx, cancel := context.WithTimeout(ctx, d.Timeouts.dial())
	conn, err := d.dialer(network)(dialCtx, network, addr)
	cancel()
	if err != nil {
		return nil, temporary("connecting to "+addr, err)
	}
	return d.client(ctx, conn, host, portOf(addr) == "465")
}

// dialer returns what connects to network.
func (d *Dialer) dialer(network string) dialFunc {
	dial := dialFunc(d.NetDial)
	if dial == nil {
		// Both address families are tried (RFC 8305).
		var n net.Dialer
		if d.LocalAddr.IsValid() && network == "tcp" {
			n.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.LocalAddr, 0))
		}
		dial = n.DialContext
	}
	if d.Proxy != nil && network == "tcp" {
		return through(d.Proxy, dial)
	}
	return dial
}

// Client makes a Client of the caller's own connection, as Dial does. TLS
// verifies the name in TLSConfig.ServerName.
func (d *Dialer) Client(ctx context.Context, conn net.Conn) (*Client, error) {
	host := ""
	if d.TLSConfig != nil {
		host = d.TLSConfig.ServerName
	}
	return d.client(ctx, conn, host, false)
}

// target parts an address; host is what TLS verifies.
func (d *Dialer) target(addr string) (network, host, full string) {
	if strings.HasPrefix(addr, "/") {
		return "unix", "localhost", addr
	}
	host, _, err := net.SplitHostPort(addr)
	if err == nil {
		return "tcp", host, addr
	}
	port := "25"
	if d.LMTP {
		port = "24"
	}
	host = strings.Trim(addr, "[]")
	return "tcp", host, net.JoinHostPort(host, port)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// client greets the server over conn, begins TLS and authenticates.
func (d *Dialer) client(ctx context.Context, conn net.Conn, host string, port465 bool) (c *Client, err error) {
	c = newClient(d, conn, host)
	defer func() {
		if err != nil {
			c.Close()
			c = nil
		}
	}()
	if d.TLS == TLSImplicit || d.TLS == TLSAuto && port465 {
		if err = c.handshake(ctx, d.tlsConfig(false)); err != nil {
			return c, err
		}
	}
	if _, err = c.Greeting(ctx); err != nil {
		return c, err
	}
	name := d.helloName(conn)
	if _, err = c.Hello(ctx, name); err != nil {
		return c, err
	}
	if c.tls == nil {
		if err = d.secure(ctx, c, name); err != nil {
			return c, err
		}
	}
	if d.Auth != nil {
		_, err = c.Auth(ctx, d.Auth)
	}
	return c, err
}

// secure says STARTTLS as the mode wants it.
func (d *Dialer) secure(ctx context.Context, c *Client, name string) error {
	local := isLoopback(c.conn.RemoteAddr())
	wanted, required, lax := true, true, false
	switch d.TLS {
	case TLSNone:
		wanted = false
	case TLSOpportunistic:
		required, lax = false, true
	case TLSAuto:
		required, lax = !local || d.Pins != nil, local && d.TLSConfig == nil
	}
	switch {
	case !wanted, !required && !c.has("STARTTLS"):
		return nil
	case !c.has("STARTTLS"):
		return permanent(c.name()+" offers no STARTTLS, and mail is not sent in clear unless TLS is set to none or opportunistic", unsupported("STARTTLS"))
	}
	c.anybody = lax && d.Pins == nil
	if _, err := c.StartTLS(ctx, d.tlsConfig(lax)); err != nil {
		return err
	}
	_, err := c.Hello(ctx, name)
	return err
}

// tlsConfig returns the configuration to use; lax looks at no certificate.
func (d *Dialer) tlsConfig(lax bool) *tls.Config {
	config := d.TLSConfig.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if lax {
		config.InsecureSkipVerify = true
	}
	if d.Pins != nil {
		config.VerifyConnection = d.pinned(config.VerifyConnection)
	}
	return config
}

// startTLS does the handshake of a client; host is verified unless config names
// another.
func startTLS(ctx context.Context, conn net.Conn, config *tls.Config, host string) (net.Conn, error) {
	config = config.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	t := tls.Client(conn, config)
	return t, t.HandshakeContext(ctx)
}

// helloName returns the name to say in EHLO. Servers refuse what is not a
// domain, so a host without a name says its address.
func (d *Dialer) helloName(conn net.Conn) string {
	if d.Hostname != "" {
		return d.Hostname
	}
	if name := localName(); checkHello(name) == nil {
		return name
	}
	return addressLiteral(conn.LocalAddr())
}

// addressLiteral writes an address as a host's name (RFC 5321, 4.1.3).
func addressLiteral(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ip, _ := netip.AddrFromSlice(tcp.IP)
		if ip = ip.Unmap().WithZone(""); ip.Is4() {
			return fmt.Sprintf("[%s]", ip)
		} else if ip.Is6() {
			return fmt.Sprintf("[IPv6:%s]", ip)
		}
	}
	return "localhost"
}

// isLoopback tells whether a connection cannot be listened to from elsewhere: to
// this host, or through no network at all.
func isLoopback(a net.Addr) bool {
	if a == nil {
		return false
	}
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return a.Network() == "pipe" || a.Network() == "stream"
}

// Stream makes a connection of two streams, such as the standard input and
// output of a program. Deadlines are not kept: cancel instead, which closes both
// streams if they can be closed.
func Stream(r io.Reader, w io.Writer) net.Conn { return &stream{r, w} }

type stream struct {
	r io.Reader
	w io.Writer
}

type streamAddr struct{}

func (streamAddr) Network() string { return "stream" }
func (streamAddr) String() string  { return "stream" }

func (s *stream) Read(p []byte) (int, error)       { return s.r.Read(p) }
func (s *stream) Write(p []byte) (int, error)      { return s.w.Write(p) }
func (s *stream) LocalAddr() net.Addr              { return streamAddr{} }
func (s *stream) RemoteAddr() net.Addr             { return streamAddr{} }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

func (s *stream) Close() error {
	var err error
	for _, end := range []any{s.r, s.w} {
		if c, ok := end.(io.Closer); ok {
			if e := c.Close(); err == nil {
				err = e
			}
		}
	}
	return err
}
