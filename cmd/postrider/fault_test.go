package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// fail has system calls of a running server fail as those of a broken disk do,
// until what it returns is stopped.
func (s *served) fail(calls string) *peers.Process {
	s.t.Helper()
	fault := peers.Start(s.t, peers.Command(s.t, peers.Strace, "-f", "-o", os.DevNull, "-e", "trace="+calls,
		"-e", "inject="+calls+":error=EIO", "-p", fmt.Sprint(s.PID())))
	fault.Line(peers.Find(s.t, peers.Strace) + ": Process ") // attached
	return fault
}

// A disk that fails costs the messages that meet it, and their senders are told so:
// those before and after are kept, by the process that saw it and by the next one.
func TestDiskFails(t *testing.T) {
	peers.Find(t, peers.Strace)
	peers.NeedRoot(t, "it traces a process that runs")
	for name, calls := range map[string]string{"sync": "fsync,fdatasync", "write": "pwrite64"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, dir)
			l := &ledger{acknowledged: map[string]string{}, unknown: map[string]string{}}
			next, large := 0, 0
			// One message of five is large and goes to a file. list is what they are entered in; nil if none may stay.
			send := func(n int, code string, list map[string]string) {
				t.Helper()
				c, err := dial(s.smtp)
				if err != nil {
					t.Fatal(err)
				}
				defer c.conn.Close()
				for range n {
					next++
					msg := fmt.Appendf(nil, "X-Number: %d\r\n\r\n", next)
					if next%5 == 3 {
						msg = append(msg, strings.Repeat(fmt.Sprintf("line of %d\r\n", next), 150_000)...)
						if code == "250" {
							large++
						}
					}
					if err := c.offer(msg); err != nil {
						t.Fatalf("message %d: %v", next, err)
					}
					if err := c.reply(code); err != nil {
						t.Errorf("message %d: %v", next, err)
					}
					if list != nil {
						list[fmt.Sprint(next)] = hash(msg)
					}
				}
			}
			send(5, "250", l.acknowledged)
			fault := s.fail(calls)
			send(10, "451", nil)
			fault.Stop()
			send(5, "250", l.acknowledged)
			l.compare(t, s)
			if files, err := os.ReadDir(filepath.Join(dir, "bodies")); err != nil || len(files) != large {
				t.Errorf("%d files are there (%v), want those of the %d large messages that are kept", len(files), err, large)
			}
			// Of the ten two were large: what fails of these is a file of their own.
			peers.Until(t, "the log tells of each refusal, and why, and of which file", func() bool {
				out := s.Output()
				return strings.Count(out, `msg="smtp: handler failed"`) == 10 &&
					strings.Count(out, `error="sqlite: `+filepath.Join(dir, "postrider.db")+": disk I/O error") == 8 && // the index has err=
					strings.Count(out, " "+filepath.Join(dir, "bodies")+string(filepath.Separator)) == 2 && strings.Count(out, "input/output error") == 2
			})
			// It has been tried again each second since; the log has a line of that.
			if n := strings.Count(s.Output(), "indexing failed"); n > 3 {
				t.Errorf("the log tells %d times that indexing failed:\n%s", n, s.Output())
			}

			// Killed while the disk fails: of what was refused, bytes may be there.
			s.fail(calls)
			send(5, "451", l.unknown)
			s.Kill()
			s = start(t, dir)
			send(5, "250", l.acknowledged)
			l.compare(t, s)
			s.Kill()
			s = start(t, dir)
			l.compare(t, s)
		})
	}
}
