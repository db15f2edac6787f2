package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What sessions cost that do nothing, and some that do little: the memory of a server's process as the system counts it,
// what Go has taken and not given back included.

// idleSessions is how many there are, unless the limit on descriptors says less.
const idleSessions = 10_000

func measureMemory(e effort) (table, error) {
	n := idleSessions
	var limits syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limits); err == nil && limits.Cur < uint64(n+1000) {
		n = max(100, int(limits.Cur)-1000)
	}
	idle := func(s starter) contender {
		return contender{s.name, func() (figure, error) {
			c, err := crowded(s, n)
			if err != nil {
				return figure{}, err
			}
			defer c.leave()
			return figure{rate: float64(c.idle-c.empty) / 1e3 / float64(n)}, nil
		}}
	}
	slow := func(s starter) contender {
		return contender{s.name, func() (figure, error) {
			c, err := crowded(s, n)
			if err != nil {
				return figure{}, err
			}
			defer c.leave()
			if err := trickle(c.process.addr, 100, 50e6); err != nil {
				return figure{}, err
			}
			peak, err := c.process.octets("VmHWM")
			return figure{rate: float64(peak-c.idle) / 1e6}, err
		}}
	}
	t, err := duels(e,
		bout{fmt.Sprintf("%d sessions that wait", n), "KB each", idle(e.sink()), []peer{limit(20), {idle(goSMTPServer), 0, false}}, true},
		// What large buffers may take together is 64 MiB by default (smtp.Server.MaxMemory).
		bout{fmt.Sprintf("100 slow senders of 50 MB beside %d that wait", n), "MB more at the peak", slow(e.sink()), []peer{limit(64)}, true})
	return t, err
}

// crowd is a server with many sessions that wait.
type crowd struct {
	process     *process
	conns       []net.Conn
	empty, idle int // octets, before and with them
}

func crowded(s starter, n int) (c *crowd, err error) {
	c = new(crowd)
	if c.process, err = s.start(); err != nil {
		return nil, err
	}
	if c.empty, err = c.process.octets("VmRSS"); err == nil {
		for range n {
			var conn net.Conn
			if conn, err = waiting(c.process.addr); err != nil {
				break
			}
			c.conns = append(c.conns, conn)
		}
	}
	if err == nil {
		c.idle, err = c.process.octets("VmRSS")
	}
	if err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		conn.Close()
	}
	c.process.stop()
}

// waiting returns a session that has said EHLO.
func waiting(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(conn)
	_, err = in.ReadString('\n')
	if err == nil {
		_, err = conn.Write([]byte("EHLO client.example.com\r\n"))
	}
	for line := "250-"; err == nil && strings.HasPrefix(line, "250-"); {
		line, err = in.ReadString('\n')
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

// trickle has n senders within a message of so many octets at a time: each gets on a little, then the next. Half-way an
// honest client is served.
func trickle(addr string, n, octets int) error {
	conns := make([]net.Conn, n)
	for i := range conns {
		var err error
		if conns[i], err = sending(addr); err != nil {
			return err
		}
		defer conns[i].Close()
	}
	piece := bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 1<<10)
	rounds := octets / len(piece)
	for round := range rounds {
		for _, conn := range conns {
			if _, err := conn.Write(piece); err != nil {
				return err
			}
		}
		if round == rounds/2 {
			conn, err := sending(addr)
			if err == nil {
				err = sent(conn)
			}
			if err != nil {
				return fmt.Errorf("an honest client beside them: %w", err)
			}
		}
	}
	for _, conn := range conns {
		if err := sent(conn); err != nil {
			return err
		}
	}
	return nil
}

// sending returns a session that may say its message.
func sending(addr string) (net.Conn, error) {
	conn, err := waiting(addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	if _, err = conn.Write([]byte("MAIL FROM:<sender@example.com>\r\nRCPT TO:<recipient@example.net>\r\nDATA\r\n")); err != nil {
		conn.Close()
	}
	return conn, err
}

// sent ends a message and its session, and sees that it was accepted: the replies to MAIL, RCPT and DATA come before.
func sent(conn net.Conn) error {
	defer conn.Close()
	if _, err := conn.Write([]byte(".\r\nQUIT\r\n")); err != nil {
		return err
	}
	all, err := io.ReadAll(conn)
	if err == nil && strings.Count("\n"+string(all), "\n250 ") != 3 {
		err = fmt.Errorf("got %q, want the message accepted", all)
	}
	return err
}

// octets returns a figure of the process's memory, in octets, as /proc has it.
func (p *process) octets(name string) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc has no %s", name)
}
