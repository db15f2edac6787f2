package smtp

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/postrider/internal/wire"
)

// XCLIENT and XFORWARD (postfix.org, XCLIENT_README and XFORWARD_README): what a
// filter or proxy that is trusted tells of the client that it speaks for. XCLIENT
// makes the session that client's, with all that follows from it; XFORWARD is for
// logs. From anybody else they are no commands: not refused ones, whose reply would tell
// that there is something to be had by coming from elsewhere.
//
// XCLIENT stands in place of a connection of the client's own. So everything begins
// anew, with OnConnect, the greeting and EHLO, and nothing of what was said before
// counts, LOGIN included: it names whom the proxy has authenticated, and its absence
// that it has authenticated nobody.

var (
	xclientNames = []string{"ADDR", "PORT", "HELO", "LOGIN", "DESTADDR", "DESTPORT"}
	// QUIRK: nginx says NAME whether it is announced or not. Nothing here goes by what
	// a resolver has made of an address, so that these are taken and forgotten.
	xclientIgnored = []string{"NAME", "REVERSE_NAME", "PROTO"}
	xforwardNames  = []string{"ADDR", "PORT", "HELO", "NAME", "PROTO", "IDENT", "SOURCE"}
)

func (c *Conn) trusted() bool { return among(c.policy.Trusted, c.peer) }

// attributes reads "ADDR=192.0.2.1 HELO=[UNAVAILABLE]"; what is not known is "". Values
// are xtext (RFC 3461, 4), which leaves no way for a line end or a control character to
// get through. An attribute that was not announced, or stands there twice, is refused
// with all the others: which of two values counts would be a guess about who somebody is.
func attributes(arg string, known ...string) (map[string]string, bool) {
	all := map[string]string{}
	for word := range strings.FieldsSeq(arg) {
		name, value, ok := strings.Cut(word, "=")
		name = strings.ToUpper(name)
		value, err := wire.DecodeXtext(value)
		if _, twice := all[name]; twice || !ok || err != nil || len(value) > 255 || !slices.Contains(known, name) {
			return nil, false
		}
		if strings.EqualFold(value, "[UNAVAILABLE]") || strings.EqualFold(value, "[TEMPUNAVAIL]") {
			value = ""
		}
		all[name] = value
	}
	return all, len(all) > 0
}

func (c *Conn) xclient(arg string) {
	if !c.trusted() {
		c.wrong(500, "5.5.1", "command not recognized")
		return
	}
	all, ok := attributes(arg, slices.Concat(xclientNames, xclientIgnored)...)
	remote, ok1 := xaddr(c.remote, all["ADDR"], all["PORT"])
	local, ok2 := xaddr(c.local, all["DESTADDR"], all["DESTPORT"])
	if !ok || !ok1 || !ok2 || all["HELO"] != "" && badHello(all["HELO"]) {
		c.wrong(501, "5.5.4", "expected XCLIENT and attributes as announced")
		return
	}
	// It is said outside of a transaction (noMail in the table), so that no Handler sees its
	// client change.
	c.mu.Lock()
	c.remote, c.local = remote, local
	if all["ADDR"] != "" {
		c.peer = remote // who may be let speak after the proxy, and is as trusted as from there
	}
	// It begins anew, with the greeting.
	c.hello, c.esmtp, c.user, c.forward = "", false, all["LOGIN"], nil
	c.xhello = all["HELO"]
	c.mu.Unlock()
	// Who is refused by address must not get in by a proxy.
	if on := c.server.OnConnect; on != nil {
		if e := c.handlerError(c.call(func() error { return on(c.ctx, c) })); e != nil {
			c.giveUp(e)
			return
		}
	}
	c.greeting()
}

// xaddr returns what an address becomes: old, if there is none to be put in. QUIRK: nginx
// says ADDR without PORT; the port of the connection then stands beside it, which is
// nobody's but does not claim to be known.
func xaddr(old net.Addr, addr, port string) (net.Addr, bool) {
	if addr == "" && port == "" {
		return old, true
	}
	if len(addr) > 5 && strings.EqualFold(addr[:5], "IPV6:") {
		addr = addr[5:]
	}
	var now netip.AddrPort
	if tcp, ok := old.(*net.TCPAddr); ok {
		now = tcp.AddrPort()
	}
	ip, n := now.Addr(), uint64(now.Port())
	var err error
	if addr != "" {
		if ip, err = netip.ParseAddr(addr); err != nil || ip.Zone() != "" {
			return nil, false
		}
	}
	if port != "" {
		if n, err = strconv.ParseUint(port, 10, 16); err != nil {
			return nil, false
		}
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), uint16(n))), true
}

// xforward adds to what is known of the message: a long list comes in several commands.
// It is told to the Handler and decides nothing here, because the peer speaks of a
// session that has been let in elsewhere.
func (c *Conn) xforward(arg string) {
	if !c.trusted() {
		c.wrong(500, "5.5.1", "command not recognized")
		return
	}
	all, ok := attributes(arg, xforwardNames...)
	if !ok {
		c.wrong(501, "5.5.4", "expected XFORWARD and attributes as announced")
		return
	}
	c.mu.Lock()
	if c.forward == nil {
		c.forward = map[string]string{}
	}
	maps.Copy(c.forward, all)
	c.mu.Unlock()
	c.say(250, "2.0.0", "ok")
}

// Forwarded returns what a trusted peer has said by XFORWARD of where the message
// of this transaction comes from: ADDR, PORT, HELO, NAME, PROTO, IDENT, SOURCE.
// It is empty if none has.
func (c *Conn) Forwarded() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.forward)
}
