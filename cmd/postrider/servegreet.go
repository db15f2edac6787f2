package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postrider/postrider/internal/listen"
)

// What serve says when it begins: where it can be reached, whose mail it takes and where that is kept. Scripts wait for
// the last line, and people click on the first.

// greet says where to find everything, in a form that can be clicked. The ports
// are open by then, so that a program that waits for the last line may connect.
func (v *server) greet() error {
	out := v.streams.out
	dir, err := filepath.Abs(v.options.data)
	if err != nil {
		dir = v.options.data
	}
	// That there is mail from before is worth a word: who expects an empty inbox is in another directory.
	stats, err := v.db.Inbox().Stats(context.Background())
	if err != nil {
		return err
	}
	version, _ := build()
	fmt.Fprintf(out, "postrider %s\n\n", version)
	// Programs that start it for their tests read these lines for the ports that :0 has become.
	for _, kind := range []struct{ flag, form string }{
		{"web", "  Web page   http://%s/\n"}, {"smtp", "  SMTP       smtp://%s\n"}, {"smtps", "  SMTP, TLS  smtps://%s\n"},
	} {
		for _, p := range v.ports {
			form := kind.form
			if p.Addr().Network() == "unix" {
				form = form[:13] + "%s\n" // there is no URL for it
			} else if p.flag == "web" && v.encrypted(p) {
				form = strings.Replace(form, "http:", "https:", 1)
			}
			if p.flag == kind.flag {
				fmt.Fprintf(out, form, reachable(p.Addr()))
			}
		}
	}
	fmt.Fprintf(out, "  Takes      %s\n", v.options.takes())
	fmt.Fprintf(out, "  Kept in    %s (%s)\n\n", dir, count(stats.Messages, "message"))
	_, err = fmt.Fprintln(out, "Waiting for mail. Ctrl-C ends it.")
	return err
}

// takes says whose mail is accepted, as it is the first thing that one wonders about when some is not.
func (o *serveOptions) takes() string {
	domains := strings.Join(o.accept, ", ")
	switch {
	case o.verifies() && o.accept == nil && !o.open:
		return "mail from users alone"
	case o.accept == nil || slices.Contains(o.accept, anyDomain):
	case o.verifies():
		return "mail from users, and for " + domains
	default:
		return "mail for " + domains
	}
	return "mail for everybody"
}

// reachable returns an address that can be connected to: one that listens
// everywhere is also there on loopback, but 0.0.0.0 is no address to connect to.
// QUIRK: Linux takes it for loopback all the same, Windows does not.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return listen.String(addr)
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}

// count returns "1 message", "2 messages".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
