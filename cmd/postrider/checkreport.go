package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/human"
)

// What check found, what is wrong with it and what could be better. Only what an
// operator can change is said, each with its reason.

// A report is what a server offers, and its JSON.
type report struct {
	Server   string `json:"server"`
	Address  string `json:"address"`
	Greeting string `json:"greeting"`
	// Lists and maps are never null, so that a script need not ask whether they are there.
	Extensions map[string]string  `json:"extensions"` // with their parameters; inside TLS if there is TLS
	TLS        *tlsReport         `json:"tls"`        // null: none
	Mechanisms []string           `json:"mechanisms"`
	Clear      []string           `json:"mechanisms_in_clear"`
	Timings    map[string]float64 `json:"timings"` // of each step, in seconds
	Wrong      []string           `json:"wrong"`
	Advice     []string           `json:"advice"`
}

// A tlsReport is what TLS came to. Verified is what a client of ours would say.
type tlsReport struct {
	How          string      `json:"how"` // implicit or starttls
	Version      string      `json:"version"`
	Cipher       string      `json:"cipher"`
	Verified     bool        `json:"verified"`
	Error        string      `json:"error,omitempty"` // why not
	Certificates []chainLink `json:"certificates"`    // the server's own first
	version      uint16
}

// A chainLink is one certificate of the chain.
type chainLink struct {
	Subject   string    `json:"subject"`
	Names     []string  `json:"names"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Days      int       `json:"days_left"`
	Key       string    `json:"key"`
}

const (
	renewDays    = 21              // certificates of 90 days are renewed 30 days before their end
	slowGreeting = 5 * time.Second // clients with short timeouts give up soon after
)

// advise fills in Wrong and Advice. Wrong is what loses mail or shows it to others;
// Advice is what makes it slower, or leaves some senders out. On loopback nobody
// listens in, so that a test server is not told off for having no certificate.
func (r *report) advise(port string) {
	r.Wrong, r.Advice = []string{}, []string{}
	wrong := func(text string) { r.Wrong = append(r.Wrong, text) }
	better := func(text string) { r.Advice = append(r.Advice, text) }
	// By the address that answered, not by the name that was asked for, which may lead anywhere.
	host, _, _ := net.SplitHostPort(r.Address)
	private := net.ParseIP(host).IsLoopback()
	// One thing is said of TLS, the worst: a certificate that does not verify need not also be told to be old.
	switch t := r.TLS; {
	case t == nil && private:
		better("no STARTTLS: on loopback nobody listens in, elsewhere everybody could (RFC 3207)")
	case t == nil:
		wrong("no STARTTLS: mail can be read and changed on its way (RFC 3207)")
	case !t.Verified:
		wrong("the certificate is not good for clients that verify: " + t.Error)
	case t.Certificates[0].Days < renewDays:
		better(fmt.Sprintf("the certificate ends in %d days: renew it", t.Certificates[0].Days))
	}
	// The probe takes what a client would not (config), so that this is a line and not a failed handshake.
	if r.TLS != nil && r.TLS.version < tls.VersionTLS12 {
		wrong(r.TLS.Version + " is broken and refused by most clients: offer TLS 1.2 and 1.3 (RFC 8996)")
	}
	if len(r.Clear) > 0 && !private {
		wrong("passwords are taken in clear (AUTH " + strings.Join(r.Clear, " ") + " before STARTTLS): offer AUTH inside TLS alone (RFC 4954, 4)")
	}
	// RFC 6409, 3.1 and RFC 8314, 3.3: these two are for people's own programs.
	submission := port == "587" || port == "465"
	if submission && len(r.Mechanisms) == 0 {
		wrong("no AUTH on a port for submission: nobody can prove to be allowed to send (RFC 6409, 4.3)")
	}
	// What most servers of today have, and a sender notices the lack of; the rest of the registry is a matter of taste.
	for _, missing := range []struct{ extension, why string }{
		{"PIPELINING", "every command waits for its reply, which is slow over long ways (RFC 2920)"},
		{"SIZE", "that a message is too large is only known when it has been sent (RFC 1870)"},
		{"8BITMIME", "text beyond ASCII is encoded, and grows (RFC 6152)"},
		{"SMTPUTF8", "mail for addresses beyond ASCII cannot be taken (RFC 6531)"},
		{"ENHANCEDSTATUSCODES", "senders have to guess why they are refused (RFC 2034)"},
	} {
		if _, ok := r.Extensions[missing.extension]; !ok {
			better("no " + missing.extension + ": " + missing.why)
		}
	}
	if d := r.took("greeting"); d > slowGreeting {
		better("it greets after " + d.String() + ": clients that are in a hurry give up")
	}
	if name, _, _ := strings.Cut(r.Greeting, " "); !strings.Contains(name, ".") && !private {
		better(fmt.Sprintf("it calls itself %q, which is no full name of a host (RFC 5321, 4.2)", name))
	}
}

// took returns how long a step took, as people read it.
func (r *report) took(step string) time.Duration {
	return time.Duration(r.Timings[step] * float64(time.Second)).Round(10 * time.Microsecond)
}

// print writes the report for people. All of it is a stranger's text.
func (r *report) print(w io.Writer) error {
	var b bytes.Buffer
	// Made printable here, once, so that no row can be forgotten.
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(&b, "%s (%s)\n", r.Server, r.Address)
	row("greeting", "%s", r.Greeting)
	if t := r.TLS; t == nil {
		row("TLS", "none")
	} else {
		row("TLS", "%s, %s, %s", t.Version, t.Cipher, map[string]string{"implicit": "from the beginning", "starttls": "by STARTTLS"}[t.How])
		for i, c := range t.Certificates {
			// A certificate for servers need not have a subject (RFC 5280, 4.1.2.6): its names are in the next row.
			row([]string{"certificate", "  issued by"}[min(i, 1)], "%s, %s, until %s (%d days)", cmp.Or(c.Subject, "no subject"), c.Key, c.NotAfter.Format(time.DateOnly), c.Days)
			if len(c.Names) > 0 {
				row("", "for %s", strings.Join(c.Names, " "))
			}
		}
		if verified := "yes"; !t.Verified {
			row("verified", "no: %s", t.Error)
		} else {
			row("verified", "%s", verified)
		}
	}
	// Inside TLS first, as that is what a client uses; in clear only where both are known.
	row("mechanisms", "%s", none(strings.Join(r.Mechanisms, " ")))
	if r.TLS != nil && r.TLS.How == "starttls" {
		row("  in clear", "%s", none(strings.Join(r.Clear, " ")))
	}
	// RFC 1870, 3: without a number, or with 0, there is no limit to be told.
	if n, err := strconv.ParseInt(r.Extensions["SIZE"], 10, 64); err == nil && n > 0 {
		row("limits", "messages up to %s %s", human.Size(n), r.Extensions["LIMITS"])
	} else if limits := r.Extensions["LIMITS"]; limits != "" {
		row("limits", "%s", limits)
	}
	for i, name := range slices.Sorted(maps.Keys(r.Extensions)) {
		row([]string{"extensions", ""}[min(i, 1)], "%s", strings.TrimSpace(name+" "+r.Extensions[name]))
	}
	// In the order in which they happened; what did not happen has no time.
	var times []string
	for _, step := range []string{"connect", "greeting", "tls", "ehlo", "noop"} {
		if _, ok := r.Timings[step]; ok {
			times = append(times, step+" "+r.took(step).String())
		}
	}
	row("timings", "%s", strings.Join(times, ", "))
	// Last, where a reader of a terminal looks first.
	for _, text := range r.Wrong {
		fmt.Fprintf(&b, "! %s\n", printable(text))
	}
	for _, text := range r.Advice {
		fmt.Fprintf(&b, "- %s\n", printable(text))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// none says that a list is empty.
func none(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
