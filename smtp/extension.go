package smtp

import (
	"strconv"
	"strings"
	"time"
)

// What a session may use beyond RFC 5321's own verbs: extensions, in one table that EHLO
// writes and MAIL and RCPT read. Those that only a Handler can honour are there if it
// says that it does (Offerer), and what goes beyond its offer is refused here, so that it
// need not look for itself.

// extensions are what EHLO announces, in this order. offer returns the
// parameters and whether the extension is offered now. MAIL and RCPT ask the same table
// whether a parameter may be used, so that nothing is taken that was not announced, and
// what was said before TLS or AUTH holds no longer than its announcement.
var extensions = []struct {
	name  string
	offer func(c *Conn) (params string, ok bool)
}{
	// Ours alone to do, so that they are always there.
	{"PIPELINING", always},
	{"SIZE", func(c *Conn) (string, bool) { return strconv.FormatInt(c.server.maxSize(), 10), true }},
	{"8BITMIME", always},
	{"SMTPUTF8", always},
	{"CHUNKING", always},
	// The Handler's to do: to announce them for it would be a promise that nobody keeps.
	{"BINARYMIME", ifHandler("BINARYMIME")},
	{"ENHANCEDSTATUSCODES", always},
	{"DSN", ifHandler("DSN")},
	{"DELIVERBY", ifHandler("DELIVERBY")},
	{"FUTURERELEASE", (*Conn).futureRelease},
	{"MT-PRIORITY", ifHandler("MT-PRIORITY")},
	{"RRVS", ifHandler("RRVS")},
	{"PRDR", ifHandler("PRDR")},
	{"LIMITS", func(c *Conn) (string, bool) { return "RCPTMAX=" + strconv.Itoa(c.server.maxRecipients()), true }}, // RFC 9422, 4
	{"HELP", always},
	{"EXPN", func(c *Conn) (string, bool) { return "", c.server.OnExpand != nil }},
	{"STARTTLS", func(c *Conn) (string, bool) { return "", c.server.TLSConfig != nil && c.tls == nil }},
	{"REQUIRETLS", func(c *Conn) (string, bool) { _, ok := c.server.offers("REQUIRETLS"); return "", ok && c.tls != nil }}, // RFC 8689, 2
	{"AUTH", func(c *Conn) (string, bool) { m := c.mechanisms(); return m, m != "" }},
	{"XCLIENT", func(c *Conn) (string, bool) { return strings.Join(xclientNames, " "), c.trusted() }},
	{"XFORWARD", func(c *Conn) (string, bool) { return strings.Join(xforwardNames, " "), c.trusted() }},
}

func always(*Conn) (string, bool) { return "", true }

func ifHandler(extension string) func(*Conn) (string, bool) {
	return func(c *Conn) (string, bool) { return c.server.offers(extension) }
}

// futureRelease announces how long a message may be held at most, in seconds, and
// until when that is (RFC 4865, 3): both must be told.
func (c *Conn) futureRelease() (params string, ok bool) {
	params, ok = c.server.offers("FUTURERELEASE")
	seconds, until := holdLimits(params)
	if ok && seconds > 0 && !strings.Contains(params, " ") {
		params += " " + until.UTC().Format(time.RFC3339)
	}
	return params, ok && params != ""
}

// holdLimits reads what FUTURERELEASE is offered with; both are zero where that says
// nothing that can be read, and nothing is then held against it.
func holdLimits(params string) (longest time.Duration, latest time.Time) {
	first, second, _ := strings.Cut(params, " ")
	seconds, err := parseSeconds(first)
	if err != nil {
		return 0, time.Time{}
	}
	longest = time.Duration(seconds) * time.Second
	if latest, err = time.Parse(time.RFC3339, second); err != nil {
		latest = time.Now().Add(longest)
	}
	return longest, latest
}

// beyond tells what of a MAIL goes beyond what the extensions were announced with; nil if
// nothing does. A server refuses it, and a client does not say it (RFC 4865, 4).
func beyond(o *MailOptions, offers func(extension string) (params string, ok bool)) *Error {
	if o.HoldFor > 0 || !o.HoldUntil.IsZero() {
		params, _ := offers("FUTURERELEASE")
		// RFC 4865, 4.2: it is refused rather than held for less.
		if longest, latest := holdLimits(params); longest > 0 && (o.HoldFor > longest || o.HoldUntil.After(latest)) {
			return &Error{Code: 501, Enhanced: "5.5.4", Text: "no message is held for so long"}
		}
		hold := o.HoldFor
		if hold == 0 {
			hold = time.Until(o.HoldUntil)
		}
		// RFC 4865, 5.2: one of the two would have to be passed over.
		if o.By.Mode != "" && o.By.Within <= hold {
			return &Error{Code: 501, Enhanced: "5.5.4", Text: "a message cannot be delivered before it is released"}
		}
	}
	if o.By.Mode == ByReturn {
		params, _ := offers("DELIVERBY")
		// RFC 2852, 2: the least time in which anything can be returned, and what later
		// documents may add behind a comma. With ByNotify the report is what tells of it.
		params, _, _ = strings.Cut(params, ",")
		if least, err := parseSeconds(params); err == nil && o.By.Within < time.Duration(least)*time.Second {
			return &Error{Code: 554, Enhanced: "5.4.7", Text: "no message is delivered or returned so soon"}
		}
	}
	return nil
}

// offered tells whether an extension's parameters may be used now. After HELO none may
// (RFC 5321, 4.1.1.1): the client has not seen what there is.
func (c *Conn) offered(extension string) bool {
	for i := range extensions {
		if extensions[i].name == extension {
			_, ok := extensions[i].offer(c)
			// AUTH is no longer announced where its parameter is of most use (RFC 4954, 5).
			return c.esmtp && (ok || extension == "AUTH" && c.user != "")
		}
	}
	return false
}
