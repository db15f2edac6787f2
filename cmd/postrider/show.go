package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/postrider/postrider/mail"
)

// show: messages as people read them, out of files, mboxes, maildirs and standard
// input. What a message holds goes to a terminal, so nothing in it may command one.

// showOptions are the flags of show; at most one of the first four is set.
type showOptions struct {
	json    bool
	headers bool
	source  bool
	part    string
	lengths bool // an mbox is read by its Content-Length fields
}

// newShow builds the command that prints messages.
func newShow(s streams) *cobra.Command {
	var o showOptions
	cmd := &cobra.Command{
		Use:   "show FILE...",
		Short: "Print messages as people read them",
		Long: `Prints messages: who they are from and for, their text, what is attached, and what
was odd in them. HTML is shown as text. Each FILE is a message, an mbox or a maildir;
- is standard input. Of the four kinds of mbox three are read alike; one that quotes no
lines "From ", and goes by Content-Length instead (mboxcl2), needs --cl2.

With --json each message is one JSON object. --part prints one part decoded, by its
path as the list of parts shows it; 2:1 is the first file that part 2 holds uuencoded,
in yEnc, or as Outlook's winmail.dat. A message inside a message is shown by
postrider show --part 2 FILE | postrider show -. On a terminal control characters
are left out; a pipe or a file gets what is there.

The exit code is 0, 65 if FILE is no mail or has no such part, 66 if it cannot be read.`,
		Example: `  postrider show message.eml
  postrider show --part 2 message.eml >minutes.pdf
  postrider show --json ~/Maildir | jq -r .subject`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to show: %s FILE, or - for standard input", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			// Counted by what was said, not by what it came to: --json=false beside --headers is a contradiction too.
			forms := 0
			for _, name := range []string{"json", "headers", "source", "part"} {
				if cmd.Flags().Changed(name) {
					forms++
				}
			}
			if forms > 1 {
				return usagef("--json, --headers, --source and --part exclude each other")
			}
			if cmd.Flags().Changed("part") && o.part == "" {
				return flagf(exitUsage, "part", " needs the path of a part, as 1 or 2.1")
			}
			return show(cmd.Context(), o, args, s)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.json, "json", false, "print each message as JSON, with its parts and defects")
	f.BoolVar(&o.headers, "headers", false, "print all fields, decoded")
	f.BoolVar(&o.source, "source", false, "print the message as it is")
	f.StringVar(&o.part, "part", "", "print the part at `PATH`, decoded: 1, 2.1")
	f.BoolVar(&o.lengths, "cl2", false, "read an mbox by its Content-Length fields")
	return cmd
}

// show prints the messages of all files. One that cannot be read does not keep the
// others from being shown; the first error decides the exit code.
func show(ctx context.Context, o showOptions, names []string, s streams) error {
	// One viewer for all files: between two messages it leaves an empty line, whichever file they are of.
	v := &viewer{options: o, out: bufio.NewWriter(s.out), terminal: isTerminal(s.out), several: len(names) > 1}
	var first error
	for _, name := range names {
		err := v.file(ctx, name, s.in)
		// After each file: what has been read is seen though the next one takes long, and a complaint stands where it
		// belongs.
		if flushErr := v.out.Flush(); flushErr != nil {
			return exitf(exitIO, "%w", flushErr)
		}
		switch {
		case err != nil && first == nil:
			first = err
		case err != nil:
			complain(s.err, err)
		}
	}
	return first
}

// isTerminal says whether what is written is read by eyes.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// file shows the messages of one file or directory.
func (v *viewer) file(ctx context.Context, name string, in io.Reader) error {
	// Messages are counted by file, as an mbox's reader counts them.
	v.name, v.count, v.many = name, 0, false
	if name == "-" {
		v.name = "standard input"
		return v.stream(ctx, in)
	}
	f, err := os.Open(name)
	if err != nil {
		return exitf(exitNoInput, "%w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return exitf(exitNoInput, "%w", err)
	}
	// A directory of mail is a maildir; what is none is told by what it lacks.
	if info.IsDir() {
		return v.maildir(ctx, name)
	}
	var head [64]byte
	n, _ := f.ReadAt(head[:], 0) // a pipe cannot; it is read as a stream
	if !info.Mode().IsRegular() || isMbox(head[:n]) {
		return v.stream(ctx, f)
	}
	// Of a file only what is shown is read.
	m, err := mail.ParseAt(f, info.Size())
	if err != nil {
		return exitf(exitIO, "%s: %w", name, err)
	}
	return v.message(m, func() io.Reader { return io.NewSectionReader(f, 0, info.Size()) })
}

// isMbox says that a file begins as an mbox does, and as no message can.
func isMbox(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(head, []byte("\ufeff")), []byte("From "))
}

// stream shows the messages of what can be read once: one, or those of an mbox.
func (v *viewer) stream(ctx context.Context, r io.Reader) error {
	// Standard input cannot be read twice, so what it is has to be told by a look ahead.
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return exitf(exitIO, "%s: %w", v.name, err)
	}
	if !isMbox(head) {
		return v.read(buffered)
	}
	// Even one message has its line then: how many follow is not known until the end.
	v.several, v.many = true, true
	// Nothing in a file tells the two ways apart, and a message can say any length.
	messages := mail.Mbox
	if v.options.lengths {
		messages = mail.MboxCL2
	}
	for m, err := range messages(buffered) {
		// An mbox may have gigabytes, and Ctrl-C between two of its messages loses nothing.
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return exitf(exitIO, "%s: %w", v.name, err)
		}
		if err := v.read(m); err != nil {
			return err
		}
	}
	return nil
}

// maildir shows the messages of a directory.
func (v *viewer) maildir(ctx context.Context, name string) error {
	v.several, v.many = true, true
	// What is delivered meanwhile is not shown: the list of names was read at the beginning.
	for f, err := range mail.Maildir(os.DirFS(name)) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return exitf(exitData, "%s: %w", filepath.Clean(name), err)
		}
		if err := v.read(f); err != nil {
			return err
		}
	}
	return nil
}

// read shows one message that can be read once.
func (v *viewer) read(r io.Reader) error {
	// Kept whole, as parts are read again when they are printed. One octet more than is allowed tells that it is too
	// long.
	var raw strings.Builder
	if _, err := io.Copy(&raw, io.LimitReader(r, maxShown+1)); err != nil {
		return exitf(exitIO, "%s: %w", v.name, err)
	}
	if raw.Len() > maxShown {
		return exitf(exitData, "%s: a message of more than %d MiB cannot be read from a stream: save it to a file", v.name, maxShown>>20)
	}
	// Parse would do; this way a message is read alike wherever it comes from.
	m, err := mail.ParseAt(strings.NewReader(raw.String()), int64(raw.Len()))
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	return v.message(m, func() io.Reader { return strings.NewReader(raw.String()) })
}

// maxShown is how large a message may be that is not in a file, in octets.
const maxShown = 256 << 20
