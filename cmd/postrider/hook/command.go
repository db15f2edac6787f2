package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Commands. They get what strangers wrote on standard input and in variables, where it is no one's code: never as
// arguments, which some programs read as options, and never through a shell.

// waitDelay is how long output may stay open after the command itself has ended: a child in the background may have it.
const waitDelay = time.Second

// run runs the command and reads its exit code.
func (h *Hook) run(ctx context.Context, q Question, body []byte) error {
	var stdout, stderr bounded
	cmd := exec.CommandContext(ctx, h.command[0], h.command[1:]...)
	cmd.Env = append(surroundings(), q.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(body), &stdout, &stderr
	if h.input == raw {
		cmd.Stdin = q.Message
	}
	cmd.WaitDelay = waitDelay
	// What it has started ends with it when its time is up: a shell's child would go on.
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	err := cmd.Run()
	// Standard error is for whoever runs the server, and never goes to the client.
	if text := stderr.String(); text != "" {
		h.log.Warn("a command complains", "hook", string(h.kind), "command", h.command[0], "stderr", text)
	}
	// The order counts: a command that was killed because its time was up has an exit code too, which
	// says nothing of its own.
	switch exit, exited := errors.AsType[*exec.ExitError](err); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", h.command[0], ctx.Err())
	case errors.Is(err, exec.ErrWaitDelay): // it has ended with 0 itself
		return nil
	case exited:
		return h.exit(exit, stdout.String())
	}
	return err
}

// refusals are the exit codes that say more about a no: those of sysexits, the other way round from how the program
// itself ends.
var refusals = map[int]smtp.Error{
	65: {Code: 554, Enhanced: "5.6.0"}, // bad input: the message is at fault
	67: {Code: 550, Enhanced: "5.1.1"}, // no such user
	68: {Code: 550, Enhanced: "5.1.2"}, // no such host
}

// exit reads an exit code other than 0: 1 and those of sysexits refuse, but for 75, which defers. Any other, as 127 of a
// shell that has not found a program, and a signal are faults.
func (h *Hook) exit(e *exec.ExitError, text string) error {
	code := e.ExitCode()
	if code == 75 {
		return h.deferral(text)
	}
	if code != 1 && (code < 64 || code > 78) {
		return fmt.Errorf("%s: %w", h.command[0], e)
	}
	if r, ok := refusals[code]; ok {
		return h.refusal(r.Code, r.Enhanced, text)
	}
	return h.refusal(550, "5.7.1", text)
}

// surroundings is the environment that a command gets besides the envelope. Settings of ours, secrets among them, are
// not its business, and would be taken for its own by a postrider that it runs.
func surroundings() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "POSTRIDER_") && !strings.HasPrefix(kv, "MAIL_") {
			env = append(env, kv)
		}
	}
	return env
}

// A bounded keeps the beginning of what is written to it, and takes the rest without keeping it.
type bounded struct{ kept bytes.Buffer }

var _ io.Writer = (*bounded)(nil)

func (b *bounded) Write(p []byte) (int, error) {
	b.kept.Write(p[:min(len(p), maxOutput-b.kept.Len())])
	return len(p), nil
}

func (b *bounded) String() string { return b.kept.String() }
