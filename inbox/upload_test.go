package inbox

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/archive"
	"github.com/postrider/postrider/mail"
)

func TestReceivedOf(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	const received, date = "Received: from a (b; c) by d; Mon, 2 Nov 2026 10:00:00 +0100\r\n", "Date: Sun, 1 Nov 2026 08:00:00 +0000\r\n"
	for _, c := range []struct {
		told, fields, want string // "" is now; "error"
	}{
		{"", received + date, ""},
		{"message", received + "Received: by e; Fri, 30 Oct 2026 00:00:00 +0000\r\n" + date, "2026-11-02T09:00:00Z"},
		{"message", "Received: by d\r\n" + date, "2026-11-01T08:00:00Z"},
		{"message", "Received: by d; Tue, 1 Dec 2026 00:00:00 +0000\r\n" + date, "2026-11-01T08:00:00Z"}, // from the future
		{"message", "Received: by d; Thu, 1 Jan 1901 00:00:00 +0000\r\nReceived: by e; Fri, 30 Oct 2026 00:00:00 +0000\r\n", "2026-10-30T00:00:00Z"},
		{"message", "Date: yesterday\r\n", ""},
		{"message", "Subject: nothing\r\n", ""},
		{"2026-11-24T23:59:59+01:00", received, "2026-11-24T22:59:59Z"},
		{"2026-11-25T12:00:01Z", "", "error"},
		{"1969-01-01T00:00:00Z", "", "error"}, {"1970-01-01T00:00:00Z", "", "1970-01-01T00:00:00Z"}, {"message", "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n", "1970-01-01T00:00:00Z"},
		{"yesterday", received, "error"},
	} {
		m, err := mail.Parse(strings.NewReader(c.fields + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		at, err := receivedOf(c.told, m.Header, now)
		switch {
		case err != nil:
			got = "error"
		case !at.IsZero():
			got = at.UTC().Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("told %q, of\n%s: got %q (%v), want %q", c.told, c.fields, got, err, c.want)
		}
	}
}

// What export put above a message is believed if it can be true; else it stays.
func TestArchived(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		note archive.Note
		want bool
	}{
		{archive.Note{Sender: "ann@example.com", Recipients: []string{"bob@example.net"}, Received: now, Tags: []string{"a"}}, true},
		{archive.Note{Received: now.Add(time.Second)}, false},
		{archive.Note{Received: time.Unix(-1, 0)}, false},
		{archive.Note{Received: now, Tags: []string{" a"}}, false},
	} {
		u := &upload{head: []byte(c.note.Fields() + "Subject: x\r\n"), rest: strings.NewReader("rest")}
		whole := string(u.head)
		_, ok := u.archived(now)
		if ok != c.want || (string(u.head) == whole) == ok || ok && (u.Envelope.From != "ann@example.com" || len(u.Envelope.To) != 1 || !u.Received.Equal(now)) {
			t.Errorf("%+v: got %v, %+v, %q; want %v", c.note, ok, u.Arrival, u.head, c.want)
		}
	}
}

// What is cut is cut between characters, and keeps nothing of the rest.
func TestBodyText(t *testing.T) {
	for _, c := range []struct {
		m    mail.Message
		want string
	}{
		{mail.Message{Text: "abcdef", HTML: "<p>x"}, "abcd"},
		{mail.Message{Text: "abcd"}, "abcd"},
		{mail.Message{Text: "abcé"}, "abc"},
		{mail.Message{HTML: "<b>ab</b>"}, " ab"},
		{mail.Message{HTML: "<style>x</style>"}, ""},
	} {
		if got := bodyText(&c.m, 4); got != c.want {
			t.Errorf("of text %q and HTML %q: %q, want %q", c.m.Text, c.m.HTML, got, c.want)
		}
	}
}
