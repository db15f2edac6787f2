package postrider

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/internal/mailini"
)

// What Serve is told, in Go or in a file. A mail.ini has the keys of Axiom's (port, local, tls_port, tls_crt, tls_key) and
// ours, and is read strictly.

// Off is what an address says for a port that is not opened.
const Off = "off"

// A Config says how [Serve] receives mail. The zero Config is SMTP on 127.0.0.1:2525, which other machines cannot reach.
// Serve keeps a copy; the TLSConfig in it must not be changed while it runs.
type Config struct {
	// Addr is where to receive mail, HOST:PORT or unix:PATH. Empty: "127.0.0.1:2525", unless TLSAddr or Listeners say
	// where; Off: not opened.
	Addr      string
	TLSAddr   string      // the same with TLS from the beginning; not opened if empty
	Hostname  string      // the name in the greeting; this host's if empty
	CertFile  string      // a certificate chain in PEM, for STARTTLS and TLSAddr; no TLS if empty and TLSConfig is nil
	KeyFile   string      // its private key in PEM
	TLSConfig *tls.Config // for what CertFile does not say; TLS 1.2 or later if nil
	MaxSize   int64       // octets of a message; 50 MiB if zero

	// AllowInsecureAuth takes passwords outside TLS too. Zero: only on a loopback address, where nobody listens in.
	AllowInsecureAuth bool

	// Listeners are further ports, which are open already; Serve closes them. One that is an [smtp.Listener] brings its
	// policy along: LMTP, or what must come before MAIL.
	Listeners []net.Listener

	OnListen func(net.Addr) // called with the address of each port once it is open; nil: nothing is
	Logger   *slog.Logger   // told what fails on this side; slog.Default() if nil
}

// ParseConfig reads a mail.ini:
//
//	port = 2525          ; commented out: not opened
//	local = true         ; only this machine can connect; true if it is not there
//	tls_port = 465       ; TLS from the beginning
//	tls_crt = chain.pem  ; with tls_key: STARTTLS on port too
//	tls_key = key.pem
//	hostname = mail.example.com
//	max_size = 52428800  ; octets of a message
//
// An error names the line where there is one to name, and the Config is the zero one then. At most 1 MiB is read. No file
// is opened: whether the certificate can be used is found out by [Serve], and so is that a file names no port and Listeners
// are none either; other than the zero Config it has no port by default, as who writes a file says what is opened. Keys of the program alone, such as
// data and users, are let pass, so that it may have the same file.
func ParseConfig(r io.Reader) (Config, error) {
	f, err := mailini.Parse(r)
	if err != nil {
		return Config{}, fmt.Errorf("postrider: %w", err)
	}
	c, err := fromFile(f)
	if err != nil {
		return Config{}, fmt.Errorf("postrider: %w", err)
	}
	return c, nil
}

// fromFile makes a Config of the keys and checks what only several of them together can say.
func fromFile(f *mailini.File) (Config, error) {
	c := Config{Hostname: f.Value("hostname"), CertFile: f.Value("tls_crt"), KeyFile: f.Value("tls_key"), Addr: Off}
	local, err := f.Bool("local", true)
	port, portErr := f.Number("port", 65535)
	tlsPort, tlsErr := f.Number("tls_port", 65535)
	size, sizeErr := f.Number("max_size", 1<<50)
	for _, err := range []error{err, portErr, tlsErr, sizeErr} {
		if err != nil {
			return c, err
		}
	}
	// Others are let in only where the file says so: a port that is open to all by a forgotten line is no default.
	host := "127.0.0.1"
	if !local {
		host = ""
	}
	if port > 0 {
		c.Addr = net.JoinHostPort(host, strconv.FormatInt(port, 10))
	}
	if tlsPort > 0 {
		c.TLSAddr = net.JoinHostPort(host, strconv.FormatInt(tlsPort, 10))
	}
	c.MaxSize = size
	switch {
	// The first word of the greeting and of EHLO's reply is a domain (RFC 5321, 4.3.1); clients read what follows as text.
	case c.Hostname != "" && (address.CheckDomain(c.Hostname) != nil || !address.IsASCII(c.Hostname)):
		return c, f.Wrong("hostname", "it is the name of a host, such as mail.example.com")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return c, f.Wrong(map[bool]string{true: "tls_crt", false: "tls_key"}[c.KeyFile == ""], "tls_crt and tls_key go together")
	case c.TLSAddr != "" && c.CertFile == "":
		return c, f.Wrong("tls_port", "it needs tls_crt and tls_key")
	}
	return c, nil
}
