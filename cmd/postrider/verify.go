package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/smtp"
)

// verify, expand and noop: questions to a server that send no mail (RFC 5321, 3.5
// and 4.1.1.9). Few servers answer the first two to strangers; that is told apart
// from a no.

// A query is one of these commands. They are one thing with three names: connect,
// ask about each argument, print the answers; a table says what differs.
type query struct {
	use, short, long, example string
	// How many arguments there may be, and what is said where that is wrong.
	args cobra.PositionalArgs
	ask  func(ctx context.Context, c *smtp.Client, arg string) (smtp.Reply, error)
	// They are made printable by whoever prints them: what a server said may hold anything.
	print func(a answer) []string // lines for people
}

// An answer is what a server said, and its JSON. The word in Answer is for scripts,
// which then need not know what a 252 is.
type answer struct {
	Server   string   `json:"server"`
	Query    string   `json:"query,omitempty"`
	Answer   string   `json:"answer"` // yes, forwarded, untold, no, later or refused
	Members  []string `json:"members,omitempty"`
	Code     int      `json:"code"`
	Enhanced string   `json:"enhanced"`
	Text     string   `json:"text"`
	Seconds  float64  `json:"seconds"`
}

func newVerify(s streams) *cobra.Command {
	return newQuery(s, query{
		use: "verify ADDRESS...", short: "Ask a server whether mailboxes exist (VRFY)",
		long: `Asks a server by VRFY about each address, or user's name. The answer is yes, forwarded
(251), untold (252: the server does not say, which is common), no, later or refused.

The exit code is 0 for yes and forwarded, 67 for no, 69 for untold and refused, 75 for
later; with several addresses it is that of the first that is not 0.`,
		example: "  postrider verify --server mail.example.com ann@example.com",
		args:    someArgs("address"),
		ask:     func(ctx context.Context, c *smtp.Client, arg string) (smtp.Reply, error) { return c.Verify(ctx, arg) },
		print: func(a answer) []string {
			return []string{fmt.Sprintf("%s  %s  %s", a.Query, a.Answer, smtp.Reply{Code: a.Code, Enhanced: smtp.EnhancedCode(a.Enhanced), Text: a.Text})}
		},
	})
}

func newExpand(s streams) *cobra.Command {
	return newQuery(s, query{
		use: "expand LIST...", short: "Ask a server who is on a mailing list (EXPN)",
		long: `Asks a server by EXPN about each list, and prints its members, one a line. Few servers
tell. The exit codes are those of postrider verify.`,
		example: "  postrider expand --server mail.example.com staff",
		args:    someArgs("list"),
		ask:     func(ctx context.Context, c *smtp.Client, arg string) (smtp.Reply, error) { return c.Expand(ctx, arg) },
		print:   func(a answer) []string { return a.Members },
	})
}

// someArgs asks for one argument or more, each of which names a what.
func someArgs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("say which %[1]s: %[2]s --server HOST %[3]s; see %[2]s --help", what, cmd.CommandPath(), strings.ToUpper(what))
		}
		return nil
	}
}

func newNoop(s streams) *cobra.Command {
	return newQuery(s, query{
		use: "noop", short: "See whether a server answers (NOOP)",
		long: `Connects, with TLS and authentication as asked for, says NOOP, and prints the reply and
how long it took: a probe that sends no mail. The exit code is 0 if all went well.`,
		example: "  postrider noop --server smtps://smtp.example.com --user ann --password-file ~/.password",
		args:    noArgs,
		ask:     func(ctx context.Context, c *smtp.Client, _ string) (smtp.Reply, error) { return c.Noop(ctx) },
		print: func(a answer) []string {
			took := time.Duration(a.Seconds * float64(time.Second)).Round(10 * time.Microsecond)
			return []string{fmt.Sprintf("%s  %d %s  %s", a.Server, a.Code, a.Text, took)}
		},
	})
}

