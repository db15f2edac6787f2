package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postrider/postrider/conform"
	"github.com/postrider/postrider/smtp"
)

// conform: the suite of package conform against one server, a line a case as it
// is played. Another program's judgement of a run is its exit code.
//
// Nothing is judged here: which cases there are, which can be played, and what is right
// is all the package's. Here is how a server is reached and in which form the outcome is
// told: lines for people, JSON for programs, JUnit for build servers. A case that is
// skipped is always told with its reason, so that a run of few cases does not look like
// one of many.

// exitFailed is the exit code of a suite that found something, as of go test.
const exitFailed = 1

// conformOptions are the flags of conform; flags says what each means.
type conformOptions struct {
	connect connectOptions
	from    string
	rcpt    string
	relayTo string
	mailbox string
	run     []string
	timeout time.Duration
	list    bool
	json    bool
	junit   bool
}

// flags defines the flags in the order in which the help shows them.
func (o *conformOptions) flags(f *pflag.FlagSet) {
	// First what decides how much can be played: each of these opens cases that are skipped without.
	f.SortFlags = false
	f.StringVar(&o.rcpt, "rcpt", "", "`ADDRESS` that gets the messages; without it the cases that send some are skipped")
	f.StringVar(&o.relayTo, "relay-to", "", "`ADDRESS` at a domain that is not the server's, for which it must take no mail from here: see above")
	f.StringVar(&o.from, "from", "", "`ADDRESS` of the sender (postmaster@localhost)")
	f.StringVar(&o.mailbox, "mailbox", "", "`DIR` in which the recipient's messages arrive, a file each: what was kept is looked at")
	f.StringVar(&o.connect.tls, "tls", "auto", "`MODE` of TLS: auto, implicit, starttls or none")
	f.StringVar(&o.connect.caFile, "ca-file", "", "`FILE` with the certificates in PEM that vouch for the server's, in place of the system's")
	f.StringVar(&o.connect.user, "user", "", "`USER` to authenticate as, by PLAIN")
	f.StringVar(&o.connect.passwordFile, "password-file", "", "`FILE` with the user's password on its first line; else POSTRIDER_PASSWORD is taken")
	f.StringSliceVar(&o.run, "run", nil, "`NAMES` of the cases to play, as bdat-* or smuggle-lf-dot-lf")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long each reply may take")
	f.BoolVar(&o.list, "list", false, "print the cases, play none")
	f.BoolVar(&o.json, "json", false, "print each case as a line of JSON")
	f.BoolVar(&o.junit, "junit", false, "print the run as XML that build servers read")
}

