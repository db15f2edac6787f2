// Command bench measures postrider beside its peers on this machine and writes the tables to results.md.
//
//	go run . [-quick] [-only WORD] [-messages N] [-o FILE]
//
// Contenders take turns, each figure is the median of its runs, and each ratio stands beside its target. The exit code is
// 1 if a target is missed by more than a tenth. See docs/benchmarks.md for how to read the tables.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Every server and every client that is measured is a process of its own, so that its CPU time can be told from that of
// the rest: this program starts itself again with a role as its first argument. Rates are messages a second of wall
// time, with the load generator on the same processors; CPU time a message is the steadier figure.

// effort is how much is measured.
type effort struct {
	runs      int           // of each contender
	time      time.Duration // of each run
	messages  int           // that are searched
	dir       string        // for what the contenders keep
	postrider string        // our program
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "role" {
		if err := play(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", os.Args[2], err)
			os.Exit(1)
		}
		return
	}
	quick := flag.Bool("quick", false, "fewer and shorter runs, for a look while developing")
	only := flag.String("only", "", "measure only the tables whose title contains this")
	messages := flag.Int("messages", 0, "how many messages are searched; 100000 if not told, 10000 with -quick")
	out := flag.String("o", "", "also write the tables to this file")
	flag.Parse()
	ok, err := run(*quick, *only, *out, *messages)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// tables are measured in this order.
var tables = []struct {
	title   string
	measure func(effort) (table, error)
}{
	{"Servers, discarding", measureServers},
	{"Servers, smtp-source", measureSource},
	{"Servers, LuaSocket", measureNaive},
	{"Servers, memory", measureMemory},
	{"Servers, durable accept", measureDurable},
	{"Inboxes, taking in", measureIntake},
	{"Inboxes, searching", measureSearch},
	{"Inboxes, seen", measureSeen},
	{"Clients", measureClients},
	{"Cancelling", measureCancelling},
	{"Dots", measureDots},
	{"Composing", measureCompose},
	{"Parsing", measureParse},
	{"Parsing real mail", measureReal},
	{"Parsing what is hostile", measureHostile},
}

// run measures and reports whether all targets are met.
func run(quick bool, only, out string, messages int) (bool, error) {
	e := effort{runs: 5, time: 2 * time.Second, messages: 100_000}
	if quick {
		e = effort{runs: 3, time: 500 * time.Millisecond, messages: 10_000}
	}
	e.messages = cmp.Or(messages, e.messages)
	dir, err := os.MkdirTemp("", "postrider-bench-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	// Postfix changes its user and must be able to reach what is its own in there.
	if err := os.Chmod(dir, 0o755); err != nil {
		return false, err
	}
	e.dir = dir
	if e.postrider, err = build(dir); err != nil {
		return false, err
	}
	w := io.Writer(os.Stdout)
	if out != "" {
		f, err := os.Create(filepath.Clean(out))
		if err != nil {
			return false, err
		}
		defer f.Close()
		w = io.MultiWriter(os.Stdout, f)
	}
	heading(w, e)
	ok := true
	for _, t := range tables {
		if !strings.Contains(strings.ToLower(t.title), strings.ToLower(only)) {
			continue
		}
		result, err := t.measure(e)
		if err != nil {
			return false, fmt.Errorf("%s: %w", t.title, err)
		}
		result.write(w, t.title)
		ok = ok && result.met()
	}
	return ok, nil
}
