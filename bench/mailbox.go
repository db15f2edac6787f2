package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Inboxes for developers: what they take in, and how soon they show, list and find it. The peer is Mailpit, which keeps
// what it receives without waiting for the disk. Both get the same messages by SMTP and are asked by HTTP.

// mailbox is an inbox that runs.
type mailbox struct {
	*process
	web, dir     string
	list, search string // paths, and what comes before a query
}

// opener makes inboxes.
type opener struct {
	name string
	open func() (*mailbox, error)
}

// started is the opener as a server that is loaded.
func (o opener) started() starter {
	return starter{o.name, func() (*process, error) {
		m, err := o.open()
		if err != nil {
			return nil, err
		}
		return m.process, nil
	}}
}

// opening returns an opener of a program that is told its addresses and its directory.
func opening(e effort, name, list, search string, command func(smtp, web, dir string) *exec.Cmd) opener {
	return opener{name, func() (*mailbox, error) {
		dir, err := os.MkdirTemp(e.dir, "mailbox-")
		if err != nil {
			return nil, err
		}
		smtp, err := freeAddr()
		if err != nil {
			return nil, err
		}
		web, err := freeAddr()
		if err != nil {
			return nil, err
		}
		p, err := startAt(command(smtp, web, dir), smtp)
		if err != nil {
			return nil, err
		}
		return &mailbox{p, "http://" + web, dir, list, search}, nil
	}}
}

func ourMailbox(e effort) opener {
	return opening(e, "postrider serve", "/api/v1/messages?limit=50", "/api/v1/messages?limit=50&query=", func(smtp, web, dir string) *exec.Cmd {
		return exec.Command(e.postrider, "serve", "--smtp", smtp, "--web", web, "--data", dir)
	})
}

// mailpit returns the peer, or why it cannot be measured.
func mailpit(e effort) (opener, string) {
	peers := os.Getenv("POSTRIDER_PEERS_DIR")
	if peers == "" {
		peers = "/opt/postrider-peers"
	}
	path, ok := program(filepath.Join(peers, "mailpit", "mailpit"))
	if !ok {
		if path, ok = program("mailpit"); !ok {
			return opener{}, "Mailpit is not installed: run scripts/peers"
		}
	}
	return opening(e, "Mailpit", "/api/v1/messages?limit=50", "/api/v1/search?limit=50&query=", func(smtp, web, dir string) *exec.Cmd {
		return exec.Command(path, "--smtp", smtp, "--listen", web, "--database", filepath.Join(dir, "mailpit.db"), "--max", "0", "--quiet",
			"--disable-version-check", "--smtp-disable-rdns")
	}), ""
}

// fill sends n messages of the corpus over 16 sessions, and returns when the last one is found.
func (m *mailbox) fill(c *corpus, n int) error {
	t := &smtp.Transport{Addr: m.addr, Dialer: &smtp.Dialer{Hostname: "client.example.com"}, MaxConns: 16, Window: 1}
	defer t.Close()
	env := smtp.NewEnvelope("sender@example.com", "recipient@example.net")
	var next atomic.Int64
	var senders sync.WaitGroup
	failures := make(chan error, 16)
	for range 16 {
		senders.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if _, err := t.Send(context.Background(), env, text(c.message(int(i)))); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	senders.Wait()
	select {
	case err := <-failures:
		return err
	default:
	}
	// Messages are indexed in order: all are found once the last one is.
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		text, err := m.get(m.search + strconv.Itoa(lastOrder(c, n)))
		if err != nil {
			return err
		}
		var found struct{ Total int }
		if err := json.Unmarshal(text, &found); err != nil {
			return err
		}
		if found.Total > 0 && !bytes.Contains(text, []byte(`"messages":[]`)) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the last message was not found")
		}
	}
}

// lastOrder is the last of n messages that has an order.
func lastOrder(c *corpus, n int) int {
	for len(c.found) > 0 && n%4 == 0 {
		n--
	}
	return n
}

func (m *mailbox) get(path string) ([]byte, error) {
	resp, err := http.Get(m.web + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return text, err
}

// tag puts a tag on all that a query of ours finds.
func (m *mailbox) tag(query, name string) error {
	r, err := http.NewRequest("PATCH", m.web+"/api/v1/messages?query="+url.QueryEscape(query), strings.NewReader(`{"tag":["`+name+`"]}`))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("PATCH messages: %s", resp.Status)
	}
	return nil
}

