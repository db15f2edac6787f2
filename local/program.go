package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/postrider/postrider/internal/archive"
	"github.com/postrider/postrider/smtp"
)

// Programs that take a message on standard input. What they say and their exit status are the outcome; after they have
// been told that the message is complete and before they have ended, the outcome is unknown.

// A Command is a program that takes each message on its standard input, run without a shell. The environment tells it
// the envelope: MAIL_SENDER, and MAIL_RECIPIENTS with a line for each.
//
// Exit status 0 accepts; those of sysexits.h that may pass (71, 73 to 75, 78) are temporary, any other refuses; the first
// line of what the program prints is in the error. One that is ended by a signal when it had the message leaves an
// unknown fate. It may be used by many at once; each message has its own process.
type Command struct {
	Path string   // the program; looked for in PATH if there is no slash in it
	Args []string // its arguments, without its name
	Env  []string // the environment besides the envelope; this process's, without MAIL_* and POSTRIDER_*, if nil
	Dir  string   // where it runs; here if empty
}

// Send implements smtp.Sender. Cancelling kills the program.
func (c Command) Send(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
	return send(ctx, env, msg, c.Path, func(ctx context.Context, msg io.WriterTo, may commit) (string, error) {
		return "", c.run(ctx, c.Args, env, msg, may)
	})
}

// Close implements io.Closer. Nothing is held open.
func (Command) Close() error { return nil }

// A Sendmail is the sendmail program of this machine, or of another mail server that goes by that name. Recipients are
// given to it as arguments behind "--", so that none of them is taken for an option; the header is not asked. It may be
// used by many at once.
type Sendmail struct {
	Path string   // the program; the first one of SendmailPaths, then of PATH, if empty
	Args []string // further arguments, before those of the envelope
}

// SendmailPaths are the places where Sendmail looks for the program, in this order.
func SendmailPaths() []string {
	return []string{"/usr/sbin/sendmail", "/sbin/sendmail", "/usr/local/sbin/sendmail", "/usr/lib/sendmail"}
}

// Send implements smtp.Sender, as [Command] does. If there is no such program everybody is temporarily refused with
// [errors.ErrUnsupported] in the error.
func (s Sendmail) Send(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
	return send(ctx, env, msg, "sendmail", func(ctx context.Context, msg io.WriterTo, may commit) (string, error) {
		path, err := s.find()
		if err != nil {
			return "", err
		}
		return "", Command{Path: path}.run(ctx, s.arguments(env), env, lineFeeds{msg}, may)
	})
}

// Close implements io.Closer. Nothing is held open.
func (Sendmail) Close() error { return nil }

