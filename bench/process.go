package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Processes: this program in a role, or a foreign one, with the CPU time that they use.

// process is a server that is being measured.
type process struct {
	cmd  *exec.Cmd
	addr string
}

// startRole starts this program in a role and waits for the address on which it listens.
func startRole(name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startTelling(exec.Command(self, append([]string{"role", name}, args...)...), "listens on ")
}

// startTelling starts cmd, which tells its address in a line that contains prefix, up to the next blank.
func startTelling(cmd *exec.Cmd, prefix string) (*process, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), prefix); ok {
			// What it says later must not fill the pipe and stop it.
			go func() {
				for lines.Scan() {
				}
			}()
			addr, _, _ := strings.Cut(rest, " ")
			return &process{cmd, addr}, nil
		}
	}
	cmd.Process.Kill()
	return nil, errors.Join(fmt.Errorf("%s ended without telling its address", cmd.Path), cmd.Wait())
}

// startAt starts cmd, which listens on addr, and waits until it does.
func startAt(cmd *exec.Cmd, addr string) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, addr}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return p, nil
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, fmt.Errorf("%s does not listen on %s: %w", cmd.Path, addr, err)
		}
	}
}

// stop ends the process: asked first, then killed.
func (p *process) stop() {
	p.cmd.Process.Signal(endSignal)
	timer := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	p.cmd.Wait()
}

// cpu returns the CPU time, user and system, that the process and all below it have used so far. It is read from /proc
// in steps of 10 ms; elsewhere than on Linux it is 0.
func (p *process) cpu() time.Duration {
	children := map[int][]int{}
	ticks := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// The second field is a name in brackets, which may itself have brackets and blanks. After it come the state,
		// the parent, and in the twelfth to fifteenth place the times: own, then those of children that have ended.
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if err != nil || len(fields) < 15 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
		for _, f := range fields[11:15] {
			n, _ := strconv.Atoi(f)
			ticks[pid] += n
		}
	}
	sum := 0
	for todo := []int{p.cmd.Process.Pid}; len(todo) > 0; todo = todo[1:] {
		sum += ticks[todo[0]]
		todo = append(todo, children[todo[0]]...)
	}
	return time.Duration(sum) * 10 * time.Millisecond
}

// program returns the path of a foreign program, which may lie in a folder that only root has in its PATH.
func program(name string) (string, bool) {
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found, true
		}
	}
	return "", false
}

// freeAddr returns an address on loopback on which nothing listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
