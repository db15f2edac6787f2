package mail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

var pictures = fstest.MapFS{
	"logo.png": {Data: []byte("png")}, "img/a b.gif": {Data: []byte("gif")}, "100%.jpg": {Data: []byte("jpg")},
	"notes.txt": {Data: []byte("secret")}, "dir.png": {Mode: fs.ModeDir},
}

func TestEmbed(t *testing.T) {
	const page = "<!DOCTYPE html><P class=x>1 < 2 &amp; <IMG alt='&quot;Logo&quot;' SRC=logo.png><img src=\" ./img/../logo.png?v=3#x \"/>" +
		`<td background="img/a%20b.gif"><input type=image src="100%25.jpg">` +
		`<img src="https://example.com/logo.png"><img src="//example.com/logo.png"><img src="cid:1@x"><img src="data:image/png,x"><img src=""><img>` +
		`<a href="logo.png"><!-- <img src="none.png"> --><style>td { background: url(none.png) }</style><img src="logo.png" src="none.png">` + "\n<p"
	m := base()
	m.HTML = page
	m.Attachments = []Attachment{FromBytes("a.pdf", []byte("pdf"))}
	if err := m.Embed(pictures); err != nil {
		t.Fatal(err)
	}
	if got := len(m.Attachments); got != 4 {
		t.Fatalf("got %d attachments, want the one that was there and three pictures", got)
	}
	want := page
	for i, ref := range []string{"", "logo.png", "img/a b.gif", "100%.jpg"} {
		if i > 0 && m.Attachments[i].Name != ref[strings.LastIndex(ref, "/")+1:] {
			t.Errorf("attachment %d is called %q, want the file's name of %s", i, m.Attachments[i].Name, ref)
		}
	}
	logo, gif, jpg := "cid:"+m.Attachments[1].CID, "cid:"+m.Attachments[2].CID, "cid:"+m.Attachments[3].CID
	for _, c := range [][2]string{
		{"<IMG alt='&quot;Logo&quot;' SRC=logo.png>", `<img alt="&#34;Logo&#34;" src="` + logo + `">`}, {`<img src=" ./img/../logo.png?v=3#x "/>`, `<img src="` + logo + `"/>`},
		{"img/a%20b.gif", gif}, {"<input type=image src=\"100%25.jpg\">", `<input type="image" src="` + jpg + `">`}, {`<img src="logo.png" src="none.png">`, `<img src="` + logo + `">`},
	} {
		want = strings.Replace(want, c[0], c[1], 1)
	}
	if m.HTML != want {
		t.Errorf("got\n%s\nwant\n%s", m.HTML, want)
	}
	got := back(t, m)
	if s := opened(t, got.Attachments[0]); s != "png" || got.Attachments[0].CID != m.Attachments[1].CID || got.Attachments[0].Type != "image/png" {
		t.Errorf("the picture arrives as %q, %+v", s, got.Attachments[0])
	}
	again := base()
	again.HTML = page
	if err := again.Embed(pictures); err != nil || again.HTML != want {
		t.Errorf("a second time: got %v and\n%s\nwant\n%s", err, again.HTML, want)
	}
	// Without an ID there is nothing to make the same CID of.
	again.ID, again.HTML = "", page
	if err := again.Embed(pictures); err != nil || again.HTML == want {
		t.Errorf("without an ID: got %v and the same CIDs as another message", err)
	}
}

