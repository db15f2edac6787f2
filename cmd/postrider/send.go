package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postrider/postrider/internal/mailjson"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// send: one message, made of flags or read from a file, to one server. It is the
// library's client with flags: what can be known to be wrong without a connection
// is said before there is one, and nobody has to guess from the output or the exit
// code whether it was delivered. Nothing is kept; what failed is sent again by
// whoever called.

// sendOptions are the flags of send; flags says what each means.
type sendOptions struct {
	server      []string
	from        string
	to, cc, bcc []string
	replyTo     []string
	subject     string
	text, html  string
	attach      []string
	embed       []string
	header      []string
	eml         string
	connect     connectOptions
	dryRun      bool
	json        bool
}

// flags defines the flags in the order in which the help shows them.
func (o *sendOptions) flags(f *pflag.FlagSet) {
	// Where to, who, what, how: the order of the question that a mail answers.
	f.SortFlags = false
	f.StringArrayVar(&o.server, "server", nil, "`URL` of the server, or HOST[:PORT]; one more is for those whom the one before did not take for now")
	f.StringVar(&o.from, "from", "", "`ADDRESS` of the author, with or without a name")
	f.StringArrayVar(&o.to, "to", nil, "`ADDRESSES` of recipients: a list with commas; may be repeated")
	f.StringArrayVar(&o.cc, "cc", nil, "`ADDRESSES` that get a copy")
	f.StringArrayVar(&o.bcc, "bcc", nil, "`ADDRESSES` that get a copy without the others knowing")
	f.StringArrayVar(&o.replyTo, "reply-to", nil, "`ADDRESSES` that answers shall go to")
	f.StringVar(&o.subject, "subject", "", "`SUBJECT` of the message")
	f.StringVar(&o.text, "text", "", "the text: as it is, `@FILE`, or - for standard input")
	f.StringVar(&o.html, "html", "", "the text as HTML: as it is, `@FILE`, whose pictures below its folder go along, or - for standard input")
	f.StringArrayVar(&o.attach, "attach", nil, "`FILE` to attach; may be repeated")
	f.StringArrayVar(&o.embed, "embed", nil, "`FILE` that the HTML shows as cid:NAME, NAME being the file's; may be repeated")
	f.StringArrayVar(&o.header, "header", nil, "further `\"NAME: VALUE\"` for the header; may be repeated")
	f.StringVar(&o.eml, "eml", "", "send a message that is complete: a `FILE`, or - for standard input")
	o.connect.flags(f)
	f.BoolVar(&o.dryRun, "dry-run", false, "print the message, send nothing")
	f.BoolVar(&o.json, "json", false, "print what became of each recipient as JSON")
}

// newSend builds the command that sends a message.
func newSend(s streams) *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Compose a message and send it",
		Long: `Composes one message and sends it to a server, or sends one that is complete (--eml).

The server is a URL, as smtps://smtp.example.com, or HOST[:PORT]; then it is port
25, or 587 with --user, and 465 is TLS from the beginning. TLS is required, except
to this machine. maildir:/path, mbox:/path, eml:/path and sendmail: are this
machine's own. The recipients are those of --to, --cc and --bcc; with --eml and
none of these, those of the message. Each flag can also be given in the environment:
--server as POSTRIDER_SERVER. A password comes from a file or from POSTRIDER_PASSWORD.

It prints what became of each recipient. The exit code is 0 if all were accepted,
75 if trying again may help, 69 if not, or if some have it and others may still get
it; 76 if the message may have been delivered but its reply was lost; see also sysexits(3).`,
		Example: `  postrider send --server 127.0.0.1:2525 --from ann@example.com --to bob@example.net --subject Hello --text "Hello, Bob."
  postrider send --server smtps://smtp.example.com --user ann --password-file ~/.password \
    --from "Ann <ann@example.com>" --to bob@example.net,eve@example.net --subject Minutes --text @minutes.txt --attach minutes.pdf
  postrider send --server mx.example.net --from ann@example.com --to bob@example.net --eml message.eml --trace`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return send(cmd.Context(), o, s)
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// send carries out one run of the command.
func send(ctx context.Context, o sendOptions, s streams) error {
	// All that can be wrong with the flags comes before the first file is opened.
	if err := o.mixed(); err != nil {
		return err
	}
	// Open until the message has been sent: of a file only the header is read beforehand, the rest while it goes out.
	if o.eml != "" && o.eml != "-" {
		f, err := os.Open(o.eml)
		if err != nil {
			return flagf(exitNoInput, "eml", ": %w", err)
		}
		defer f.Close()
		s.in = f
	}
	// Made and validated here, whoever it is for: an attachment that is not there is told without a server.
	m, err := o.message(s.in)
	if err != nil {
		return err
	}
	// No server is needed to look at a message.
	if o.dryRun {
		return o.show(m, s)
	}
	if len(o.server) == 0 {
		return usagef("say where to send to: --server HOST[:PORT], or a URL as smtps://smtp.example.com")
	}
	sender, err := o.connect.senders(o.server, s)
	if err != nil {
		return err
	}
	defer sender.Close()
	// A bar for what takes long, in a terminal alone; done takes it away again, whatever has happened.
	body, done := withProgress(m.body, s)
	results, err := sender.Send(ctx, m.envelope, body)
	done(err)
	// What could not be printed matters only if all else went well: the fate of
	// the message is worth more than a closed pipe.
	if printErr := o.print(s, results, err); printErr != nil && err == nil {
		return exitf(exitIO, "%w", printErr)
	}
	return o.connect.explain(err)
}

