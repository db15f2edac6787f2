// Postrider sends and receives mail: one program from a developer's laptop to a
// cluster of relays. Its commands are listed by postrider --help.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // invitations name zones; a container may have none

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The command line, made of cobra's parts: a function builds each command and
// root puts them together, so that nothing is shared between two runs of it.

func main() {
	// The first signal asks for an orderly end, the second one ends at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	args := os.Args[1:]
	if calledSendmail(os.Args[0]) {
		args = append([]string{"sendmail"}, args...)
	}
	os.Exit(run(ctx, args, streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are what a command reads from and writes to: results go to out, what
// is about them to err. Tests put their own in.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run carries out one command line and returns its exit code. It may run several
// times in one process.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err = placed(cmd.Flags(), err); err != nil {
		complain(s.err, err)
	}
	return exitCode(err)
}

// newRoot builds the whole program.
func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "postrider COMMAND",
		Short: "Sends and receives mail",
		Long: `Postrider sends and receives mail.

postrider serve starts a mail server with a web inbox on this machine.`,
		// cobra's own says nothing of where to look.
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; postrider --help lists the commands", args[0])
			}
			return nil
		},
		SilenceErrors:     true, // run tells them, in one line
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		// Without a command there is nothing to do, and that is a usage error.
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("say what to do: postrider COMMAND; postrider --help lists the commands")
		},
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", plainly(err), cmd.CommandPath())
	})
	root.AddCommand(newServe(s), newPasswd(s), newSend(s), newSendmail(s), newVerify(s), newExpand(s), newNoop(s),
		newCheck(s), newShow(s), newExport(s), newImport(s), newConform(s), newSink(s), newLoad(s), newVersion(s))
	return root
}

// plainly says of a flag's value what it should be, and not in which function of Go it was
// found to be none. Other errors are as they were.
func plainly(err error) error {
	wrong, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	f := wrong.GetFlag()
	want := map[string]string{
		"bool": "it is true or false", "int": "it is a number", "int64": "it is a number", "float64": "it is a number",
		"duration": "give a time such as 30s or 5m", "stringSlice": "a quote in it has no end, or is within a word",
	}[f.Value.Type()]
	return flagf(exitUsage, f.Name, " %q: %s", wrong.GetValue(), want)
}
