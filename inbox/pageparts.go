package inbox

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Parts of a message in place: thumbnails, pictures, PDF, text, calendars. What
// is shown is what the bytes are, not what the sender calls them. A part is served
// for being shown at an address of its own, apart from the one where it is saved:
// each has the type and the policy that its use is safe with, and neither can be
// made the other by a parameter.

const (
	shownParts = 500
	shownPart  = 256 << 10 // octets of a part that are shown as text
	shownDepth = 8         // of the tree; what is deeper is drawn there
)

// An attachment is a file that can be saved, under a name that is safe.
type attachment struct {
	Name, Type, URL string
	Size            int64
	Inline          bool
	Part            string // its path
	CID             string // by which HTML shows it; "" if it does not
	Thumb           string // URL of a small picture of it; "" if there is none
	View            string // URL at which it is shown; "" if it can only be saved
}

// A node is a line of the part tree.
type node struct {
	Path, Type, Encoding, Note string
	Name                       string
	Depth                      int
	Size                       int64
	View, URL                  string // shows it, saves it; "" for a multipart
	Current                    bool
}

// A preview is a part that is shown in place.
type preview struct {
	attachment
	Kind     string // picture, huge, pdf, text, calendar; "" if it can only be saved
	Source   string // URL of a picture or PDF
	Width    int    // of a picture, in pixels
	Height   int
	Text     string
	Cut      bool
	Calendar []event
}

// attachments lists the message's files. Sizes are worked out, not measured: a
// large message is not decoded to show its list.
func (m *message) attachments() {
	paths := map[*mail.Part]string{}
	for path, part := range m.Mail.Body.Walk() {
		paths[part] = path
	}
	for _, a := range m.Mail.Attachments {
		m.Attachments = append(m.Attachments, m.attachmentOf(a.Part(), paths[a.Part()], isInline(a, m.Mail.HTML)))
	}
}

// Files are the attachments that are not seen in the HTML anyway: its pictures are
// among the parts.
func (m *message) Files() []attachment {
	return slices.DeleteFunc(slices.Clone(m.Attachments), func(a attachment) bool { return a.Inline })
}

func (m *message) attachmentOf(part *mail.Part, path string, inline bool) attachment {
	out := attachment{
		Name: safeName(part.Name(), path, part.Type()), Type: part.Type(), Size: decodedSize(part), Inline: inline, Part: path, CID: part.CID(),
		URL: m.api("/parts/" + path), View: m.url("view", "parts", "part", path),
	}
	if rasterOf(part).thumbed() {
		out.Thumb = "messages/" + m.ID + "/parts/" + path + "/thumb"
	}
	return out
}

// atOnce is how many events of a calendar are shown with the message: those of an
// invitation. Of an export the first ones are a sample.
const atOnce = 3

// fillCalendar finds the first calendar of the message. An invitation mostly brings the
// same one twice, as an alternative and as a file (RFC 6047, 2.4).
func (m *message) fillCalendar() {
	for path, part := range m.Mail.Body.Walk() {
		if !isCalendar(part.Type()) {
			continue
		}
		if events, ok := readCalendar(part); ok {
			n := min(len(events), atOnce)
			m.Calendar = &calendar{events[:n], len(events) - n, m.url("view", "parts", "part", path)}
			return
		}
	}
}

// decodedSize is about how large a part is when it has been decoded: base64 in
// lines has 57 octets in 78.
func decodedSize(p *mail.Part) int64 {
	if p.Encoding() == "base64" {
		return p.RawSize() * 57 / 78
	}
	return p.RawSize()
}

// fillParts makes the tree, and shows one part of it.
func (m *message) fillParts(chosen string) {
	// The tree is drawn as it is, to its limit: who looks here wants to see what the
	// parser saw, empty and odd parts too.
	for path, part := range m.Mail.Body.Walk() {
		if len(m.Parts) == shownParts {
			m.Cut = true
			break
		}
		n := node{Path: path, Type: part.Type(), Encoding: part.Encoding(), Depth: min(shownDepth, 1+strings.Count(path, ".")), Size: part.RawSize()}
		if path == "" {
			n.Depth = 0
		}
		n.Note = strings.Join(notes(part), ", ")
		if !part.IsMultipart() {
			n.Name = oneLine(part.Name(), 100)
			n.View, n.URL = m.url("view", "parts", "part", path), m.api("/parts/"+path)
		}
		if n.Current = path == chosen && chosen != ""; n.Current && !part.IsMultipart() {
			m.Preview = m.previewOf(part, path)
		}
		m.Parts = append(m.Parts, n)
	}
}

// notes are what else a part says of itself.
func notes(part *mail.Part) []string {
	var out []string
	for _, s := range []string{part.Param("charset"), part.Disposition()} {
		if s != "" {
			out = append(out, oneLine(s, 40))
		}
	}
	if cid := part.CID(); cid != "" {
		out = append(out, "cid:"+oneLine(cid, 80))
	}
	return out
}