// find looks for the program.
func (s Sendmail) find() (string, error) {
	if s.Path != "" {
		return s.Path, nil
	}
	for _, path := range append(SendmailPaths(), "sendmail") {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", temporary("there is no sendmail in "+strings.Join(SendmailPaths(), ", ")+" or PATH", errors.ErrUnsupported)
}

// arguments tells the envelope. -i: a line with a dot is a line. What is asked for reports is told only if something is,
// since small programs of that name do not know it (RFC 3461, 4).
func (s Sendmail) arguments(env *smtp.Envelope) []string {
	args := append(append([]string{}, s.Args...), "-i", "-f", env.From)
	if env.From == "" {
		args[len(args)-1] = "<>"
	}
	if env.Options.Return != "" {
		args = append(args, "-R", strings.ToLower(string(env.Options.Return)))
	}
	if env.Options.EnvelopeID != "" {
		args = append(args, "-V", env.Options.EnvelopeID)
	}
	if len(env.To) > 0 && env.To[0].Options.Notify != 0 {
		args = append(args, "-N", notifyWords(env.To[0].Options.Notify))
	}
	args = append(args, "--")
	for _, to := range env.To {
		args = append(args, to.Address)
	}
	return args
}

// notifyWords writes NOTIFY as sendmail's -N has it.
func notifyWords(n smtp.Notify) string {
	var words []string
	for _, w := range []struct {
		bit  smtp.Notify
		word string
	}{{smtp.NotifyNever, "never"}, {smtp.NotifySuccess, "success"}, {smtp.NotifyFailure, "failure"}, {smtp.NotifyDelay, "delay"}} {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// lineFeeds is a message with the line ends of this system: QUIRK: sendmail and its kin add a CR of their own.
type lineFeeds struct{ msg io.WriterTo }

func (m lineFeeds) WriteTo(w io.Writer) (int64, error) {
	lines := &lineWriter{w: w, body: true} // every field as it is
	n, err := m.msg.WriteTo(lines)
	if err == nil {
		err = lines.Close()
	}
	return n, err
}

// outputTime is how long what a program has started may hold its output open when it has ended itself.
const outputTime = 100 * time.Millisecond

// run hands one message to a program.
func (c Command) run(ctx context.Context, args []string, env *smtp.Envelope, msg io.WriterTo, may commit) error {
	cmd := exec.CommandContext(ctx, c.Path, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.Dir, c.environment(env), outputTime
	said := &beginning{}
	cmd.Stdout, cmd.Stderr = said, said
	in, err := cmd.StdinPipe()
	if err != nil {
		return temporary(c.Path, err)
	}
	if err := cmd.Start(); err != nil {
		return temporary("starting the program", err)
	}
	_, err = msg.WriteTo(cancelled{ctx, in})
	// That the program reads no more is for it to decide: its exit status says why.
	brokenPipe := errors.Is(err, syscall.EPIPE)
	if err != nil && !brokenPipe || !may() {
		// Killed before it sees an end, so that it cannot take half a message for all of it.
		cmd.Process.Kill()
		cmd.Wait()
		return temporary("the message", errors.Join(err, ctx.Err()))
	}
	// From here the message is theirs, unless it says otherwise.
	in.Close()
	return c.outcome(cmd.Wait(), said.String())
}

// outcome is what an exit status means.
func (c Command) outcome(err error, said string) error {
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case exited && exit.ExitCode() >= 0:
		return refusal(c.Path, exit.ExitCode(), said)
	}
	return &failure{smtp.ErrUnknown, c.Path + " had the message when it was ended", err}
}

// refusals are those exit statuses of sysexits.h that mean something of their own, as replies: the peer of a server hears
// these, and not what the program said.
var refusals = map[int]smtp.Error{
	65: {Code: 554, Enhanced: "5.6.0", Text: "the message is malformed"},
	67: {Code: 550, Enhanced: "5.1.1", Text: "no such user"},
	68: {Code: 550, Enhanced: "5.1.2", Text: "no such host"},
	71: {Code: 451, Enhanced: "4.3.0", Text: "temporary failure"},
	73: {Code: 451, Enhanced: "4.3.0", Text: "temporary failure"},
	74: {Code: 451, Enhanced: "4.3.0", Text: "temporary failure"},
	75: {Code: 451, Enhanced: "4.3.0", Text: "temporary failure"},
	77: {Code: 550, Enhanced: "5.7.1", Text: "not permitted"},
	78: {Code: 451, Enhanced: "4.3.5", Text: "temporary failure"},
}

// refusal makes an error of an exit status and of what the program said.
func refusal(path string, status int, said string) error {
	reply, known := refusals[status]
	if !known {
		reply = smtp.Error{Code: 554, Enhanced: "5.3.0", Text: "the message was refused"}
	}
	class := smtp.ErrPermanent
	if reply.Code/100 == 4 {
		class = smtp.ErrTemporary
	}
	text := fmt.Sprintf("%s: exit status %d", path, status)
	if said != "" {
		text += ": " + said
	}
	return &failure{class, text, &reply}
}

// environment tells the envelope in the way in which hooks get it. POSTRIDER_* holds this program's own settings, and
// perhaps a password.
func (c Command) environment(env *smtp.Envelope) []string {
	list := c.Env
	if list == nil {
		for _, kv := range os.Environ() {
			if !strings.HasPrefix(kv, "MAIL_") && !strings.HasPrefix(kv, "POSTRIDER_") {
				list = append(list, kv)
			}
		}
	}
	to := make([]string, len(env.To))
	for i := range to {
		to[i] = archive.OneLine(env.To[i].Address)
	}
	return append(list[:len(list):len(list)], "MAIL_SENDER="+archive.OneLine(env.From), "MAIL_RECIPIENTS="+strings.Join(to, "\n"))
}

// A beginning keeps the first line of what a program says, which is why it refuses.
type beginning struct{ b []byte }

func (k *beginning) Write(p []byte) (int, error) {
	k.b = append(k.b, p[:min(len(p), 1000-len(k.b))]...)
	return len(p), nil
}

func (k *beginning) String() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(k.b)), "\n")
	return archive.OneLine(strings.ToValidUTF8(line, "\uFFFD"))
}