// show prints what would be sent: the message on standard output, and on standard
// error its envelope, which no message tells.
func (o *sendOptions) show(m outgoing, s streams) error {
	// Bcc is in the envelope and nowhere in the message: here is where one sees that it counts.
	to := make([]string, len(m.envelope.To))
	for i := range to {
		to[i] = m.envelope.To[i].Address
	}
	if o.json {
		return showJSON(m, to, s.out)
	}
	fmt.Fprintf(s.err, "from <%s> to <%s>; nothing is sent\n", printable(m.envelope.From), printable(strings.Join(to, ">, <")))
	if _, err := m.body.WriteTo(s.out); err != nil {
		return messageError(err)
	}
	return nil
}

// showJSON prints it in the form that all of the program's JSON of a message has.
func showJSON(m outgoing, to []string, w io.Writer) error {
	// Written and read again: what is shown is what others will make of it, not what was meant.
	var b bytes.Buffer
	if _, err := m.body.WriteTo(&b); err != nil {
		return messageError(err)
	}
	parsed, err := mail.Parse(&b)
	if err != nil {
		return messageError(err)
	}
	j, err := mailjson.New(parsed, mailjson.Options{})
	if err != nil {
		return messageError(err)
	}
	j.Envelope = &mailjson.Envelope{Sender: m.envelope.From, Recipients: to}
	return printJSON(w, j)
}

// A sentResult is the JSON of a recipient's fate.
type sentResult struct {
	Recipient string `json:"recipient"`
	// One word to decide by. Code, enhanced and text are the server's own, and empty where it said nothing.
	Outcome  string `json:"outcome"` // accepted, deferred, refused or unknown
	Host     string `json:"host"`
	ID       string `json:"id"` // what the server queued it as
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Text     string `json:"text"`
	Error    string `json:"error,omitempty"`
}

// outcome gives an error the word for it. Unknown comes first: it is neither of
// the others, and must not look as if trying again were safe.
func outcome(err error) string {
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, smtp.ErrUnknown):
		return "unknown"
	case errors.Is(err, smtp.ErrTemporary):
		return "deferred"
	}
	return "refused"
}

// print tells what became of each recipient. If all share one error it is told once, by the caller.
// What was accepted goes to standard output, the rest to standard error; with
// --json all of it is one array on standard output, empty if nothing was tried.
func (o *sendOptions) print(s streams, results []smtp.Result, err error) error {
	if o.json {
		out := make([]sentResult, 0, len(results))
		for _, r := range results {
			one := sentResult{Recipient: r.Rcpt, Outcome: outcome(r.Err), Host: r.Host, ID: r.ID, Code: r.Reply.Code, Enhanced: string(r.Reply.Enhanced), Text: r.Reply.Text}
			if r.Err != nil {
				one.Error = r.Err.Error()
			}
			out = append(out, one)
		}
		return printJSON(s.out, out)
	}
	// An error that all share would stand there as often as there are recipients.
	sent, _ := errors.AsType[*smtp.SendError](err)
	shared := sent != nil && sent.Unwrap() != nil
	for _, r := range results {
		why := r.Reply.String()
		switch {
		case r.Err == nil:
			if r.Reply.Code == 0 {
				why = r.Host // no server's: a file or a program took it
			}
			if _, err := fmt.Fprintf(s.out, "%s  accepted  %s\n", printable(r.Rcpt), printable(why)); err != nil {
				return err
			}
			continue
		case r.Reply.Code == 0 && shared:
			continue
		case r.Reply.Code == 0:
			why = strings.TrimPrefix(r.Err.Error(), "smtp: ")
		}
		fmt.Fprintf(s.err, "%s  %s  %s\n", printable(r.Rcpt), outcome(r.Err), printable(why))
	}
	return nil
}

// printJSON prints what people may read too.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
