// Package archive has the form in which an inbox's message lies in a maildir or an mbox: above it are fields that tell
// what the inbox knows of it, and below them are the message's own octets, none of them changed.
//
// Return-Path and Delivered-To are those of final delivery (RFC 5321, 4.4), which other programs read too. The last field
// is ours alone; it tells what they have no place for, and that all of them are to be taken off again: a message that was
// delivered by another program has such fields of its own.
package archive

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

const (
	pathField = "Return-Path: "
	toField   = "Delivered-To: "
	lastField = "X-Postrider-Kept: "
)

// A Note is what an inbox knows of a message beside its octets. What is named here is in the last field, as JSON.
type Note struct {
	Sender     string    `json:"-"` // of the envelope, bare; "" is the null reverse-path
	Recipients []string  `json:"-"` // bare; there may be none
	Received   time.Time `json:"received"`
	Unread     bool      `json:"unread"`
	Tags       []string  `json:"tags,omitempty"`
}

// Fields returns the fields that go above the message, with CRLF.
func (n Note) Fields() string {
	var b strings.Builder
	b.WriteString(pathField + "<" + OneLine(n.Sender) + ">\r\n")
	for _, to := range n.Recipients {
		b.WriteString(toField + OneLine(to) + "\r\n")
	}
	last, _ := json.Marshal(n) // fails for times alone whose year has not four digits
	b.WriteString(lastField + string(last) + "\r\n")
	return b.String()
}

// Cut reads the fields that a file begins with and returns them and the message below. If there are none, or not all of
// them are in head, it returns head and false.
func Cut(head []byte) (n Note, msg []byte, ok bool) {
	for rest := head; ; {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		rest = after
		text := string(line)
		if !found || OneLine(text) != text {
			return Note{}, head, false
		}
		if value, is := strings.CutPrefix(text, pathField+"<"); is && !ok && strings.HasSuffix(value, ">") {
			n.Sender, ok = strings.TrimSuffix(value, ">"), true
		} else if value, is := strings.CutPrefix(text, toField); is && ok {
			n.Recipients = append(n.Recipients, value)
		} else if value, is := strings.CutPrefix(text, lastField); is && ok && json.Unmarshal([]byte(value), &n) == nil {
			return n, rest, true
		} else {
			return Note{}, head, false
		}
	}
}

// OneLine leaves out control characters: it keeps what is no address, because nobody has looked at it, from being more than one
// field.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
