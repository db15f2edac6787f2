package smtp

import (
	"net"
	"net/netip"
)

// What differs between the ports of one server. A field here is off when it is
// zero, so that a bare net.Listener is served with the zero policy.

// A Listener is a net.Listener with a policy for its sessions. Server.Serve
// takes one wherever it takes a net.Listener; its zero policy is that of a bare
// net.Listener: STARTTLS is offered if the Server has a TLSConfig, nothing is
// required.
type Listener struct {
	net.Listener
	Policy
}

// A Policy is what a listener asks of its sessions.
type Policy struct {
	ImplicitTLS bool // TLS from the first octet (RFC 8314, 3.3)
	RequireTLS  bool // no MAIL outside TLS
	RequireAuth bool // no MAIL before AUTH
	LMTP        bool // speak LMTP (RFC 2033) in place of SMTP

	// Profile says what becomes of a CR or LF in a message that stands alone.
	Profile Profile
	// WildPaths takes "RCPT TO: <ann@example.com>" and "RCPT TO:ann@example.com"
	// too, which RFC 5321, 3.3 forbids and some devices say.
	WildPaths bool
	// RefuseEarly ends the session of a client that speaks before the greeting or
	// sends more behind EHLO before its reply: programs that do not listen do so,
	// clients never (RFC 5321, 4.3.1). Nobody is made to wait for it. What comes
	// before the greeting is noticed on Linux only. Off, what comes early is read in
	// its turn, within the same limits, and gains nothing by it.
	RefuseEarly bool
	// Proxies are the load balancers whose connections begin with a header of the
	// PROXY protocol, version 1 or 2: RemoteAddr and LocalAddr are what it says, and
	// without one the connection is closed. From anybody else it is no command. nil:
	// nobody.
	Proxies []netip.Prefix
	// Trusted are the peers that may say XCLIENT and XFORWARD. Behind a proxy the
	// client that it speaks for counts, and after an XCLIENT with ADDR that client.
	// nil: nobody, and to others neither verb is announced.
	Trusted []netip.Prefix
}

// A Profile is how a listener reads the line ends of messages (RFC 5321, 2.3.8).
// In every one of them only CRLF . CRLF ends a message, and commands end in CRLF.
type Profile uint8

const (
	// Strict refuses a message that holds a CR or LF which is not part of CRLF, and
	// ends the session.
	Strict Profile = iota
	// Normalize takes it for text and hands it on as CRLF: for clients that are
	// known to send such messages and cannot be mended.
	Normalize
)
