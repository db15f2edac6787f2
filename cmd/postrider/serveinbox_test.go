package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
)

// What serve's flags say of the inbox is what it does: parting, keeping, faults,
// and sending on through a second server, which is one of ours.
func TestServeInbox(t *testing.T) {
	target := start(t, t.TempDir())
	s := start(t, t.TempDir(), "--relay", "smtp://"+target.smtp, "--inboxes", "domain", "--keep", "2,30d",
		"--fault", "RCPT full@* 452 4.2.2 mailbox full | RCPT slow@* delay=1ms")
	deliver := func(to, want string) {
		t.Helper()
		c, err := dial(s.smtp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		if err := c.say("250", "MAIL FROM:<ann@example.com>\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := c.say(want, "RCPT TO:<"+to+">\r\n"); err != nil {
			t.Error(err)
		}
		if want != "250" {
			return
		}
		if err := c.say("354", "DATA\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := c.say("250", "Subject: to "+to+"\r\n\r\nText\r\n.\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	deliver("full@example.net", "452")
	for _, to := range []string{"one@a.example", "two@a.example", "slow@b.example"} {
		deliver(to, "250")
	}
	c, ctx := client.Client{URL: s.web}, t.Context()
	if list, err := c.List(ctx, "inbox:b.example"); err != nil || len(list) != 1 || list[0].Subject != "to slow@b.example" {
		t.Fatalf("inbox:b.example has %+v, %v", list, err)
	}
	// The oldest goes as soon as the third is there, or a moment later.
	for gone := false; !gone; {
		list, err := c.List(ctx, "subject:to")
		if err != nil || len(list) < 2 {
			t.Fatalf("%d messages are kept, %v; want 2", len(list), err)
		}
		gone = len(list) == 2
	}
	m, err := c.Wait(ctx, "to:two")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.web+"/api/v1/messages/"+m.ID+"/release", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !json.Valid(text) {
		t.Errorf("release: %s %s", resp.Status, text)
	}
	there := client.Client{URL: target.web}
	if m, err := there.Wait(ctx, "to:two"); err != nil || m.Sender != "ann@example.com" {
		t.Errorf("what arrived there is %+v, %v", m, err)
	}
}

// Flags that are wrong are said in one line, and nothing is made.
func TestServeInboxWrong(t *testing.T) {
	for flag, values := range map[string][]string{
		"--keep": {"0", "-1", "x", "5parsecs", "0d", "1e99GB"}, "--inboxes": {"color"}, "--relay": {"ftp://x", "nonsense"},
		"--fault": {"", "RCPT", "FOO 450", "RCPT 450 | x"},
	} {
		for _, value := range values {
			cmd := command(t, "serve", "--smtp", "127.0.0.1:0", "--web", "off", "--data", "data", flag, value)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			if err == nil || cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(stderr.String(), flag) || strings.Count(stderr.String(), "\n") > 2 {
				t.Errorf("%s %q: %v, %q; want one line about it", flag, value, err, stderr.String())
			}
		}
	}
}

// Memory is given back when nothing is done any more, and not between two messages.
func TestFrugal(t *testing.T) {
	given := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	synctest.Test(t, func(t *testing.T) {
		done := frugal()
		before := given()
		for range 10 {
			done()
			time.Sleep(quietAfter - 1)
		}
		synctest.Wait()
		if n := given() - before; n != 0 {
			t.Errorf("memory was given back %d times between 10 messages, want none", n)
		}
		time.Sleep(2 * quietAfter)
		synctest.Wait()
		if n := given() - before; n != 1 {
			t.Errorf("memory was given back %d times after them, want once", n)
		}
	})
}

func TestKeepLimit(t *testing.T) {
	for text, want := range map[string]inbox.Retention{
		"100": {Messages: 100}, "1": {Messages: 1}, "30d": {Age: 720 * time.Hour}, "1d": {Age: 24 * time.Hour}, "99999d": {Age: 99999 * 24 * time.Hour}, "90m": {Age: 90 * time.Minute},
		"1ns": {Age: 1}, "1kB": {Bytes: 1e3}, "500MB": {Bytes: 500e6}, "1.5gb": {Bytes: 1.5e9}, "1TB": {Bytes: 1e12}, "1000000TB": {Bytes: 1e18},
	} {
		var got inbox.Retention
		if err := keepLimit(&got, text); err != nil || got != want {
			t.Errorf("keepLimit(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	// What limits nothing, or nobody can mean, is refused: 0 would be everything or nothing.
	for _, text := range []string{"", "0", "-1", "0d", "-1d", "100000d", "1.5d", "d", "0s", "-1h", "0GB", "-1GB", "GB", "1000001TB", "infGB", "NaNGB", "1PB", "5parsecs", "10 d"} {
		var got inbox.Retention
		if err := keepLimit(&got, text); err == nil || got != (inbox.Retention{}) {
			t.Errorf("keepLimit(%q) = %+v, %v; want an error", text, got, err)
		}
	}
}
