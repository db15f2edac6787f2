package peers

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for another program. It is long because it is spent only where something is broken: on
// a loaded machine a server may take seconds to start, and a test must not fail for that.
const patience = 2 * time.Minute

// grace is how long a server that was asked to end may take to do so.
const grace = 5 * time.Second

// Process is a server that runs until the test ends.
type Process struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed when the process has ended
	err  error         // what it ended with; valid once done is closed
}

// Start starts cmd in a process group of its own, with its output kept for a failing test's log. When the test ends
// the group is asked to end, and killed if it has not within grace.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = both(cmd.Stdout, &p.out), both(cmd.Stderr, &p.out)
	// A grandchild that keeps the output open must not keep Wait from returning.
	cmd.WaitDelay = grace
	if cmd.Cancel != nil {
		// The test's context ends before its cleanups run; a server is to be asked, not killed, then too.
		cmd.Cancel = func() error { return endGroup(cmd.Process) }
	}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() && p.out.String() != "" {
			t.Logf("output of %s:\n%s", cmd.Path, p.out.String())
		}
	})
	return p
}

// Stop asks the process group to end, waits until the process has, and returns what it ended with.
func (p *Process) Stop() error {
	_ = endGroup(p.cmd.Process)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	// Even if the process itself has gone, a child of its may have stayed.
	_ = killGroup(p.cmd.Process)
	<-p.done
	return p.err
}

// Kill ends the process group at once, as a crash would, and waits until the process has gone.
func (p *Process) Kill() {
	_ = killGroup(p.cmd.Process)
	<-p.done
}

// Wait waits until the process ends by itself and returns what it ended with.
func (p *Process) Wait() error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended after %v; its output:\n%s", p.cmd.Path, patience, p.out.String())
		return nil
	}
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output returns what the process has written so far, both streams together.
func (p *Process) Output() string { return p.out.String() }

// Accepts waits until something accepts connections at addr. The test fails if the process ends first, or if two minutes
// passes. A server sees the connection that finds out: it opens and closes without a word.
func (p *Process) Accepts(addr string) {
	p.t.Helper()
	p.until("accept connections at "+addr, func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// Line waits until the process has written a line that starts with prefix, blanks before it aside, and returns the
// rest of that line.
func (p *Process) Line(prefix string) string {
	p.t.Helper()
	var rest string
	p.until("write a line that starts with "+prefix, func() bool {
		// A last line without its end may still grow.
		text := p.out.String()
		text = text[:strings.LastIndexByte(text, '\n')+1]
		for line := range strings.Lines(text) {
			if r, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
				rest = strings.TrimSpace(r)
				return true
			}
		}
		return false
	})
	return rest
}

func (p *Process) until(what string, cond func() bool) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-p.done:
			if cond() {
				return
			}
			p.t.Fatalf("%s ended (%v) before it did %s; its output:\n%s", p.cmd.Path, p.err, what, p.out.String())
		case <-deadline:
			p.t.Fatalf("%s did not %s within %v; its output:\n%s", p.cmd.Path, what, patience, p.out.String())
		}
	}
}

// FreeAddr returns a loopback address on which nothing listens, for programs that cannot choose a port and tell it. Until
// the test has ended no other caller gets it, nor does the system hand it out: it lies below the ports that Linux (from
// 32768), macOS and Windows (from 49152) choose themselves.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(22_000))
		// The port of UDP is the sign, for this process and others, that the one of TCP is taken.
		sign, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			t.Cleanup(func() { sign.Close() })
			return addr
		}
		sign.Close()
	}
	t.Fatal("no free port among 1000")
	return ""
}

// output collects what a process writes: both its streams, from two goroutines.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// both returns a writer to kept and, if the caller has set one, to first.
func both(first, kept io.Writer) io.Writer {
	if first == nil {
		return kept
	}
	return io.MultiWriter(first, kept)
}

// Until waits until cond is true, for what no process tells: a file that appears. The test fails if two minutes passes.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain for: %s", patience, what)
		}
	}
}
