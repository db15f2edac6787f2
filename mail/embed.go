package mail

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"golang.org/x/net/html"
)

// Pictures that HTML names by the files they are in, as it does on a web site, sent along with it.
//
// A page may say what its author did not write: a name in it must not reach any other file than a picture below the folder
// that was given.

// Embed makes the pictures that HTML names by relative URLs, <img src="logo.png">, attachments out of fsys, and has HTML show
// them from there: <img src="cid:…"> (RFC 2392). Backgrounds, <td background="…">, are pictures too; what CSS names is not
// looked at. URLs with a scheme or a host, data: and cid: among them, are left alone.
//
// A name that leads out of fsys, a file that is not there or that is no picture by its extension is an error that names it,
// and nothing is changed. What a symbolic link may lead to is for fsys to say: [os.DirFS] follows all of them, the FS of an
// [os.Root] none that leads out. The files are read when the message is written. With ID set it is the same each time.
func (m *Message) Embed(fsys fs.FS) error {
	e := embedding{fsys: fsys, seed: trimID(m.ID), cids: map[string]string{}}
	if e.seed == "" {
		e.seed = newID(m.From)
	}
	var out strings.Builder
	z := html.NewTokenizer(strings.NewReader(m.HTML))
	for {
		kind := z.Next()
		raw := string(z.Raw()) // before the token is looked at, which may change it
		if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
			token := z.Token()
			changed, err := e.tag(&token)
			if err != nil {
				return err
			}
			if changed {
				raw = token.String()
			}
		}
		out.WriteString(raw)
		if kind == html.ErrorToken { // the end: a string is read without errors
			break
		}
	}
	m.HTML = out.String()
	m.Attachments = append(m.Attachments[:len(m.Attachments):len(m.Attachments)], e.pictures...)
	return nil
}

// An embedding is one call of Embed.
type embedding struct {
	fsys     fs.FS
	seed     string            // an identifier that CIDs are made of
	cids     map[string]string // by the names of the files
	pictures []Attachment
}

// tag changes what a tag shows, if that is a file.
func (e *embedding) tag(t *html.Token) (changed bool, err error) {
	name := "background"
	if t.Data == "img" || t.Data == "input" {
		name = "src"
	}
	for i := range t.Attr {
		if a := &t.Attr[i]; a.Key == name {
			cid, err := e.picture(strings.Trim(a.Val, " \t\r\n\f"))
			if err == nil && cid != "" {
				a.Val, changed = "cid:"+cid, true
			}
			return changed, err
		}
	}
	return false, nil
}

// picture gives the CID of a picture by its URL; "" if it is elsewhere.
func (e *embedding) picture(ref string) (cid string, err error) {
	u, err := url.Parse(ref)
	if err != nil {
		return "", fmt.Errorf("mail: the picture %.80q: its URL cannot be read", ref)
	}
	if u.Scheme != "" || u.Host != "" || u.Path == "" {
		return "", nil
	}
	// Path is decoded, once: what is escaped is judged as it will be opened. A backslash is a separator where fsys is a
	// folder of Windows.
	name := path.Clean(u.Path)
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("mail: the picture %.80q is named from outside of its folder: only files below it can be embedded", ref)
	}
	if cid, ok := e.cids[name]; ok {
		return cid, nil
	}
	a := FromFS(e.fsys, name)
	if media := a.Media(); !strings.HasPrefix(media, "image/") {
		return "", fmt.Errorf("mail: the picture %.80q: %s is no picture", ref, media)
	}
	switch stat, err := fs.Stat(e.fsys, name); {
	case err != nil:
		return "", fmt.Errorf("mail: the picture %.80q: %w", ref, err)
	case !stat.Mode().IsRegular():
		return "", fmt.Errorf("mail: the picture %.80q is no regular file", ref)
	}
	// RFC 2045, 7: a Content-ID is unique in the world, and so made of the message's own identifier.
	sum := sha256.Sum256([]byte(e.seed + "\x00" + name))
	_, domain := cutAddress(e.seed)
	a.CID = hex.EncodeToString(sum[:16]) + "@" + domain
	e.cids[name] = a.CID
	e.pictures = append(e.pictures, a)
	return a.CID, nil
}
