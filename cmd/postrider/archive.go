package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
	"github.com/postrider/postrider/store/sqlite"
)

// export and import: an inbox's messages to where other programs read them, and
// back. Both speak the JSON interface: of a server that runs or, where none does,
// of an inbox that they open for themselves and reach through a pipe.

// archiveOptions say which inbox is meant.
type archiveOptions struct {
	data, url, query string
}

func (o *archiveOptions) command(use, short, long, example string, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, RunE: func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd.Flags()); err != nil {
			return err
		}
		return run(cmd, args)
	}}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.data, "data", "postrider-data", "`DIR` of an inbox that no server has open")
	f.StringVar(&o.url, "url", "", "`URL` of the web page of a server that runs, instead; http://USER:PASSWORD@HOST in POSTRIDER_URL for one with --web-auth")
	return cmd
}

func newExport(s streams) *cobra.Command {
	var o archiveOptions
	cmd := o.command("export TARGET", "Write messages of an inbox to files", `Writes the messages of an inbox to TARGET: eml:DIR is a file each, mbox:FILE one file,
maildir:DIR a maildir; it may be any URL that messages can be sent to. The oldest come
first. --query exports what it finds.

An .eml file has the octets of its message and nothing else. In a maildir and an mbox
they are behind the fields Return-Path, Delivered-To and X-Postrider-Kept, which hold the
envelope, when it arrived, whether it is unread, and its tags; import takes them off
again. An mbox cannot tell line ends apart, and ends each message with one: of messages
whose lines do not all end in CRLF it is no faithful copy. A maildir is.`,
		`  postrider export mbox:all.mbox
  postrider export --url http://127.0.0.1:8025 --query "from:shop after:7d" eml:shop`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("say where to write to: %s eml:DIR, mbox:FILE or maildir:DIR", cmd.CommandPath())
			}
			return o.export(cmd.Context(), args[0], s)
		})
	cmd.Flags().StringVar(&o.query, "query", "", "`QUERY` that finds what is exported; everything if it is not given")
	return cmd
}

func newImport(s streams) *cobra.Command {
	var o archiveOptions
	return o.command("import FILE...", "Put messages from files into an inbox", `Puts messages into an inbox: each FILE is a message, an mbox, a maildir or a directory
of .eml files; - is standard input. What export has put above a message is taken off,
and the message is what it was. Of others the envelope is taken from Return-Path and
Delivered-To, else from the message's own fields. When one arrived is the time of its
file in a maildir or of the line before it in an mbox, else what its topmost Received
field says, else its Date; before: and after: go by when it came into the inbox, now. One
that is marked as seen in a maildir has been read. Where the first line of a file ends in
LF alone, all line ends become CRLF.

A message that the inbox does not take is told, the others are imported, and the exit
code is 65.`,
		`  postrider import --data postrider-data old.mbox Maildir message.eml`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to import: %s FILE", cmd.CommandPath())
			}
			return o.imports(cmd.Context(), args, s)
		})
}

// open returns a client of the inbox, and what ends it.
func (o *archiveOptions) open(ctx context.Context, s streams) (*client.Client, func() error, error) {
	if o.url != "" {
		return &client.Client{URL: o.url}, func() error { return nil }, nil
	}
	// Warnings alone are of interest here.
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := openStore(ctx, o.data, s, log, func(string) {})
	if errors.Is(err, sqlite.ErrLocked) {
		return nil, nil, exitf(exitCode(err), "%s is open in another process: give the URL of its web page with --url", o.data)
	}
	if err != nil {
		return nil, nil, err
	}
	// The same inbox that serve has, without a port: whatever the one can do the other
	// does alike, and nobody else can reach it. What is put in are files of this
	// machine's, of any length.
	in := &inbox.Inbox{Store: db.Inbox(), MaxUpload: math.MaxInt64, Logger: log}
	running, stop := context.WithCancel(context.Background())
	indexed := make(chan error, 1)
	go func() { indexed <- in.Run(running) }()
	pipe := make(pipeListener)
	web := &http.Server{Handler: in}
	go web.Serve(pipe)
	c := &client.Client{URL: "http://localhost", HTTP: &http.Client{Transport: &http.Transport{DialContext: pipe.dial}}}
	return c, func() error {
		// In this order: what is being answered still reads, and Run still writes.
		web.Close()
		stop()
		return errors.Join(<-indexed, db.Close())
	}, nil
}

// A pipeListener accepts what dial has made: connections within this process.
type pipeListener chan net.Conn

// dial makes a connection and hands its other end to Accept.
func (l pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener; so do Close, after which nobody dials, and Addr.
func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l pipeListener) Close() error {
	close(l)
	return nil
}

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// A copier is a message that is read once.
type copier struct{ io.Reader }

func (r copier) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.Reader) }