// asked measures the 99th percentile of the time that a path takes, in milliseconds, and the CPU time.
func (m *mailbox) asked(name, path string, times int) contender {
	return contender{name, func() (figure, error) {
		var took []float64
		before := m.cpu()
		for range times {
			begin := time.Now()
			if _, err := m.get(path); err != nil {
				return figure{}, err
			}
			took = append(took, float64(time.Since(begin))/float64(time.Millisecond))
		}
		slices.Sort(took)
		return figure{took[len(took)*99/100], float64((m.cpu() - before).Microseconds()) / float64(times)}, nil
	}}
}

// memory is what the process has in memory, in megabytes; 0 where that cannot be told.
func (m *mailbox) memory() float64 {
	n, _ := m.octets("VmRSS")
	return float64(n) / 1e6
}

// disk is what all files in the directory are long, in megabytes.
func (m *mailbox) disk() float64 {
	sum := int64(0)
	_ = filepath.WalkDir(m.dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return float64(sum) / 1e6
}

// known is a contender whose figure is known.
func known(name string, rate float64) contender {
	return contender{name, func() (figure, error) { return figure{rate: rate}, nil }}
}

func measureIntake(e effort) (table, error) {
	ours := ourMailbox(e)
	peerOpener, why := mailpit(e)
	if why != "" {
		return table{{what: "1 KB", unit: "messages/s", note: why}}, nil
	}
	var t table
	for _, m := range []struct {
		what string
		size int
	}{{"1 KB, persistent", 1 << 10}, {"100 KB, persistent", 100 << 10}} {
		l := e.load("step", conns, m.size)
		l.time = max(e.time, time.Second)
		r, err := duel(e, m.what, "messages/s", ours.started().loaded(l), peer{peerOpener.started().loaded(l), 0, false})
		if err != nil {
			return nil, err
		}
		t = append(t, r)
	}
	return t, nil
}

// searches are queries of every kind; those that Mailpit's language has too are asked of both.
func searches(c *corpus) []struct {
	what, query string
	both        bool
} {
	return []struct {
		what, query string
		both        bool
	}{
		{"a word that all have", "hello", true},
		{"a common word", c.words[3], true},
		{"a rare word", c.words[20_000], true},
		{"a word that none has", "nothingatall", true},
		{"a common word and a rare one", c.words[3] + " " + c.words[20_000], true},
		{"the beginning of words", c.words[700][:3], true},
		{"a phrase", `"on its way"`, true},
		{"from:", "from:shop7", true},
		{"to: an address", "to:person7@example.net", true},
		{"an address, anywhere", "person7@example.net", true},
		{"from: a host, to: an address", "from:shop7.example.com to:person7@example.net", false},
		{"cc: that none has", "cc:person", false},
		{"subject: in Chinese", "subject:会議", true},
		{"excluded", "order -" + c.words[3], true},
		{"two common words, without the other", "hello -order", true},
		{"of two phrases that most have, one excluded", `"your order" -"on its way"`, true},
		{"ip: excluded", "-ip:127.0.0.1", false},
		{"OR", c.words[500] + " OR " + c.words[501], false},
		{"OR, of what few have", "nothingatall OR (is:read hello)", false},
		{"header:", "header:x-campaign=spring", false},
		{"after: and a word", "after:1h order", false},
		{"larger:", "larger:20k", true},
		{"has:attachment", "has:attachment", true},
		{"is:unread and a word", "is:unread order", true},
		{"larger: and a rare word", "larger:20k " + c.words[20_000], false},
		{"tag: that many have", "tag:many", false},
		{"tag: that all have, excluded", "-tag:every", false},
		{"tag: that all have, excluded, and a common word", "-tag:every hello", false},
		{"tag: that many have, and a rare word", "tag:many " + c.words[20_000], false},
		{"tag: that many have, without the words that these have", "tag:many -header:x-campaign", false},
		{"is:tagged, excluded, and a phrase", `-is:tagged "your order"`, false},
		{"tag: that all have, or a word, without an address", "(tag:every OR " + c.words[500] + ") -to:example.net", false},
		{"before: when there was nothing, or an address, and a rare word", "(before:2020-01-01 OR to:person7@example.net) " + c.words[20_000], false},
	}
}

func measureSearch(e effort) (table, error) {
	ours := ourMailbox(e)
	c, n := newCorpus(), e.messages
	began := time.Now()
	box, err := ours.open()
	if err != nil {
		return nil, err
	}
	defer box.stop()
	if err := box.fill(c, n); err != nil {
		return nil, err
	}
	rate := float64(n) / time.Since(began).Seconds()
	for tag, query := range map[string]string{"many": "header:x-campaign", "every": "larger:1"} {
		if err := box.tag(query, tag); err != nil {
			return nil, err
		}
	}
	var other *mailbox
	otherRate := 0.0
	if o, why := mailpit(e); why == "" {
		began = time.Now()
		if other, err = o.open(); err != nil {
			return nil, err
		}
		defer other.stop()
		if err := other.fill(c, n); err != nil {
			return nil, fmt.Errorf("Mailpit: %w", err)
		}
		otherRate = float64(n) / time.Since(began).Seconds()
	}
	what := fmt.Sprintf("%s messages: ", decimal(float64(n), 0))
	var bouts []bout
	compare := func(name string, f func(m *mailbox) float64, fewer bool) {
		if other != nil {
			bouts = append(bouts, bout{what + name, map[bool]string{true: "MB, fewer is better", false: "messages/s"}[fewer],
				known("postrider serve", f(box)), []peer{{known("Mailpit", f(other)), 0, false}}, fewer})
		}
	}
	compare("until all are found", func(m *mailbox) float64 { return map[bool]float64{true: rate, false: otherRate}[m == box] }, false)
	compare("in memory", (*mailbox).memory, true)
	compare("on disk", (*mailbox).disk, true)
	times := 100
	ask := func(name, path, otherPath string) {
		peers := []peer{limit(20)}
		if other != nil && otherPath != "" {
			peers = append(peers, peer{other.asked("Mailpit", otherPath, min(times, 10)), 0, false})
		}
		bouts = append(bouts, bout{what + name, "ms, 99th percentile", box.asked("postrider serve", path, times), peers, true})
	}
	ask("the first page", box.list, "/api/v1/messages?limit=50")
	for _, s := range searches(c) {
		otherPath := ""
		if s.both {
			otherPath = "/api/v1/search?limit=50&query=" + url.QueryEscape(s.query)
		}
		ask(s.what, box.search+url.QueryEscape(s.query), otherPath)
	}
	return duels(e, bouts...)
}

// measureSeen measures from the 250 of a message until a request that waits for it is answered, and until the page's
// stream of events tells of it, while 4 sessions send as fast as they can.
func measureSeen(e effort) (table, error) {
	ours := ourMailbox(e)
	seen := func(watch func(m *mailbox, subject string, seen chan<- error)) contender {
		return contender{"postrider serve", func() (figure, error) {
			m, err := ours.open()
			if err != nil {
				return figure{}, err
			}
			defer m.stop()
			l := e.load("step", 4, 1<<10)
			l.addr, l.time = m.addr, max(e.time, time.Second)
			ended := make(chan error, 1)
			go func() { _, _, err := l.run(); ended <- err }()
			c, err := (&smtp.Dialer{Hostname: "client.example.com"}).Dial(context.Background(), m.addr)
			if err != nil {
				return figure{}, err
			}
			defer c.Close()
			var took []float64
			for i := 0; ; i++ {
				select {
				case err := <-ended:
					if len(took) == 0 && err == nil {
						err = fmt.Errorf("nothing was seen")
					}
					slices.Sort(took)
					if err != nil {
						return figure{}, err
					}
					return figure{rate: took[len(took)*99/100]}, nil
				default:
				}
				subject := fmt.Sprintf("Seen%dsoon", i)
				answered := make(chan error, 1)
				go watch(m, subject, answered)
				time.Sleep(10 * time.Millisecond) // it listens by then
				env := smtp.NewEnvelope("sender@example.com", "recipient@example.net")
				if _, err := c.Send(context.Background(), env, text("Subject: "+subject+"\r\n\r\nHello.\r\n")); err != nil {
					return figure{}, err
				}
				begin := time.Now()
				if err := <-answered; err != nil {
					return figure{}, err
				}
				took = append(took, float64(time.Since(begin))/float64(time.Millisecond))
			}
		}}
	}
	return duels(e,
		bout{"a request that waits, under load", "ms after the 250, 99th percentile", seen(waitFor), []peer{limit(100)}, true},
		bout{"the stream of events, under load", "ms after the 250, 99th percentile", seen(listenFor), []peer{limit(100)}, true})
}

func waitFor(m *mailbox, subject string, seen chan<- error) {
	_, err := m.get("/api/v1/messages/wait?timeout=30s&query=subject:" + subject)
	seen <- err
}

// listenFor reads events until one has the subject.
func listenFor(m *mailbox, subject string, seen chan<- error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.web, "http://"))
	if err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
	}
	var text []byte
	for buf := make([]byte, 64<<10); err == nil && !bytes.Contains(text, []byte(subject)); {
		var n int
		n, err = conn.Read(buf)
		text = append(text[max(0, len(text)-100):], buf[:n]...)
	}
	seen <- err
}
