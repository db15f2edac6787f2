package inbox

import (
	"cmp"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// Downloads: the bytes of a message and of its parts. Names and types are the
// sender's, who may mean harm: nothing is shown in place, no name leads out of
// the folder that it is saved in, and no type makes a browser run anything.

func (in *Inbox) apiRaw(w http.ResponseWriter, r *http.Request) error {
	b, err := in.Store.Open(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	defer b.Close()
	w.Header().Set("Content-Type", "message/rfc822")
	w.Header().Set("Content-Disposition", disposition("attachment", strings.ToUpper(r.PathValue("id"))+".eml"))
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(b, 0, b.Size()))
	return nil
}

func (in *Inbox) apiPart(w http.ResponseWriter, r *http.Request) error {
	return in.read(r.Context(), r.PathValue("id"), func(_ Body, m *mail.Message) error {
		at := r.PathValue("path")
		part := m.Body.At(at)
		if part == nil || at == "" {
			return refuse(http.StatusNotFound, "the message has no such part")
		}
		return writePart(w, part, at, "attachment", safeType(part))
	})
}

// writePart answers with a part, to be treated as how says and under a type that is
// safe. It is decoded on the way: one of any size takes no more than a buffer.
func writePart(w http.ResponseWriter, part *mail.Part, at, how, media string) error {
	content, err := part.Reader()
	if err != nil {
		return err
	}
	defer content.Close()
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", disposition(how, safeName(part.Name(), at, media)))
	if _, err := io.Copy(w, content); err != nil {
		// The answer has begun: breaking it off is all that can still be told.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// safeType returns a part's media type, with its charset, unless a browser
// might make a document of it that runs something.
func safeType(part *mail.Part) string {
	const opaque = "application/octet-stream"
	media := part.Type()
	// By a word within it: application/xhtml+xml and whatever comes next are meant
	// too. A wrong guess costs a preview of the browser's, no file.
	for _, active := range []string{"html", "xml", "svg", "script", "multipart", "mhtml", "x-mixed", "flash", "java"} {
		if strings.Contains(media, active) {
			return opaque
		}
	}
	return mediaType(part)
}

// mediaType returns a part's media type, with its charset, in a form that can be
// written into a field.
func mediaType(part *mail.Part) string {
	const opaque = "application/octet-stream"
	media := part.Type()
	if strings.HasPrefix(media, "multipart/") {
		return opaque // one that has no parts
	}
	// Other parameters are for mail, not for a browser.
	params := map[string]string{}
	if charset := part.Param("charset"); charset != "" {
		params["charset"] = charset
	}
	return cmp.Or(mime.FormatMediaType(media, params), mime.FormatMediaType(media, nil), opaque)
}

// disposition says how a file is to be treated, "attachment" or "inline", and under which name it is saved (RFC 6266).
func disposition(how, name string) string {
	return cmp.Or(mime.FormatMediaType(how, map[string]string{"filename": name}), how)
}

// reserved are names that Windows takes for devices, whatever their extension.
const reserved = " con conin$ conout$ prn aux nul com¹ com² com³ lpt¹ lpt² lpt³ com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9 "

const maxName = 150 // octets; file systems have 255 at least

// safeName makes a file name out of what the sender wrote. One that has nothing
// usable is named after the part.
func safeName(name, part, media string) string {
	// Both slashes, on every system: the file may be saved on another.
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), invisible(r): // "gpj.exe" must not read "exe.jpg"
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, name)
	// A leading dot hides, trailing ones Windows drops: "a.exe." would be a.exe.
	name = strings.TrimRight(strings.TrimLeft(name, ". "), ". ")
	if len(name) > maxName {
		// The extension says what opens the file: it outlives the cut, unless it is
		// none but a long word behind a dot.
		ext := path.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		name = strings.ToValidUTF8(name[:maxName-len(ext)], "") + ext
	}
	// Windows looks no further than the first dot, and at no blank before it: "nul .txt" is
	// the device.
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	if name == "" || strings.Contains(reserved, " "+strings.TrimRight(stem, " ")+" ") {
		return "part-" + part + extension(media)
	}
	return name
}

// extension returns the usual one of a media type; "" if there is none that
// all systems agree on.
func extension(media string) string {
	media, _, _ = strings.Cut(media, ";")
	switch media {
	case "text/plain", "text/rfc822-headers", "message/delivery-status", "message/disposition-notification", "message/feedback-report":
		return ".txt"
	case "message/rfc822":
		return ".eml"
	case "text/calendar":
		return ".ics"
	case "application/pdf":
		return ".pdf"
	case "image/png", "image/gif", "image/jpeg", "image/webp":
		return "." + strings.TrimPrefix(media, "image/")
	}
	return ".bin"
}
