package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// The load generator is postrider load: raw sockets, fixed octets, replies that are counted and looked at only for their
// first digit. It is no client of the library's, so that it cannot favour our server, and it is cheap, so that the
// servers' own cost shows.

// load is one run of the generator.
type load struct {
	postrider string
	addr      string
	mode      string // of postrider load
	each      bool   // a session for each message
	conns     int
	size      int // octets of a message
	time      time.Duration
}

// load returns what loads a server for the time of a run.
func (e effort) load(mode string, conns, size int) load {
	return load{postrider: e.postrider, mode: mode, conns: conns, size: size, time: e.time}
}

// run loads the server and returns how many messages were accepted, and how many a second.
func (l load) run() (accepted int64, rate float64, err error) {
	// Up to 64 KiB of messages are under way at once where the mode streams them.
	cmd := exec.Command(l.postrider, "load", "--server", l.addr, "--mode", l.mode, "--sessions", strconv.Itoa(l.conns), "--size", strconv.Itoa(l.size),
		"--duration", l.time.String(), "--window", strconv.Itoa(max(1, (64<<10)/l.size)), "--reconnect="+strconv.FormatBool(l.each), "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("postrider load: %w\n%s", err, stderr.Bytes())
	}
	var result struct {
		Accepted int64   `json:"accepted"`
		Rate     float64 `json:"messages_per_second"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return 0, 0, fmt.Errorf("postrider load: %w", err)
	}
	if result.Accepted == 0 {
		return 0, 0, errors.New("no message was accepted")
	}
	return result.Accepted, result.Rate, nil
}

// message returns a message of about size octets, in lines of 78.
func message(size int) []byte {
	var b bytes.Buffer
	b.Grow(max(size, 512)) // growing to 10 MB bit by bit would cost a client as much as sending that several times
	b.WriteString("From: <sender@example.com>\r\nTo: <recipient@example.net>\r\nSubject: a message of a benchmark\r\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <bench@example.com>\r\n\r\n")
	line := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 3)[:76] + "\r\n"
	for b.Len()+len(line) <= size {
		b.WriteString(line)
	}
	return b.Bytes()
}
