package main

import (
	"net"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/postrider/postrider/internal/listen"
)

// Systemd: ports that it has opened (sd_listen_fds(3)), and being told what goes on (sd_notify(3)). Elsewhere, and when
// nobody has asked for it, both do nothing. With sockets of its own a server needs no rights to open port 25, and
// connections wait in them while it is restarted.

// What systemd is told.
const (
	ready     = daemon.SdNotifyReady
	reloading = daemon.SdNotifyReloading
	stopping  = daemon.SdNotifyStopping
	migrated  = "STATUS="
	// migrating has the share in percent. A service that is not ready in time is killed: ten minutes more are for each
	// hundredth of a copy, and for what is done with the whole of it.
	migrating = "STATUS=Copying a database of an older version: %d %%\nEXTEND_TIMEOUT_USEC=600000000"
)

// activate puts sockets that systemd has opened in the place of the ports of their names.
func (v *server) activate() error {
	replaced := map[string]bool{}
	// true: the variables are taken out of the environment, or a hook's command would take the
	// sockets for its own.
	for _, f := range activation.Files(true) {
		name := f.Name()
		if name != "smtp" && name != "smtps" && name != "web" {
			return exitf(exitConfig, "a socket of systemd is called %q: FileDescriptorName= is smtp, smtps or web", name)
		}
		l, err := net.FileListener(f)
		f.Close() // it has been duplicated
		if err != nil {
			return exitf(exitConfig, "the socket %s of systemd: %w", name, err)
		}
		// The first socket of a name takes the place of the port that the options have; further ones
		// of the same name stand beside it (IPv4 and IPv6 are two).
		if !replaced[name] {
			v.ports = slices.DeleteFunc(v.ports, func(p *port) bool { return p.flag == name })
			v.options.set.Lookup(name).Annotations = nil // the address is no file's any more
			replaced[name] = true
		}
		v.ports = append(v.ports, &port{flag: name, addr: listen.String(l.Addr()), Listener: l})
	}
	return nil
}

// notify tells systemd. With Type=notify-reload it wants to know when the reloading began.
func (v *server) notify(state string) {
	if state == reloading {
		state += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		v.log.Warn("systemd is not told", "state", state, "err", err)
	}
}
