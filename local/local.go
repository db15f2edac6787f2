// Package local hands messages to this machine: to the sendmail program or another command, into a maildir, an mbox, or
// a directory of .eml files.
//
// Each is a [smtp.Sender], and may be used by many at once. A message is handed over as a whole or not at all: a program
// is killed before it could take half a message for all of it, a file is complete before it has its name. Cancelling
// returns at once; what was begun is undone.
//
// The message is for all recipients of its envelope at once, who share one fate. Files are final delivery (RFC 5321,
// 4.4): Return-Path tells the envelope's sender, Delivered-To its recipients.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/internal/archive"
	"github.com/postrider/postrider/smtp"
)

// What all of them share: one fate for everybody, a moment after which there is no way back, and names for files.

// A failure is what went wrong here, with the class that decides about trying again. Its text is for this side alone: a
// smtp.Server tells its peer nothing of it but the reply, if there is one.
type failure struct {
	class error // smtp.ErrTemporary, ErrPermanent or ErrUnknown
	text  string
	err   error // nil: none
}

func (f *failure) Error() string {
	if _, isReply := f.err.(*smtp.Error); f.err == nil || isReply {
		return "local: " + f.text
	}
	return "local: " + f.text + ": " + strings.TrimPrefix(f.err.Error(), "local: ")
}

func (f *failure) Is(target error) bool { return target == f.class }
func (f *failure) Unwrap() error        { return f.err }

// temporary wraps what may pass: a full disk, a lock, a program that is being replaced.
func temporary(text string, err error) error { return &failure{smtp.ErrTemporary, text, err} }

// A commit asks whether the message may be handed over now. If it says no the Send was cancelled and has returned.
// From a yes on the message is theirs, and Send waits for the outcome.
type commit func() bool

// errCancelled is for whoever still works when Send has returned; nobody sees it.
var errCancelled = errors.New("cancelled")

// send is the Send of all of them: deliver writes msg, asks commit and hands it over under an id. It goes on in the
// background, to clean up, when ctx ends before the commit.
func send(ctx context.Context, env *smtp.Envelope, msg io.WriterTo, host string, deliver func(context.Context, io.WriterTo, commit) (id string, err error)) ([]smtp.Result, error) {
	if len(env.To) == 0 {
		return nil, &failure{smtp.ErrPermanent, "an envelope without recipients", nil}
	}
	if err := ctx.Err(); err != nil {
		return fates(env, host, "", temporary("not begun", err))
	}
	type end struct {
		id  string
		err error
	}
	var taken atomic.Bool // by the commit or by the cancelling, whichever comes first
	ended := make(chan end, 1)
	go func() {
		// Frozen, and with the whole of it at hand: what comes slowly must not hold a lock.
		prepared, err := smtp.Prepare(msg)
		if err != nil {
			ended <- end{"", err}
			return
		}
		if spool, ok := prepared.(io.Closer); ok && prepared != msg {
			defer spool.Close()
		}
		id, err := deliver(ctx, prepared, func() bool { return taken.CompareAndSwap(false, true) })
		ended <- end{id, err}
	}()
	select {
	case e := <-ended:
		return fates(env, host, e.id, e.err)
	case <-ctx.Done():
		if taken.CompareAndSwap(false, true) {
			return fates(env, host, "", temporary("cancelled", ctx.Err()))
		}
		e := <-ended
		return fates(env, host, e.id, e.err)
	}
}

// fates gives everybody the same one.
func fates(env *smtp.Envelope, host, id string, err error) ([]smtp.Result, error) {
	results := make([]smtp.Result, len(env.To))
	for i, to := range env.To {
		results[i] = smtp.Result{Rcpt: to.Address, Host: host, ID: id, Err: err}
	}
	if err != nil {
		return results, &smtp.SendError{Results: results}
	}
	return results, nil
}

// cancelled is a writer that ends with its context, so that a message that comes slowly does not go on for nobody.
type cancelled struct {
	ctx context.Context
	w   io.Writer
}

func (c cancelled) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// trace returns what final delivery puts before a message (RFC 5321, 4.4). Line ends are LF, as those of the files are.
func trace(env *smtp.Envelope) string {
	var b strings.Builder
	b.WriteString("Return-Path: <" + archive.OneLine(env.From) + ">\n")
	for _, to := range env.To {
		b.WriteString("Delivered-To: " + archive.OneLine(to.Address) + "\n")
	}
	return b.String()
}

// uniqueName makes a file's name as maildirs have it: the time, then what makes it the only one of that time, then the
// host (https://cr.yp.to/proto/maildir.html). The microseconds have all their digits, so that names sort as they were made.
func uniqueName() string {
	now := time.Now()
	host, _ := os.Hostname()
	host = strings.NewReplacer("/", "_", ":", "_", "\\", "_").Replace(host)
	if host == "" {
		host = "localhost"
	}
	return fmt.Sprintf("%d.M%06dP%dR%s.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), rand.Text()[:10], host)
}

// writeFile writes a file that is complete and on the disk, or not there. The commit comes before the name that others
// see, so that a Send that was cancelled leaves nothing.
func writeFile(temp, final string, may commit, write func(io.Writer) error) error {
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && !may() {
		err = errCancelled
	}
	if err == nil {
		// From here the message is theirs.
		err = os.Rename(temp, final)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return nil
}
