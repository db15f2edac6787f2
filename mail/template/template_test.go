package template_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/mail/template"
)

func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

var welcome = files(
	"mail/welcome.subject", "Welcome, {{.Name}}\n",
	"mail/welcome.txt", "Hello {{shout .Name}} & all.\n{{template \"_footer.txt\" .}}",
	"mail/welcome.html", "<p>Hello {{shout .Name}}, see <a href=\"{{.Link}}\">this</a>.</p>{{template \"_footer.html\" .}}",
	"mail/_footer.txt", "The shop\n", "mail/_footer.html", "<hr>the shop",
	"mail/other.subject", "{{.Nothing.At.All",
)

func Example() {
	t, err := template.Parse(welcome, "mail/welcome", template.Funcs{"shout": strings.ToUpper})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := t.Message(map[string]string{"Name": "Ann <ann>", "Link": "javascript:alert(1)"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n%s%s\n", m.Subject, m.Text, m.HTML)
	// Output:
	// Welcome, Ann <ann>
	// Hello ANN <ANN> & all.
	// The shop
	// <p>Hello ANN &lt;ANN&gt;, see <a href="#ZgotmplZ">this</a>.</p><hr>the shop
}

// What cannot be parsed or filled in is an error that says where, and a subject is one line.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		fsys fstest.MapFS
		data any
		says string
	}{
		{files(), nil, "a.subject"},
		{files("a.subject", "s"), nil, "neither a.txt nor a.html"},
		{files("a.txt", "t"), nil, "a.subject"},
		{files("a.subject", "s", "a.txt", "one\n{{.X"), nil, "a.txt:2"},
		{files("a.subject", "s", "a.html", "{{end}}"), nil, "a.html:1"},
		{files("a.subject", "s", "a.txt", "t", "_x.txt", "{{"), nil, "_x.txt:1"},
		{files("a.subject", "s", "a.txt", "{{nosuch 1}}"), nil, "nosuch"},
		{files("a.subject", "s", "a.txt", "{{.X}}"), map[string]string{}, "a.txt:1"},
		{files("a.subject", "s", "a.html", "<a href='{{.X}}"), map[string]string{"X": "y"}, "a.html"},
		{files("a.subject", "Hi {{.X}}", "a.txt", "t"), map[string]string{"X": "y\r\nBcc: z"}, "more than one line"},
		{files("a.subject", "one\ntwo", "a.txt", "t"), nil, "more than one line"},
		{files("a.subject", "{{.X}}", "a.txt", "t"), map[string]string{"X": "a\x00b"}, "a.subject"},
	} {
		one, err := template.Parse(c.fsys, "a", nil)
		if err == nil {
			_, err = one.Message(c.data)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "template: ") {
			t.Errorf("%v: got %v, want %q", c.fsys, err, c.says)
		}
	}
	if _, err := template.Parse(files(), "a", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no template: got %v", err)
	}
}

// One of the two is enough.
func TestHalves(t *testing.T) {
	for ext, want := range map[string]string{".txt": "x & y|", ".html": "|x &amp; y"} {
		one, err := template.Parse(files("d[1]/a.subject", " s \n", "d[1]/a"+ext, "{{.}}", "d[1]/_p"+ext, "p"), "d[1]/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := one.Message("x & y")
		if err != nil || m.Subject != "s" || m.Text+"|"+m.HTML != want {
			t.Errorf("%s: got %+v, %v", ext, m, err)
		}
	}
}

// A template and its pictures lie in one folder: what the data says cannot name a file of another.
func TestPictures(t *testing.T) {
	fsys := files("a.subject", "s", "a.html", `<img src="logo.png"><img src="{{.}}">`, "logo.png", "png", "inner/b.png", "png")
	one, err := template.Parse(fsys, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	for picture, want := range map[string]int{"logo.png": 1, "inner/b.png": 2, "https://example.com/x.png": 1, "../b.png": -1, `"><img src="/etc/passwd`: -1, "a.html": -1} {
		m, err := one.Message(picture)
		if err != nil {
			t.Fatal(err)
		}
		m.From = mail.List("ann@example.com")
		err = m.Embed(fsys)
		if (err == nil) != (want > 0) || err == nil && len(m.Attachments) != want {
			t.Errorf("%q: got %d pictures, %v, want %d", picture, len(m.Attachments), err, want)
		}
		if _, freeze := m.Freeze(); err == nil && freeze != nil {
			t.Errorf("%q: it cannot be written: %v", picture, freeze)
		}
	}
}

// One template serves many at once, each with what is theirs.
func TestAtOnce(t *testing.T) {
	one, err := template.Parse(welcome, "mail/welcome", template.Funcs{"shout": strings.ToUpper})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprint("name", i)
			m, err := one.Message(map[string]string{"Name": name, "Link": "https://example.com/"})
			if err != nil || m.Subject != "Welcome, "+name || !strings.HasPrefix(m.Text, "Hello "+strings.ToUpper(name)+" ") || !strings.Contains(m.HTML, strings.ToUpper(name)) {
				t.Errorf("%s: got %+v, %v", name, m, err)
			}
		})
	}
	wg.Wait()
}
