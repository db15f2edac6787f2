package inbox

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Forms: what a person makes on the page. The server fills them in; the script
// sends what comes out as JSON to the interface that programs use, so that there
// is one way in which anything changes.

// A form is a message to be written. Its fields are text as a person would type
// them: lists of addresses with commas, ids without their brackets.
type form struct {
	Title, From, To, Cc, Subject, Text, HTML string
	InReplyTo, References                    string
	Original                                 string       // the id of the message it is made out of
	Files                                    []attachment // of that message, to be taken along
	Relay                                    bool         // it can be sent, not just put into the inbox
}

// A rules is the form of the faults.
type rules struct{ Text string }

// compose makes the view of a form: empty, or made out of a message.
func (p *page) compose(r *http.Request) (*view, error) {
	// Addresses that nobody has: the form can be sent as it comes.
	f := &form{Title: "New message", From: "ann@example.com", To: "bob@example.net", Subject: "A test", Text: "Hello!\n"}
	if id := param(r, "id"); id != "" {
		err := p.inbox.read(r.Context(), id, func(_ Body, m *mail.Message) error {
			f.Original = id
			f.fill(m, param(r, "how"))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	f.Relay = p.inbox.Relay != nil
	return &view{Query: strings.TrimSpace(param(r, "query")), Form: f}, nil
}

// fill makes a reply, a forward, or the same message again to be changed.
func (f *form) fill(m *mail.Message, how string) {
	// Whoever got it answers it.
	me := mail.Address{Address: "bob@example.net"}
	if len(m.To) > 0 {
		me = m.To[0]
	}
	out := m
	switch f.Title = "The same again"; how {
	case "reply":
		f.Title, out = "Reply", m.Reply(me)
		f.InReplyTo, f.References = strings.Join(out.InReplyTo, " "), strings.Join(out.References, " ")
	case "forward":
		// The HTML is forwarded as it was written, not as it was shown: it is the
		// sender's template that is tested.
		f.Title, out = "Forward", m.ForwardInline(me)
		f.Files = f.files(m)
		f.HTML = forwardedHTML(out.Text, m.HTML)
	case "attach":
		f.Title, out = "Forward as an attachment", m.Forward(me)
		f.Files = []attachment{{Name: out.Attachments[0].Name, Type: out.Attachments[0].Type, Size: m.Body.RawSize()}}
	default:
		f.Files, f.HTML = f.files(m), m.HTML
	}
	f.From, f.To, f.Cc, f.Subject, f.Text = joined(out.From), joined(out.To), joined(out.Cc), out.Subject, out.Text
}

// files are those that m has, the pictures of its HTML with the names by which
// that shows them.
func (f *form) files(m *mail.Message) []attachment {
	at := &message{row: row{Entry: &Entry{ID: f.Original}}, Mail: m}
	at.attachments()
	return at.Attachments
}

// forwardedHTML puts the lines that a forwarded text begins with above the HTML
// of the message: behind its <body>, or else before all of it.
func forwardedHTML(text, original string) string {
	if original == "" {
		return ""
	}
	head, _, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n\n")
	head = "<p>" + strings.ReplaceAll(html.EscapeString(head), "\n", "<br>\n") + "</p>\n"
	// Behind <body> it has the message's own font and colours.
	at := 0
	if begin := bodyTag.FindStringIndex(original); begin != nil {
		at = begin[1]
	}
	return original[:at] + head + original[at:]
}

var bodyTag = regexp.MustCompile(`(?i)<body\b[^>]{0,1000}>`)

// joined writes a list of addresses.
func joined(list []mail.Address) string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

// faults makes the view of the rules by which the server misbehaves.
func (p *page) faults(*http.Request) (*view, error) {
	var b strings.Builder
	for _, f := range p.inbox.Faults() {
		b.WriteString(f.String() + "\n")
	}
	return &view{Rules: &rules{b.String()}}, nil
}

// beside makes a view that has the list beside it.
func (p *page) beside(fn func(*http.Request) (*view, error)) func(*http.Request) (*view, error) {
	return func(r *http.Request) (*view, error) {
		// The message first: one that is gone is no reason to read the list.
		v, err := fn(r)
		if err != nil {
			return nil, err
		}
		var listed *view
		if v.Message != nil {
			listed, err = p.listAround(r, v.Message.ID)
		} else {
			listed, err = p.list(r)
		}
		if err != nil {
			return nil, err
		}
		listed.Message, listed.Form, listed.Rules = v.Message, v.Form, v.Rules
		return listed, nil
	}
}

// A spoken line is one of a session as it is shown.
type spoken struct {
	After, Text string
	Client      bool
}

// transcript makes a session's lines ready to be shown.
func transcript(s *Session) []spoken {
	var out []spoken
	for _, l := range s.Lines {
		out = append(out, spoken{l.After.Round(10 * time.Microsecond).String(), l.Text, l.FromClient})
	}
	return out
}