// No name leads to anything but a picture below the folder.
func TestEmbedIsContained(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "below")
	for name, err := range map[string]error{
		"folder":     os.Mkdir(below, 0o700),
		"secret.png": os.WriteFile(filepath.Join(dir, "secret.png"), []byte("secret"), 0o600),
		"inside.png": os.WriteFile(filepath.Join(below, "inside.png"), []byte("inside"), 0o600),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	root, err := os.OpenRoot(below)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Symlink(filepath.Join("..", "secret.png"), filepath.Join(below, "link.png")); err != nil {
		t.Log("no symbolic links here:", err) // Windows without the right to make them: there is none to follow
	}
	for name, fsys := range map[string]fs.FS{"a map": pictures, "an os.Root": root.FS()} {
		for _, ref := range []string{
			"../secret.png", "img/../../secret.png", "%2e%2e/secret.png", "..%2Fsecret.png", "%2E%2E%2Fsecret.png", "./../secret.png", "/secret.png", "%2fsecret.png",
			`..\secret.png`, "..%5csecret.png", "logo.png%00.txt", "%zz.png", "\x01.png", "link.png", "none.png", "none.png/logo.png", ".", "./", "notes.txt", "img", "dir.png", "logo.png/x.gif",
			"/etc/passwd", "%252e%252e/secret.png",
		} {
			m := base()
			m.HTML = `<p>x</p><img src="` + ref + `">`
			page := m.HTML
			if err := m.Embed(fsys); err == nil || !strings.HasPrefix(err.Error(), "mail: the picture ") || m.HTML != page || m.Attachments != nil {
				t.Errorf("%s, %q: got %v, %d attachments and %s", name, ref, err, len(m.Attachments), m.HTML)
			}
		}
	}
	m := base()
	m.HTML = `<img src="inside.png">`
	if err := m.Embed(root.FS()); err != nil || len(m.Attachments) != 1 {
		t.Errorf("a picture of the folder: got %v and %d attachments", err, len(m.Attachments))
	}
	m.HTML = `<img src="none.png">`
	if err := m.Embed(pictures); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a picture that is not there: got %v, want %v", err, fs.ErrNotExist)
	}
}

// careless opens whatever it is asked for: the check is ours, and not left to the file system.
type careless struct{ asked []string }

func (c *careless) Open(name string) (fs.File, error) {
	c.asked = append(c.asked, name)
	return pictures.Open("logo.png")
}

func TestEmbedAsksForNothingOutside(t *testing.T) {
	for _, ref := range []string{"../x.png", "a/../../x.png", "%2e%2e/x.png", "..%2fx.png", "/x.png", "%2Fx.png", "/../x.png", `..\x.png`, `a\..\..\x.png`, "%5cx.png", "x%00.png", "\xff.png", "%ff.png"} {
		c := new(careless)
		m := base()
		m.HTML = `<img src="` + ref + `">`
		if err := m.Embed(c); err == nil || len(c.asked) > 0 {
			t.Errorf("%q: got %v, and %q was asked for", ref, err, c.asked)
		}
	}
	c := new(careless)
	m := base()
	m.HTML = `<img src="a/./b/../x.png">`
	if err := m.Embed(c); err != nil || len(c.asked) != 1 || c.asked[0] != "a/x.png" {
		t.Errorf("got %v, and %q was asked for, want a/x.png", err, c.asked)
	}
}

// Whatever the page, what was attached lies in the folder, and a second time there is nothing left to embed.
func FuzzEmbed(f *testing.F) {
	for _, s := range []string{"", "<img src=logo.png>", "<td background=../x.png", "<img src='%2e%2e/logo.png'>", "<img src=data:,><!--", "<input src=a%20b.gif src=x>", "<script><img src=x>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, page string) {
		m := &Message{ID: "1@example.com", HTML: page}
		if err := m.Embed(pictures); err != nil {
			if m.HTML != page || m.Attachments != nil {
				t.Errorf("%q: after %v it is %q", page, err, m.HTML)
			}
			return
		}
		if len(m.Attachments) == 0 && m.HTML != page {
			t.Errorf("%q has no pictures and becomes %q", page, m.HTML)
		}
		once, n := m.HTML, len(m.Attachments)
		if err := m.Embed(pictures); err != nil || m.HTML != once || len(m.Attachments) != n {
			t.Errorf("%q becomes %q, and then %q, %v", page, once, m.HTML, err)
		}
	})
}