// newQuery builds one of the commands.
func newQuery(s streams, q query) *cobra.Command {
	var connect connectOptions
	var server string
	var asJSON bool
	cmd := &cobra.Command{
		Use: q.use, Short: q.short, Long: q.long, Example: q.example,
		Args: q.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			// There is no default: a question to the wrong server has an answer too.
			if server == "" {
				return usagef("say whom to ask: --server HOST[:PORT], or a URL as smtps://smtp.example.com")
			}
			// Its Dialer is what is wanted; the pool is not, since the questions have one connection.
			t, err := connect.transport(server, s)
			if err != nil {
				return err
			}
			// noop is about nothing but the server.
			if len(args) == 0 {
				args = []string{""}
			}
			return connect.explain(q.run(cmd.Context(), t, args, asJSON, s))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&server, "server", "", "`URL` of the server, or HOST[:PORT]")
	// A server that tells strangers nothing may tell its users, so that these commands can authenticate.
	connect.flags(f)
	f.BoolVar(&asJSON, "json", false, "print the answers as JSON")
	return cmd
}

// run asks all over one connection. A server that hangs up has the last word.
func (q query) run(ctx context.Context, t *smtp.Transport, args []string, asJSON bool, s streams) error {
	// One after the other on one connection: asking over many looks like somebody who gathers addresses.
	c, err := t.Dialer.Dial(ctx, t.Addr)
	if err != nil {
		return err
	}
	// Quit closes it too, if it is reached.
	defer c.Close()
	var answers []answer
	var first error
	for _, arg := range args {
		begun := time.Now()
		// From the question to the whole of the answer, connecting not included: that was once for all.
		r, err := q.ask(ctx, c, arg)
		// Without a reply the connection is of no more use. A refusal is an answer.
		if err != nil && r.Code == 0 {
			return err
		}
		a := answer{Server: t.Addr, Query: arg, Answer: word(r.Code), Code: r.Code, Enhanced: string(r.Enhanced), Text: r.Text, Seconds: time.Since(begun).Seconds()}
		// RFC 5321, 3.5.1: a list has a line for each member, a mailbox one.
		if a.Answer == "yes" && arg != "" {
			a.Members = strings.Split(r.Text, "\n")
		}
		// A no is kept with the others: what was asked before and after it is told as well.
		answers = append(answers, a)
		// RFC 5321, 3.5.3: the server will take mail and try, which says neither yes
		// nor no. A script that took it for a yes would believe everything.
		if r.Code == 252 {
			err = exitf(exitUnavailable, "the server does not tell about %s", printable(arg))
		}
		if first == nil {
			first = err
		}
	}
	// What is known is known, however the goodbye goes.
	c.Quit(ctx)
	// One array, however many were asked: a script that asks for one today asks for two tomorrow.
	if asJSON {
		if err := printJSON(s.out, answers); err != nil {
			return exitf(exitIO, "%w", err)
		}
		return queryError(first)
	}
	for _, a := range answers {
		for _, line := range q.print(a) {
			if _, err := fmt.Fprintln(s.out, printable(line)); err != nil {
				return exitf(exitIO, "%w", err)
			}
		}
	}
	return queryError(first)
}

// queryError gives a no the code for it: RFC 5321, 3.5.3 has 550, 551 and 553 for
// what a mailbox is not, whatever the enhanced code.
func queryError(err error) error {
	if e, ok := errors.AsType[*smtp.Error](err); ok && word(e.Code) == "no" {
		return exitf(exitNoUser, "%w", err)
	}
	return err
}

// word is what a reply to VRFY or EXPN means (RFC 5321, 3.5.3).
func word(code int) string {
	switch {
	case code == 251:
		return "forwarded"
	case code == 252:
		return "untold"
	case code/100 == 2:
		return "yes"
	case code == 550, code == 551, code == 553:
		return "no"
	case code/100 == 4:
		return "later"
	}
	return "refused"
}