// previewOf shows a part as what it is.
func (m *message) previewOf(part *mail.Part, path string) *preview {
	v := &preview{attachment: m.attachmentOf(part, path, false)}
	// Bytes come before words: a picture that calls itself text is a picture, and a
	// script that calls itself a picture is nothing that is shown.
	media := part.Type()
	source := "messages/" + m.ID + "/parts/" + path + "/show"
	if p := rasterOf(part); p != nil {
		v.Kind, v.Source, v.Width, v.Height = "picture", source, p.size.X, p.size.Y
		if !p.shown() {
			v.Kind, v.Source = "huge", ""
		}
		return v
	}
	if begins(part, "%PDF-") {
		// The fragment asks the reader for the page alone, as wide as there is room.
		v.Kind, v.Source = "pdf", source+"#navpanes=0&view=FitH"
		return v
	}
	if isCalendar(media) {
		if events, ok := readCalendar(part); ok {
			v.Kind, v.Calendar = "calendar", events
			return v
		}
	}
	if !readable(media) {
		return v
	}
	// A text of any size is read no further than it is shown, but for its charset.
	text, err := part.Text()
	if text == "" && err != nil {
		return v
	}
	v.Kind = "text"
	v.Text, v.Cut = cut(text, shownPart)
	return v
}

// readable tells the media types that are text, whatever they are called.
func readable(media string) bool {
	if strings.HasPrefix(media, "text/") || strings.HasPrefix(media, "message/") {
		return true
	}
	for _, kind := range []string{"json", "xml", "yaml", "javascript", "x-sh", "sql", "csv", "pgp-signature", "x-patch", "toml"} {
		if strings.HasPrefix(media, "application/") && strings.Contains(media, kind) && !strings.Contains(media, "officedocument") {
			return true
		}
	}
	return media == "image/svg+xml" // it is shown as what it says, not as a picture
}

// begins tells whether a part's content begins with a magic word.
func begins(part *mail.Part, magic string) bool {
	r, err := part.Reader()
	if err != nil {
		return false
	}
	defer r.Close()
	head := make([]byte, len(magic))
	_, err = io.ReadFull(r, head)
	return err == nil && string(head) == magic
}

// part finds the part that a request names and hands it to fn.
func (p *page) part(w http.ResponseWriter, r *http.Request, fn func(part *mail.Part) error) {
	err := p.inbox.read(r.Context(), r.PathValue("id"), func(_ Body, m *mail.Message) error {
		part := m.Body.At(r.PathValue("path"))
		if part == nil || part.IsMultipart() {
			return refuse(http.StatusNotFound, "the message has no such part")
		}
		return fn(part)
	})
	if err != nil {
		status, text := p.inbox.statusOf(r, err)
		plain(w, status, text+"\n")
	}
}

// thumb serves a small picture of a part. It is made anew each time: the
// browser keeps it, for a part never changes.
func (p *page) thumb(w http.ResponseWriter, r *http.Request) {
	p.part(w, r, func(part *mail.Part) error {
		picture := rasterOf(part)
		if !picture.thumbed() {
			return refuse(http.StatusNotFound, "there is no small picture of this")
		}
		// One at a time, and in turn: what a decoder may take is bounded for one.
		select {
		case p.scaled <- struct{}{}:
			defer func() { <-p.scaled }()
		case <-r.Context().Done():
			return r.Context().Err()
		}
		small, media, err := picture.thumbnail(r.Context(), part)
		if err != nil {
			return refuse(http.StatusNotFound, "the picture cannot be read")
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
		// A part never changes under its id, but a shared cache is nobody's to keep mail.
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
		_, _ = w.Write(small) // the client may have gone
		return nil
	})
}

// showPart serves a picture or a PDF to be shown in place. The type is what the
// bytes are; nothing that could run anything is served here.
func (p *page) showPart(w http.ResponseWriter, r *http.Request) {
	p.part(w, r, func(part *mail.Part) error {
		var media, policy string
		if picture := rasterOf(part); picture.shown() {
			media, policy = "image/"+picture.format, "default-src 'none'; frame-ancestors 'none'; sandbox"
		} else {
			if !begins(part, "%PDF-") {
				return refuse(http.StatusNotFound, "this is neither a picture nor a PDF; it can be saved")
			}
			// Browsers show PDF by a program of their own, which a sandbox would keep
			// out. What is in the file has no access to the page; with its true type and
			// nosniff it is never made a document of another kind.
			media, policy = "application/pdf", "default-src 'none'; frame-ancestors 'self'; object-src 'self'; style-src 'unsafe-inline'"
		}
		w.Header().Set("Content-Security-Policy", policy)
		return writePart(w, part, r.PathValue("path"), "inline", media) // a reader of PDF saves it under its name
	})
}
