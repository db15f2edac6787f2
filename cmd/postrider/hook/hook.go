// Package hook asks a command or a URL what to do with mail.
//
// A [Hook] is asked a [Question] and answers with an error as handlers of package smtp do: nil accepts, an *smtp.Error
// refuses or defers with what the client is told, and any other error is a fault of this side, which defers and goes to
// the log. A broken script must not bounce mail: only what clearly says no is a refusal.
package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp"
)

const (
	// Timeout is how long a hook may take unless Settings say otherwise: a client waits ten minutes for the reply to its message (RFC 5321,
	// 4.5.3.2.6), but a session that waits is one that nobody else has.
	Timeout = time.Minute
	// Limit is how many questions a hook is asked at a time unless Settings say otherwise; others wait, within the timeout.
	Limit = 16
	// maxOutput is how much of what a hook says is kept.
	maxOutput = 4 << 10
)

// ErrNoSecret says that a hook is a URL and Settings have no Secret.
var ErrNoSecret = errors.New("what a URL is asked is signed, and there is no secret to sign with")

// A Hook is one command or URL, made by Parse. It may be asked by many sessions at once.
type Hook struct {
	kind    Kind
	command []string // nil: a URL
	url     string
	input   input
	secret  []byte
	log     *slog.Logger

	timeout time.Duration
	pause   time.Duration // before the first retry of a URL; the second waits four times as long
	slots   chan struct{} // one is taken while a question is asked
}

// A Kind says what a hook is asked about.
type Kind string

// The kinds of hooks; a URL is told which in its question.
const (
	Mail Kind = "mail" // a message that has come whole
	Rcpt Kind = "rcpt" // a recipient
	Auth Kind = "auth" // a user and a password
)

// An input says what a hook gets to read of a message.
type input string

const (
	asJSON  input = ""
	content input = "content:" // JSON, with the content of attachments
	raw     input = "raw:"     // the message as it came
)

// A Settings is what Parse needs besides the text that the user wrote. Its zero value is for commands.
type Settings struct {
	Secret  []byte        // signs questions to URLs, which are refused without
	Log     *slog.Logger  // told what commands write to standard error; nil: slog.Default()
	Timeout time.Duration // how long a question may take, the wait for its turn and retries included; 0: Timeout
	Limit   int           // how many are asked at a time; 0: Limit
}

// Parse reads what the user wrote: the URL of a web service, or a command with its arguments. Words are parted by blanks,
// and quotes, single or double, keep blanks in a word. There is no shell: nothing else is special. Before either,
// "content:" asks for the content of attachments, and before a command "raw:" for the message in place of JSON.
func Parse(kind Kind, text string, s Settings) (*Hook, error) {
	h := &Hook{kind: kind, secret: s.Secret, log: s.Log, timeout: cmp.Or(s.Timeout, Timeout), pause: 250 * time.Millisecond,
		slots: make(chan struct{}, cmp.Or(s.Limit, Limit))}
	if h.log == nil {
		h.log = slog.Default()
	}
	for _, in := range []input{raw, content} {
		if rest, ok := strings.CutPrefix(text, string(in)); ok {
			text, h.input = rest, in
			break
		}
	}
	if h.input != asJSON && kind != Mail {
		return nil, fmt.Errorf("%s is for messages", h.input)
	}
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return h, h.parseURL(text)
	}
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, errors.New("there is no command")
	}
	// A program that is not there is found out now, not by the first message. One that goes away later defers.
	if words[0], err = exec.LookPath(words[0]); err != nil {
		return nil, err
	}
	h.command = words
	return h, nil
}

// parseURL takes a URL. Errors do not repeat it, as it may have a token in it.
func (h *Hook) parseURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return errors.New("the URL is none")
	case h.input == raw:
		return errors.New("raw: is for commands; a URL gets JSON")
	case len(h.secret) == 0:
		return ErrNoSecret
	}
	h.url = text
	return nil
}

// split parts a command into words.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, inWord := rune(0), false
	for _, r := range text {
		switch {
		case r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inWord = r, true // "" is a word as well
		case r == ' ' || r == '\t':
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c has no end", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// A Question is what a hook is asked.
type Question struct {
	Env     []string      // what the environment tells a command: NAME=value
	JSON    any           // what standard input, or the body of a POST, tells
	Message io.ReadSeeker // the message, for raw:
}

// Ask asks, and returns nil for yes.
func (h *Hook) Ask(ctx context.Context, q Question) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return fmt.Errorf("on-%s: %d questions are being asked already: %w", h.kind, cap(h.slots), ctx.Err())
	}
	body, err := json.Marshal(q.JSON)
	if err == nil {
		if h.command == nil {
			err = h.post(ctx, body)
		} else {
			err = h.run(ctx, q, body)
		}
	}
	if _, said := errors.AsType[*smtp.Error](err); err == nil || said {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("on-%s: no answer in %v: %w", h.kind, h.timeout, err)
	}
	return fmt.Errorf("on-%s: %w", h.kind, err)
}

// refusal is a no for good. text is what the hook says, which a client gets to read.
func (h *Hook) refusal(code int, enhanced smtp.EnhancedCode, text string) error {
	// Whoever is refused by its password is not told more (RFC 4954, 6).
	if h.kind == Auth {
		return said(535, "5.7.8", text, "the credentials are not accepted")
	}
	if h.kind == Rcpt {
		return said(code, enhanced, text, "the recipient is not accepted here")
	}
	return said(code, enhanced, text, "the message is not accepted here")
}

// deferral asks the client to come again.
func (h *Hook) deferral(text string) error {
	if h.kind == Auth {
		return said(454, "4.7.0", text, "temporary authentication failure")
	}
	return said(451, "4.3.0", text, "try again later")
}

// said makes a reply of the first line of text: printable ASCII alone, as not every client has SMTPUTF8, and no longer
// than fits a reply (RFC 5321, 4.5.3.1.5).
func said(code int, enhanced smtp.EnhancedCode, text, otherwise string) error {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	line = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		if r > '~' {
			return '?'
		}
		return r
	}, line)), " ")
	if line == "" {
		line = otherwise
	}
	return &smtp.Error{Code: code, Enhanced: enhanced, Text: line[:min(len(line), 400)]}
}
