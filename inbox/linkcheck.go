package inbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postrider/postrider/mail"
)

// Links are looked at when a person asks, and never otherwise: a request tells
// the sender that the message was read. The addresses are the sender's choice,
// who may want this machine to ask its own network for something (SSRF). So
// every address is judged when it is connected to, after its name has been
// resolved and after each redirect; there is no proxy, no cookie, and no method
// but HEAD, which must not change anything (RFC 9110, 9.2.1).

// The bounds keep one message from making this machine ask half the web, and the
// person from waiting: with eight at once the slowest fifty take about a minute.
const (
	maxAsked     = 50
	linksAtOnce  = 8
	linkTimeout  = 10 * time.Second // for one link, its redirects included
	maxRedirects = 5
)

// A linked is one link and what became of it.
type linked struct {
	URL, Fate string
	OK        bool
}

// errPrivate says that an address is none of the public internet.
var errPrivate = errors.New("it leads to an address that is not public, which is not asked")

// private are the networks that are not the public internet and that netip does
// not know by a name (RFC 6890 and its registry), among them those by which an
// IPv6 address stands for an IPv4 address.
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0:0/96"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"), netip.MustParsePrefix("fec0::/10"),
}

// public refuses what is not on the public internet's web.
func public(to netip.AddrPort) error {
	// A zone or the mapped form would make the same address another one to the
	// comparisons below.
	ip := to.Addr().Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return errPrivate
	}
	for _, p := range private {
		if p.Contains(ip) {
			return errPrivate
		}
	}
	// Other ports are other services, which may take a request for a command.
	if to.Port() != 80 && to.Port() != 443 {
		return errors.New("it leads to a port that is not the web's, which is not asked")
	}
	return nil
}

// newLinkClient makes a client that connects where may lets it. Control is called
// with the address that is about to be connected to: what a name resolves to
// when it is looked at a second time does not matter (DNS rebinding).
func newLinkClient(may func(netip.AddrPort) error) *http.Client {
	dialer := &net.Dialer{Timeout: linkTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return may(to)
	}}
	return &http.Client{
		Timeout: linkTimeout,
		// No proxy: it would connect in our place, where nothing is judged.
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("it redirects more than %d times", maxRedirects)
			}
			return nil
		},
	}
}

// look asks for each link, a few at once, and tells what was answered.
func lookAt(ctx context.Context, client *http.Client, links []string) []linked {
	out := make([]linked, len(links))
	var wg sync.WaitGroup
	slots := make(chan struct{}, linksAtOnce)
	for i, link := range links {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			out[i].URL = link
			out[i].Fate, out[i].OK = head(ctx, client, link)
		})
	}
	wg.Wait()
	return out
}

// head asks for one link.
func head(ctx context.Context, client *http.Client, link string) (fate string, ok bool) {
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, link, nil)
	if err != nil {
		return "it is no URL", false
	}
	r.Header.Set("User-Agent", "postrider link check")
	resp, err := client.Do(r)
	if err != nil {
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			err = cause // the innermost says it; the others repeat the URL
		}
		return oneLine(err.Error(), 200), false
	}
	// HEAD has no body; what a server sends all the same is not read.
	resp.Body.Close()
	fate = resp.Status
	if at := resp.Request.URL.String(); at != link {
		fate += ", at " + oneLine(at, 200)
	}
	switch {
	case resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == http.StatusNotImplemented:
		return fate + ": it is there, but answers only who really opens it", true
	case resp.StatusCode >= 400:
		return fate, false
	}
	return fate, true
}

// links looks at the links of a message. It is POST: it has an effect elsewhere.
func (p *page) links(r *http.Request) (v *view, err error) {
	v = &view{}
	var urls []string
	err = p.inbox.read(r.Context(), r.PathValue("id"), func(_ Body, m *mail.Message) error {
		urls = webLinks(m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if v.Unasked = max(0, len(urls)-maxAsked); v.Unasked > 0 {
		urls = urls[:maxAsked]
	}
	v.Links = lookAt(r.Context(), p.client, urls)
	return v, nil
}

// webLinks are the addresses of a message that the web has, each once.
func webLinks(m *mail.Message) []string {
	var out []string
	seen := map[string]bool{}
	for _, l := range links(m) {
		scheme, _, _ := strings.Cut(strings.ToLower(l.URL), ":")
		if (scheme == "http" || scheme == "https") && !seen[l.URL] {
			seen[l.URL] = true
			out = append(out, l.URL)
		}
	}
	return out
}
