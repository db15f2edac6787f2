package inbox

import (
	"bytes"
	"image"
	_ "image/gif" // the formats that thumbnails are made of
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"strings"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"

	"github.com/postrider/postrider/mail"
)

// Parts of a message in place: thumbnails, pictures, PDF, text, calendars. What
// is shown is what the bytes are, not what the sender calls them, and nothing
// is decoded before it is known how large it will be.

const (
	shownParts = 500
	shownPart  = 256 << 10 // octets of a part that are shown as text
	// maxPixels bounds what is decoded: a few octets can stand for gigabytes. With
	// 8 octets for a pixel at the worst this is 128 MiB, for one picture at a time.
	maxPixels = 16 << 20
	// maxPictureHead is how far into a file its size in pixels is looked for;
	// photographs have kilobytes of notes before it.
	maxPictureHead = 256 << 10
	thumbSide      = 240 // pixels of a thumbnail's longer side: twice what is shown
	maxPicture     = 32 << 20
	shownDepth     = 8 // of the tree; what is deeper is drawn there
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

func (m *message) attachmentOf(part *mail.Part, path string, inline bool) attachment {
	out := attachment{
		Name: safeName(part.Name(), path, part.Type()), Type: part.Type(), Size: decodedSize(part), Inline: inline, Part: path, CID: part.CID(),
		URL: apiPath + "messages/" + m.ID + "/parts/" + path, View: m.url("view", "parts", "part", path),
	}
	if _, format := pictureHead(part); format != "" {
		out.Thumb = "/messages/" + m.ID + "/parts/" + path + "/thumb"
	}
	return out
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
			n.View, n.URL = m.url("view", "parts", "part", path), apiPath+"messages/"+m.ID+"/parts/"+path
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
	media := part.Type()
	source := "/messages/" + m.ID + "/parts/" + path + "/show"
	if size, format := pictureHead(part); format != "" {
		v.Kind, v.Source, v.Width, v.Height = "picture", source, size.X, size.Y
		return v
	} else if size.X > 0 {
		v.Kind, v.Width, v.Height = "huge", size.X, size.Y
		return v
	}
	if begins(part, "%PDF-") {
		v.Kind, v.Source = "pdf", source
		return v
	}
	if media == "text/calendar" {
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

// pictureHead returns a picture's size in pixels and its format, by its bytes;
// "" if it is none that may be decoded, with its size if only that is why. Only
// its head is read.
func pictureHead(part *mail.Part) (size image.Point, format string) {
	if !strings.HasPrefix(part.Type(), "image/") {
		return size, ""
	}
	r, err := part.Reader()
	if err != nil {
		return size, ""
	}
	defer r.Close()
	c, format, err := image.DecodeConfig(io.LimitReader(r, maxPictureHead))
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return size, ""
	}
	if int64(c.Width)*int64(c.Height) > maxPixels {
		format = ""
	}
	return image.Pt(c.Width, c.Height), format
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
		if _, format := pictureHead(part); format == "" {
			return refuse(http.StatusNotFound, "there is no small picture of this")
		}
		select {
		case p.scaled <- struct{}{}:
			defer func() { <-p.scaled }()
		case <-r.Context().Done():
			return r.Context().Err()
		}
		small, media, err := thumbnail(part)
		if err != nil {
			return refuse(http.StatusNotFound, "the picture cannot be read")
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
		_, _ = w.Write(small) // the client may have gone
		return nil
	})
}

// thumbnail decodes a picture whose size has been looked at, and shrinks it.
func thumbnail(part *mail.Part) (small []byte, media string, err error) {
	r, err := part.Reader()
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	img, format, err := image.Decode(io.LimitReader(r, maxPicture))
	if err != nil {
		return nil, "", err
	}
	size := img.Bounds().Size()
	if side := max(size.X, size.Y); side > thumbSide {
		size.X, size.Y = max(1, size.X*thumbSide/side), max(1, size.Y*thumbSide/side)
	}
	scaled := image.NewRGBA(image.Rectangle{Max: size})
	draw.ApproxBiLinear.Scale(scaled, scaled.Bounds(), img, img.Bounds(), draw.Src, nil)
	var out bytes.Buffer
	if format == "jpeg" {
		err = jpeg.Encode(&out, scaled, &jpeg.Options{Quality: 80})
		return out.Bytes(), "image/jpeg", err
	}
	err = png.Encode(&out, scaled) // may be transparent
	return out.Bytes(), "image/png", err
}

// showPart serves a picture or a PDF to be shown in place. The type is what the
// bytes are; nothing that could run anything is served here.
func (p *page) showPart(w http.ResponseWriter, r *http.Request) {
	p.part(w, r, func(part *mail.Part) error {
		_, format := pictureHead(part)
		media, policy := "image/"+format, "default-src 'none'; frame-ancestors 'none'; sandbox"
		if format == "" {
			if !begins(part, "%PDF-") {
				return refuse(http.StatusNotFound, "this is neither a picture nor a PDF; it can be saved")
			}
			// Browsers show PDF by a program of their own, which a sandbox would keep
			// out; what is in the file has no access to the page.
			media, policy = "application/pdf", "default-src 'none'; frame-ancestors 'self'; object-src 'self'; style-src 'unsafe-inline'"
		}
		content, err := part.Reader()
		if err != nil {
			return err
		}
		defer content.Close()
		w.Header().Set("Content-Type", media)
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Disposition", "inline")
		if _, err = io.Copy(w, content); err != nil {
			panic(http.ErrAbortHandler) // as apiPart does
		}
		return nil
	})
}
