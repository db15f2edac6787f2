// Package mailjson is a message as JSON: what the program prints, the HTTP interface answers with and hooks get, and
// what messages are composed from.
//
// [New] makes it from a parsed message; a server adds what only it knows. [Read] and [Message.Compose] go the other way.
package mailjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// A Message is the JSON of a message. Members that describe a message are always there, empty or not, so that a
// script need not ask; those of a session and an envelope are there, all of them, where there was one. The names
// are part of what the program promises: they do not change.
type Message struct {
	ID        string `json:"id,omitempty"`
	Received  string `json:"received,omitempty"` // RFC 3339
	*Session         // nil: its members are left out
	*Envelope        // nil: its members are left out

	// What the message says of itself, decoded.
	From        Addresses    `json:"from"`
	ReplyTo     Addresses    `json:"reply_to"`
	To          Addresses    `json:"to"`
	Cc          Addresses    `json:"cc"`
	Bcc         Addresses    `json:"bcc"`
	Subject     string       `json:"subject"` // decoded
	Date        string       `json:"date"`    // RFC 3339; empty if there is none
	MessageID   string       `json:"message_id"`
	Headers     [][2]string  `json:"headers"` // names and decoded values, in order
	Text        string       `json:"text"`
	HTML        string       `json:"html"`
	Attachments []Attachment `json:"attachments"`
	Parts       *Part        `json:"parts,omitempty"`
	Size        int64        `json:"size"`
	Original    string       `json:"original,omitempty"` // a URL or a path
	Defects     []string     `json:"defects"`
}

// A Session is what a server knows of whoever brought a message.
type Session struct {
	IP   string `json:"ip"`
	Host string `json:"host"` // the EHLO name
	TLS  string `json:"tls"`  // the version; empty for none
	User string `json:"user"` // who authenticated; empty for nobody
}

// An Envelope is whom a message is from and for (RFC 5321, 2.3.1), which no message tells.
type Envelope struct {
	Sender     string   `json:"sender"` // bare; empty is the null sender of reports
	Recipients []string `json:"recipients"`
}

// An Address is a name and a bare address.
// It is mail.Address with names for JSON; name is "" if there is none.
type Address struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Addresses are written as a list of objects. Read may also be a string, as a field has it, or a list of strings.
// Nil is null in JSON; [New] makes none.
type Addresses []Address

// An Attachment is a file of a message.
// When composing, Name, Type, CID and Content count and the others are passed over.
type Attachment struct {
	Name    string  `json:"name"`
	Type    string  `json:"type"`
	Size    int64   `json:"size"` // decoded
	CID     string  `json:"cid"`
	Inline  bool    `json:"inline"`
	SHA256  string  `json:"sha256"`            // of the decoded content, in hexadecimal
	Part    string  `json:"part"`              // its path
	Content *string `json:"content,omitempty"` // in base64: when composing, and on request
	// Message is, when composing in an inbox, the id of a message there whose Part this is, or which this is itself if
	// Part is empty: the content need not be sent again.
	Message string `json:"message,omitempty"`

	// Open is where Compose takes the content from in place of Content, if it is not nil.
	Open func() (io.ReadCloser, error) `json:"-"`
}

// A Part is a node of the body.
// Its members say what mail.Part's methods of these names do.
type Part struct {
	Type        string            `json:"type"`
	Params      map[string]string `json:"params"`
	Path        string            `json:"path"`
	Encoding    string            `json:"encoding"`
	Disposition string            `json:"disposition"`
	Size        int64             `json:"size"` // of a leaf, decoded; of a multipart, as it is in the message
	Parts       []*Part           `json:"parts,omitempty"`
}

// maxJSON is how much JSON is read as one message: with base64 that is an attachment of 48 MiB.
const maxJSON = 64 << 20

// Read reads the JSON of a message, of 64 MiB at the most. Names that it does not know are errors, so that a misspelt
// one is not silently lost.
// More than one value is an error too: a second message behind the first would be lost as silently. With an
// error there is no message.
func Read(r io.Reader) (*Message, error) {
	limited := io.LimitedReader{R: r, N: maxJSON + 1}
	d := json.NewDecoder(&limited)
	d.DisallowUnknownFields()
	m := new(Message)
	err := d.Decode(m)
	switch {
	// Looked at first: JSON that was cut at the limit is broken as well, and that would be the wrong thing to
	// say.
	case limited.N <= 0:
		return nil, fmt.Errorf("mailjson: longer than %d octets", maxJSON)
	case errors.Is(err, io.EOF):
		return nil, errors.New("mailjson: there is no JSON")
	case err != nil:
		return nil, fmt.Errorf("mailjson: %w", err)
	}
	// White space may follow, as at the end of every file.
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("mailjson: something follows the JSON")
	}
	return m, nil
}

