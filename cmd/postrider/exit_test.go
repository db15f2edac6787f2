package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// Every kind of error has the code that scripts decide by: 75 for what may pass and for nothing else.
func TestExitCode(t *testing.T) {
	reply := func(code int, enhanced smtp.EnhancedCode) error { return &smtp.Error{Code: code, Enhanced: enhanced} }
	sent := func(errs ...error) error {
		results := make([]smtp.Result, len(errs))
		for i, err := range errs {
			results[i].Err = err
		}
		return &smtp.SendError{Results: results}
	}
	path := func(err error) error { return &fs.PathError{Op: "open", Path: "x", Err: err} }
	lost := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"what was said on purpose", exitf(78, "x: %w", reply(450, "")), 78}, {"the same, wrapped", fmt.Errorf("x: %w", usagef("x")), 64},
		// RFC 3463, 3: what a reply is about.
		{"no such user", reply(550, "5.1.1"), 67}, {"no such host", reply(550, "5.1.2"), 68}, {"not permitted", reply(550, "5.7.1"), 77},
		{"a mailbox that is full", reply(552, "5.2.2"), 69}, {"refused", reply(554, ""), 69}, {"no such user yet", reply(450, "4.1.1"), 75},
		{"a greylist", reply(450, "4.7.1"), 75}, {"a host that is no mail host", reply(556, "5.1.10"), 69}, {"X.17", reply(550, "5.17.1"), 69},
		// Several recipients have the code that one of them would have, if they share it.
		{"all unknown here", sent(reply(550, "5.1.1"), reply(551, "5.1.1")), 67}, {"all deferred", sent(reply(450, ""), reply(451, "4.3.0")), 75},
		{"refused in two ways", sent(reply(550, "5.1.1"), reply(550, "5.7.1")), 69}, {"accepted and refused", sent(nil, reply(550, "5.1.1")), 69},
		{"refused and accepted", sent(reply(550, "5.1.1"), nil), 69}, {"accepted and deferred", sent(nil, reply(450, "")), 69},
		{"deferred and refused", sent(reply(450, ""), reply(550, "5.1.1")), 69}, {"unknown", sent(fmt.Errorf("x: %w", smtp.ErrUnknown)), 76},
		{"unknown and deferred", sent(smtp.ErrUnknown, reply(450, "")), 76},
		// A name that nobody has does not come by waiting; a resolver that does not answer may.
		{"no such name", &net.DNSError{Err: "no such host", IsNotFound: true}, 68}, {"no resolver", &net.DNSError{Err: "x", IsTemporary: true}, 75},
		{"no connection", lost, 75}, {"no connection, wrapped", fmt.Errorf("x: %w", lost), 75},
		{"for now", smtp.ErrTemporary, 75}, {"for good", smtp.ErrPermanent, 69},
		// An error of a file has the methods of a net.Error; what a disk refuses now it may take later.
		{"no file", path(fs.ErrNotExist), 66}, {"a file of others", path(fs.ErrPermission), 66}, {"a disk", path(syscall.EIO), 75},
		{"locked", fmt.Errorf("x: %w", sqlite.ErrLocked), 69}, {"newer", sqlite.ErrNewer, 65}, {"foreign", sqlite.ErrForeign, 65}, {"corrupt", sqlite.ErrCorrupt, 65},
		{"a flag that nobody knows", errors.New("unknown flag: --x"), 64}, {"too much", errors.New("accepts 1 arg(s), received 2"), 64},
		{"our own fault", errors.New("x"), 70},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: %v: got %d, want %d", c.name, c.err, got, c.want)
		}
	}
}

// A complaint is one line, whoever has written it, and says once who complains.
func TestComplain(t *testing.T) {
	for text, want := range map[string]string{
		"x": "postrider: x\n", "postrider: x": "postrider: x\n", "a\nb\tc": "postrider: a; b c\n", " a  b ": "postrider: a b\n",
	} {
		var b bytes.Buffer
		if complain(&b, errors.New(text)); b.String() != want {
			t.Errorf("%q: got %q, want %q", text, b.String(), want)
		}
	}
}

// A port that cannot be opened is told by its flag, with a way out where there is one.
func TestListenError(t *testing.T) {
	system := func(err error) error { return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)} }
	for _, c := range []struct {
		flag string
		err  error
		code int
		want string
	}{
		{"smtp", system(syscall.EADDRINUSE), 69, "--smtp a:1 is in use by another program: give another address, or --smtp off"},
		{"listen", system(syscall.EADDRINUSE), 69, "--listen a:1 is in use by another program: give another address"}, // sink has no other
		{"web", system(syscall.EACCES), 77, "--web a:1 may not be opened by this user: ports below 1024 often are the system's"},
		{"smtps", system(syscall.EADDRNOTAVAIL), 69, "--smtps a:1 is not an address of this machine"},
		{"smtp", &net.DNSError{Err: "no such host", Name: "a"}, 68, "--smtp a:1: no such host"},
	} {
		err := listenError(c.flag, "a:1", c.err)
		if exitCode(err) != c.code || err.Error() != c.want {
			t.Errorf("%s, %v: got %d %q, want %d %q", c.flag, c.err, exitCode(err), err, c.code, c.want)
		}
	}
	if err := listenError("smtp", "a:1", system(syscall.EMFILE)); !errors.Is(err, syscall.EMFILE) || !strings.HasPrefix(err.Error(), "--smtp") {
		t.Errorf("anything else: got %v, want it told as it is", err)
	}
}
