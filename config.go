package postrider

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/ini.v1"
)

// What Serve is told, in Go or in a file. A mail.ini has the keys of Axiom's (port, local, tls_port, tls_crt, tls_key) and
// ours. It is read strictly: a key that nobody knows is most likely one that is spelt wrong, and a server that starts
// without its certificate because of that is found out too late.

// Off is what an address says for a port that is not opened.
const Off = "off"

// A Config says how [Serve] receives mail. The zero Config is SMTP on 127.0.0.1:2525, which other machines cannot reach.
// Serve keeps a copy; the TLSConfig in it must not be changed while it runs.
type Config struct {
	Addr      string      // to receive mail on; "127.0.0.1:2525" if empty, unless TLSAddr is set; Off: not opened
	TLSAddr   string      // to receive mail on with TLS from the beginning; not opened if empty
	Hostname  string      // the name in the greeting; this host's if empty
	CertFile  string      // a certificate chain in PEM, for STARTTLS and TLSAddr; no TLS if empty and TLSConfig is nil
	KeyFile   string      // its private key in PEM
	TLSConfig *tls.Config // for what CertFile does not say; TLS 1.2 or later if nil
	MaxSize   int64       // octets of a message; 50 MiB if zero

	// AllowInsecureAuth takes passwords outside TLS too. Zero: only on a loopback address, where nobody listens in.
	AllowInsecureAuth bool

	OnListen func(net.Addr) // called with the address of each port once it is open; nil: nothing is
	Logger   *slog.Logger   // told what fails on this side; slog.Default() if nil
}

// iniKeys are the keys of a mail.ini. All others are refused.
var iniKeys = []string{"port", "local", "tls_port", "tls_crt", "tls_key", "hostname", "max_size"}

// maxConfig is how much configuration is read.
const maxConfig = 1 << 20

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
// is opened: whether the certificate can be used is found out by [Serve]. A file without any port is an error, other than
// the zero Config, which has a port by default: who writes a file says what is opened.
func ParseConfig(r io.Reader) (Config, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return Config{}, fmt.Errorf("postrider: reading the configuration: %w", err)
	}
	if len(text) > maxConfig {
		return Config{}, fmt.Errorf("postrider: the configuration is longer than %d octets", maxConfig)
	}
	file, err := ini.LoadSources(ini.LoadOptions{}, text)
	if err != nil {
		return Config{}, fmt.Errorf("postrider: configuration: %w", err)
	}
	p := iniReader{text: text, section: file.Section("")}
	for _, s := range file.Sections() {
		if s.Name() != ini.DefaultSection {
			return Config{}, p.wrong("["+s.Name()+"]", "there are no sections")
		}
		for _, k := range s.Keys() {
			if !slices.Contains(iniKeys, k.Name()) {
				return Config{}, p.wrong(k.Name(), "unknown; there are "+strings.Join(iniKeys, ", "))
			}
		}
	}
	return p.config()
}

// An iniReader reads the keys of one file. It keeps the text because the parser forgets on which line a key was.
type iniReader struct {
	text    []byte
	section *ini.Section
	err     error // the first
}

// config makes a Config of the keys and checks what only several of them together can say.
func (p *iniReader) config() (Config, error) {
	c := Config{
		Hostname: p.value("hostname"), CertFile: p.value("tls_crt"), KeyFile: p.value("tls_key"),
		MaxSize: p.number("max_size", 1<<50), Addr: Off,
	}
	// Others are let in only where the file says so: a port that is open to all by a forgotten line is no default.
	host := "127.0.0.1"
	if v := p.value("local"); v != "" {
		local, err := strconv.ParseBool(v)
		if err != nil {
			return Config{}, p.wrong("local", "it is true or false")
		}
		if !local {
			host = ""
		}
	}
	if n := p.number("port", 65535); n > 0 {
		c.Addr = net.JoinHostPort(host, strconv.FormatInt(n, 10))
	}
	if n := p.number("tls_port", 65535); n > 0 {
		c.TLSAddr = net.JoinHostPort(host, strconv.FormatInt(n, 10))
	}
	switch {
	case p.err != nil:
		return Config{}, p.err
	case (c.CertFile == "") != (c.KeyFile == ""):
		return Config{}, p.wrong(map[bool]string{true: "tls_crt", false: "tls_key"}[c.KeyFile == ""], "tls_crt and tls_key go together")
	case c.TLSAddr != "" && c.CertFile == "":
		return Config{}, p.wrong("tls_port", "it needs tls_crt and tls_key")
	case c.Addr == Off && c.TLSAddr == "":
		return Config{}, errors.New("postrider: configuration: neither port nor tls_port is set: there is nothing to serve")
	}
	return c, nil
}

// value returns the value of a key; "" if it is not there or empty, which is the same to us.
func (p *iniReader) value(key string) string {
	if !p.section.HasKey(key) {
		return ""
	}
	return strings.TrimSpace(p.section.Key(key).String())
}

// number reads a number from 1 to most; 0 if the key is not there. The first error is kept for config, so that a row of
// numbers can be read without asking after each.
func (p *iniReader) number(key string, most int64) int64 {
	if !p.section.HasKey(key) {
		return 0
	}
	n, err := strconv.ParseInt(p.value(key), 10, 64)
	if (err != nil || n < 1 || n > most) && p.err == nil {
		p.err = p.wrong(key, fmt.Sprintf("it is a number from 1 to %d", most))
	}
	return n
}

// wrong makes an error about a key or a section, with its line. The line is looked for only now, in the text; one that
// the parser understood in another way than we do is left out of the error rather than guessed.
func (p *iniReader) wrong(name, why string) error {
	lines := bufio.NewScanner(bytes.NewReader(p.text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		key, _, _ := strings.Cut(line, "=")
		key, _, _ = strings.Cut(key, ":")
		if line == name || strings.Trim(strings.TrimSpace(key), "\"`'") == name {
			return fmt.Errorf("postrider: configuration, line %d: %s: %s", n, name, why)
		}
	}
	return fmt.Errorf("postrider: configuration: %s: %s", name, why)
}
