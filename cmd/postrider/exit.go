package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/spf13/pflag"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// How the program ends: each error has one line and one code. Scripts decide by
// the code whether to try again, so that 75 is for what may pass and never for
// what will not.

// Exit codes: those of BSD's sysexits.h, which mail programs have always had.
// QUIRK: Postfix and sendmail read these codes from the programs that they pipe
// mail to: 75 keeps the message in the queue, most others return it.
const (
	exitOK          = 0
	exitUsage       = 64 // the command line is wrong
	exitData        = 65 // the input is wrong
	exitNoInput     = 66 // the input cannot be read
	exitNoUser      = 67 // no such recipient (X.1.1)
	exitNoHost      = 68 // no such host (X.1.2)
	exitUnavailable = 69 // refused for good (5yz), or a port is in use
	exitSoftware    = 70 // our own fault
	exitCannotWrite = 73 // an output cannot be created
	exitIO          = 74 // reading or writing failed
	exitTempFail    = 75 // try again (4yz, a failed connection)
	exitProtocol    = 76 // the other side broke the protocol, or the outcome is unknown
	exitNoPerm      = 77 // not permitted (X.7.*)
	exitConfig      = 78 // the configuration is wrong: a file, or the environment
)

// An exitError is an error that knows its exit code. It wraps: what is inside is
// still found by errors.Is.
type exitError struct {
	code int
	flag string // whose value is wrong, as its text begins behind the name; "": no flag's
	at   string // where the value was given, if not on the command line: see placed
	err  error
}

func (e *exitError) Error() string {
	switch {
	case e.at != "":
		return e.at + e.err.Error()
	case e.flag != "":
		return "--" + e.flag + e.err.Error()
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// exitf returns an error that ends the program with a code.
func exitf(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// flagf is for the value of a flag. It says the flag's name; what follows it, such as
// ": why" or " %q: why", is the format's. Who has set it elsewhere than on the
// command line is told where: see placed.
func flagf(code int, flag, format string, args ...any) error {
	return &exitError{code: code, flag: flag, err: fmt.Errorf(format, args...)}
}

// setAt gives a flag a value that the command line has not, and notes where it is from:
// the name of a variable, or a line of a file and its key.
func setAt(flags *pflag.FlagSet, flag, value, at string) error {
	flags.Lookup(flag).Annotations = map[string][]string{placeOf: {at}}
	return placed(flags, plainly(flags.Set(flag, value)))
}

// placeOf is the annotation of a flag that setAt makes.
const placeOf = "place"

// placed has an error about a flag's value tell where that was given, if not on the
// command line: whoever wrote it there has given no flag, and no wrong command line.
func placed(flags *pflag.FlagSet, err error) error {
	e, ok := errors.AsType[*exitError](err)
	if !ok {
		return err
	}
	if f := flags.Lookup(e.flag); f != nil && f.Annotations[placeOf] != nil {
		e.at = f.Annotations[placeOf][0]
		if e.code == exitUsage {
			e.code = exitConfig
		}
	}
	return err
}

// usagef is for what the user can mend on the command line.
func usagef(format string, args ...any) error { return exitf(exitUsage, format, args...) }

// exitCode maps what a command returned; nil is 0. The order counts: what was said
// on purpose, then what a server said, then the classes of smtp, then the system.
// An error of cobra's own is about the command line.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*smtp.Error](err); ok {
		return replyCode(e)
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return exitNoHost // a name that is spelt wrong does not become right by waiting
	}
	switch {
	// Before temporary: who tries again now may deliver twice.
	case errors.Is(err, smtp.ErrUnknown):
		return exitProtocol
	case errors.Is(err, smtp.ErrTemporary):
		return exitTempFail
	case errors.Is(err, smtp.ErrPermanent):
		if sent, ok := errors.AsType[*smtp.SendError](err); ok {
			return alike(sent.Results)
		}
		return exitUnavailable
	case errors.Is(err, sqlite.ErrLocked):
		return exitUnavailable
	case errors.Is(err, sqlite.ErrNewer), errors.Is(err, sqlite.ErrForeign), errors.Is(err, sqlite.ErrCorrupt):
		return exitData
	// Before the network: an error of the system's has the methods of a net.Error, whatever it was about.
	case isFile(err):
		return exitNoInput
	case isNetwork(err):
		return exitTempFail
	}
	// Some have it and others were only deferred: 75 would have the message sent to
	// the first ones again.
	if sent, ok := errors.AsType[*smtp.SendError](err); ok {
		return alike(sent.Results)
	}
	if strings.HasPrefix(err.Error(), "unknown ") || strings.Contains(err.Error(), " arg(s)") {
		return exitUsage // cobra's, which have no type
	}
	return exitSoftware
}

// alike is the code that all of a message's recipients share; that of what is
// refused for good where they do not.
func alike(results []smtp.Result) int {
	code := exitUnavailable
	for i, r := range results {
		one := exitCode(r.Err)
		if i > 0 && one != code {
			return exitUnavailable
		}
		code = one
	}
	return code
}

// replyCode maps a refusal by its enhanced code, and by its class where that
// says nothing (RFC 3463, 3: X.1.1 and X.1.2 are addresses, X.7 is policy). What may
// pass is 75 whatever it is about: greylisting is a 4.7.1, and a pipe that ended in
// 77 for it would have the message returned.
func replyCode(e *smtp.Error) int {
	_, detail, _ := strings.Cut(string(e.Enhanced), ".")
	switch {
	case errors.Is(e, smtp.ErrTemporary):
		return exitTempFail
	case detail == "1.1":
		return exitNoUser
	case detail == "1.2":
		return exitNoHost
	case strings.HasPrefix(detail, "7."):
		return exitNoPerm
	}
	return exitUnavailable
}

// isFile reports whether a file is not there or may not be read.
func isFile(err error) bool {
	e, ok := errors.AsType[*fs.PathError](err)
	return ok && (errors.Is(e, fs.ErrNotExist) || errors.Is(e, fs.ErrPermission))
}

// isNetwork reports whether the network failed, which may pass.
func isNetwork(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// complain tells an error in one line, so that a log keeps it together. What a
// server wrote may be in it: its line ends are taken out.
func complain(w io.Writer, err error) {
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
	fmt.Fprintln(w, "postrider:", strings.TrimPrefix(text, "postrider: "))
}
