package smtp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"
)

// Ways out through a proxy: SOCKS5 (RFC 1928, RFC 1929) and HTTP's CONNECT (RFC 9110, 9.3.6).
//
// The proxy gets the server's name and resolves it: this host may know no names of the
// world outside. It sees what goes by, so that TLS with the server begins only behind it,
// and what it says itself is bounded as a server's replies are.

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Dial and DialContext make a dialFunc what package proxy wants.
func (f dialFunc) Dial(network, addr string) (net.Conn, error) {
	return f(context.Background(), network, addr)
}

func (f dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// through returns what connects through the proxy u, which is reached by dial.
func through(u *url.URL, dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		switch u.Scheme {
		case "socks5", "socks5h":
			conn, err = socks(ctx, u, dial, network, addr)
		case "http", "https":
			conn, err = connect(ctx, u, dial, addr)
		default:
			err = errors.New("it is none of socks5, http and https")
		}
		if err != nil {
			return nil, fmt.Errorf("proxy %s: %w", u.Redacted(), err)
		}
		return &proxiedConn{conn, proxyAddr(addr)}, nil
	}
}

// A proxiedConn tells the server's address as its own end, and not the proxy's, which
// may be on loopback where the server is not.
type proxiedConn struct {
	net.Conn
	addr proxyAddr
}

func (c *proxiedConn) RemoteAddr() net.Addr { return c.addr }

type proxyAddr string

func (proxyAddr) Network() string  { return "proxy" }
func (a proxyAddr) String() string { return string(a) }

func proxyHost(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func socks(ctx context.Context, u *url.URL, dial dialFunc, network, addr string) (net.Conn, error) {
	var auth *proxy.Auth
	if u.User != nil {
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", proxyHost(u, "1080"), auth, dial)
	if err != nil {
		return nil, err
	}
	return d.(proxy.ContextDialer).DialContext(ctx, network, addr)
}

func connect(ctx context.Context, u *url.URL, dial dialFunc, addr string) (net.Conn, error) {
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	conn, err := dial(ctx, "tcp", proxyHost(u, port))
	if err != nil {
		return nil, err
	}
	// Its time is that of connecting, of which it is a part.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	if u.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	}
	err = askToConnect(conn, u.User, addr)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// askToConnect says CONNECT and reads the answer, octet by octet: what follows it is the
// server's.
func askToConnect(conn net.Conn, user *url.Userinfo, addr string) error {
	request := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	// At once, not when it is asked for: some proxies close the connection to ask.
	if user != nil {
		password, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	// The name is the caller's, perhaps somebody else's before: it must not end the line.
	if strings.ContainsAny(addr, "\r\n \x00") {
		return fmt.Errorf("address %q", addr)
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return err
	}
	const maxHeader = 16 << 10
	var header []byte
	var one [1]byte
	for !strings.HasSuffix(string(header[max(0, len(header)-4):]), "\r\n\r\n") {
		if len(header) == maxHeader {
			return errors.New("its answer is too long")
		}
		if _, err := io.ReadFull(conn, one[:]); err != nil {
			return err
		}
		header = append(header, one[0])
	}
	status, _, _ := strings.Cut(string(header), "\r\n")
	if version, code, _ := strings.Cut(status, " "); !strings.HasPrefix(version, "HTTP/1.") || !strings.HasPrefix(code, "2") {
		return fmt.Errorf("it answered %.100q", status)
	}
	return nil
}