// newConform builds the command that holds a server against the suite.
func newConform(s streams) *cobra.Command {
	var o conformOptions
	cmd := &cobra.Command{
		Use:   "conform HOST[:PORT]",
		Short: "Hold a server against the conformance suite",
		Long: `Plays dialogues with a server and judges its replies: what the RFCs ask of it, and
what has broken servers before. Each line is a case: how it went, its name, where
the rule comes from, and the rule. What the server does not announce is skipped.

Messages go to --rcpt and to nobody else. With --relay-to the server is asked in all
the ways known whether it passes mail on to strangers: the address is said in RCPT,
VRFY and EXPN, and no message follows. It is for a server to which this machine is
nobody; one that takes all mail, as "postrider serve" does by itself, or mail from
its own network, rightly fails.

Cases about wrong passwords, and about passwords in clear, are skipped where a random
one is taken, as by a server for tests, unless --user says that there are users. So are
those about odd local parts where the server takes any recipient at its domain.
The exit code is 0 if no case failed, 1 if some did.`,
		Example: `  postrider conform 127.0.0.1:2525 --rcpt bob@example.net
  postrider conform mx.example.com --run 'relay*' --rcpt test@example.com --relay-to eve@example.org
  postrider conform mx.example.com --run 'smuggle-*,chunk-*' --rcpt test@example.com --mailbox ~/Maildir
  postrider conform mx.example.com --user ann --password-file ~/.password --rcpt ann@example.com --junit > conform.xml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && !o.list {
				return usagef("say which server: postrider conform HOST[:PORT]; see postrider conform --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			// A build server has its settings in the environment, the password above all.
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			// What can be played does not depend on a server, and is told without one.
			if o.list {
				return listCases(s.out)
			}
			if o.json && o.junit {
				return usagef("--json and --junit both say in which form: give one of them")
			}
			return o.play(cmd, args[0], s)
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// listCases prints what there is to play.
func listCases(w io.Writer) error {
	for _, c := range conform.Cases() {
		if _, err := fmt.Fprintf(w, "%-28s %-20s %s\n", c.Name, c.Source, c.Title); err != nil {
			return exitf(exitIO, "%w", err)
		}
	}
	return nil
}

// config makes the suite's configuration of the flags.
func (o *conformOptions) config(addr string, s streams) (conform.Config, error) {
	var d smtp.Dialer
	// That mode takes what it gets; a suite has to know beforehand what it judges.
	if o.connect.tls == "opportunistic" {
		return conform.Config{}, flagf(exitUsage, "tls", " opportunistic: it is auto, implicit, starttls or none")
	}
	if err := o.connect.set(&d, s); err != nil {
		return conform.Config{}, err
	}
	// What the flags of all commands that connect say is read into a Dialer; the suite takes what it
	// needs of it, as it dials by itself.
	c := conform.Config{
		Addr: addr, TLS: d.TLS, TLSConfig: d.TLSConfig, User: o.connect.user,
		From: o.from, Rcpt: o.rcpt, RelayTo: o.relayTo, Mailbox: o.mailbox, Timeout: o.timeout, Only: o.run,
	}
	var err error
	if c.User != "" {
		c.Password, err = o.connect.password()
	}
	return c, err
}

// play runs the suite and prints it.
func (o *conformOptions) play(cmd *cobra.Command, addr string, s streams) error {
	c, err := o.config(addr, s)
	if err != nil {
		return err
	}
	begin := time.Now()
	outcomes := map[conform.Outcome]int{}
	var all []conform.Result
	for r, err := range conform.Run(cmd.Context(), c) {
		if err != nil {
			switch err = o.connect.explain(err); {
			case errors.Is(err, fs.ErrInvalid):
				return usagef("%w", err)
			case exitCode(err) == exitSoftware: // the server's doing, and not ours
				return exitf(exitProtocol, "%w", err)
			}
			return err
		}
		// Each case is told when it is over: a server that hangs in one shows which it is.
		outcomes[r.Outcome]++
		switch {
		// XML has its counts at the top, so that it waits for the end; a line is told as soon as it is known.
		case o.junit:
			all = append(all, r)
		case o.json:
			err = json.NewEncoder(s.out).Encode(asJSON(r))
		default:
			err = printCase(s.out, r)
		}
		if err != nil {
			return exitf(exitIO, "%w", err)
		}
	}
	// A pattern that is misspelt would otherwise pass, in a build above all.
	if len(outcomes) == 0 {
		return flagf(exitUsage, "run", ": no case has such a name; postrider conform --list prints them all")
	}
	if o.junit {
		if err := printJUnit(s.out, addr, all, outcomes, time.Since(begin)); err != nil {
			return exitf(exitIO, "%w", err)
		}
	}
	// Behind JSON or XML it would be none: it is for people then.
	summary := s.out
	if o.junit || o.json {
		summary = s.err
	}
	fmt.Fprintf(summary, "%d passed, %d failed, %d skipped in %v\n",
		outcomes[conform.Pass], outcomes[conform.Fail], outcomes[conform.Skip], time.Since(begin).Round(10*time.Millisecond))
	// Skipped is not failed: a server need not offer everything.
	if n := outcomes[conform.Fail]; n > 0 {
		return exitf(exitFailed, "%s failed", count(n, "case"))
	}
	return nil
}

// printCase prints one line, and one more where there is something to say. What a
// server wrote is in it.
func printCase(w io.Writer, r conform.Result) error {
	// Failures are in capitals: they are looked for among two hundred lines.
	_, err := fmt.Fprintf(w, "%-4s  %-28s %-20s %s\n", map[conform.Outcome]string{conform.Pass: "ok", conform.Fail: "FAIL", conform.Skip: "skip"}[r.Outcome],
		r.Name, r.Source, r.Title)
	if err == nil && r.Detail != "" {
		_, err = fmt.Fprintf(w, "      %s\n", printable(r.Detail))
	}
	return err
}

// caseJSON is a case as --json prints it.
type caseJSON struct {
	Name    string          `json:"name"`
	Source  string          `json:"source"`
	Title   string          `json:"title"`
	Outcome conform.Outcome `json:"outcome"`
	Detail  string          `json:"detail,omitempty"`
	Seconds float64         `json:"seconds"`
}

// asJSON is a case in the form that is promised: fields of the package may change.
func asJSON(r conform.Result) caseJSON {
	return caseJSON{r.Name, r.Source, r.Title, r.Outcome, r.Detail, r.Took.Seconds()}
}

// The elements of JUnit's report, of which there is no standard but what build
// servers read.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		Time    string      `xml:"time,attr"`
		Failure *junitWords `xml:"failure"`
		Skipped *junitWords `xml:"skipped"`
	}
	junitWords struct {
		Message string `xml:"message,attr"`
	}
)

// printJUnit prints the whole run as XML. A skipped case says why, as a reader of the report has nothing else.
func printJUnit(w io.Writer, addr string, all []conform.Result, count map[conform.Outcome]int, took time.Duration) error {
	suite := junitSuite{Name: "conform " + addr, Tests: len(all), Failures: count[conform.Fail], Skipped: count[conform.Skip], Time: seconds(took)}
	for _, r := range all {
		c := junitCase{Class: r.Source, Name: r.Name, Time: seconds(r.Took)}
		switch r.Outcome {
		case conform.Fail:
			c.Failure = &junitWords{r.Title + " " + r.Detail}
		case conform.Skip:
			c.Skipped = &junitWords{r.Detail}
		}
		suite.Cases = append(suite.Cases, c)
	}
	b, err := xml.MarshalIndent(suite, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, b)
	}
	return err
}

// seconds is a time as JUnit has it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