// UnmarshalJSON takes a list of objects or strings, or one string.
// Strings are read strictly (RFC 5322, 3.4), because these addresses will be written to.
func (a *Addresses) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	var whole string
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &whole); err != nil {
			return err
		}
		return a.add(whole)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, raw := range list {
		if raw = bytes.TrimSpace(raw); len(raw) > 0 && raw[0] == '"' {
			var one string
			if err := json.Unmarshal(raw, &one); err != nil {
				return err
			}
			if err := a.add(one); err != nil {
				return err
			}
			continue
		}
		// The setting of the decoder around this one does not reach in here.
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		var one Address
		if err := d.Decode(&one); err != nil {
			return err
		}
		*a = append(*a, one)
	}
	return nil
}

// add puts in the addresses of a field's text. An empty one is nobody: forms send empty fields.
func (a *Addresses) add(s string) error {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	list, err := mail.ParseAddressList(s)
	if err != nil {
		return err
	}
	*a = append(*a, fromList(list)...)
	return nil
}

// fromList converts for JSON; the result is never nil.
func fromList(list []mail.Address) Addresses {
	out := make(Addresses, 0, len(list))
	for _, one := range list {
		out = append(out, Address(one))
	}
	return out
}

// list converts back; nobody is nil, as in a Message that is a literal.
func (a Addresses) list() []mail.Address {
	var out []mail.Address
	for _, one := range a {
		out = append(out, mail.Address(one))
	}
	return out
}

// ours are the names that the other members of a Message say; in "headers" they are what was read, and are not written
// again.
// Those of MIME are made from the body (RFC 2045, 4 and 5), whatever was read.
var ours = map[string]bool{
	"from": true, "reply-to": true, "to": true, "cc": true, "bcc": true, "subject": true, "date": true, "message-id": true,
	"mime-version": true, "content-type": true, "content-transfer-encoding": true,
}

// Compose makes the message that the JSON describes, for writing. Of the members it takes from, reply_to, to, cc, bcc,
// subject, date, message_id, headers, text, html, and attachments with their content; the rest is what was found in a
// message, and passed over. Whether the message can be written is found out by writing it.
// So what New has made with Content can be edited and composed again. The error names the member, or counts the attachment
// from 1.
func (m *Message) Compose() (*mail.Message, error) {
	out := &mail.Message{
		From: m.From.list(), ReplyTo: m.ReplyTo.list(), To: m.To.list(), Cc: m.Cc.list(), Bcc: m.Bcc.list(),
		Subject: m.Subject, ID: m.MessageID, Text: m.Text, HTML: m.HTML,
	}
	if m.Date != "" {
		t, err := time.Parse(time.RFC3339, m.Date)
		if err != nil {
			return nil, fmt.Errorf("mailjson: date: %q is not in the form of RFC 3339", m.Date)
		}
		out.Date = t
	}
	for _, h := range m.Headers {
		switch name := strings.ToLower(h[0]); {
		// Otherwise a message whose subject was edited would have the old one beside it.
		case ours[name]:
		// Identifiers have no white space in them (RFC 5322, 3.6.4); their angle brackets may stay.
		case name == "in-reply-to":
			out.InReplyTo = strings.Fields(h[1])
		case name == "references":
			out.References = strings.Fields(h[1])
		case name == "sender":
			a, err := mail.ParseAddress(h[1])
			if err != nil {
				return nil, fmt.Errorf("mailjson: Sender: %w", err)
			}
			out.Sender = a
		// Received and signatures are written again with the others: who composes from what was read decides
		// what to leave in.
		default:
			out.Header.Append(h[0], h[1])
		}
	}
	// A field that could not be written is told here, where its place in the JSON is still known.
	if err := out.Header.Validate(); err != nil {
		return nil, fmt.Errorf("mailjson: headers: %w", err)
	}
	for i, a := range m.Attachments {
		if a.Open != nil {
			out.Attachments = append(out.Attachments, mail.Attachment{Name: a.Name, Type: a.Type, CID: a.CID, Open: a.Open})
			continue
		}
		// Without it a file would silently become an empty one.
		if a.Content == nil {
			return nil, fmt.Errorf("mailjson: attachment %d (%q) has no content", i+1, a.Name)
		}
		// White space is allowed, because base64(1) and most libraries for mail make lines (RFC 2045, 6.8).
		content, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(*a.Content), ""))
		if err != nil {
			return nil, fmt.Errorf("mailjson: attachment %d (%q): the content is not base64: %w", i+1, a.Name, err)
		}
		one := mail.FromBytes(a.Name, content)
		one.Type, one.CID = a.Type, a.CID
		out.Attachments = append(out.Attachments, one)
	}
	return out, nil
}
