package inbox

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// A held body is in memory.
type held struct{ *bytes.Reader }

func (held) Close() error { return nil }

// FuzzViews looks at any message in every way that the page has: nothing of it makes
// a tag, and no view fails.
func FuzzViews(f *testing.F) {
	for _, seed := range []string{
		"From: ann@example.com\n\nHello\n", "Content-Type: text/html\n\n<style>a{}</style><b onclick=x>\n", "Subject: <script>alert(1)</script>\nX-<b>: \"'&\nList-Unsubscribe: <https://x>, <\n\n",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/calendar\n\nBEGIN:VEVENT\nSUMMARY:<script>\n--b\nContent-Type: image/png; name=\"<script>.png\"\n\nx\n--b--\n",
	} {
		f.Add(seed)
	}
	p := newPage(&Inbox{})
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := mail.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, query := range []string{"html", "text", "headers", "source", "source&of=html&at=2-9", "parts", "parts&part=1", "parts&part=2", "session", "checks"} {
			e := &Entry{ID: "01"}
			summary := summarise(parsed)
			e.Summary = &summary
			m := &message{row: rowOf(e, ""), Mail: parsed}
			if err := m.fill(held{bytes.NewReader([]byte(text))}, httptest.NewRequest("GET", "/?view="+query, nil)); err != nil {
				t.Fatalf("view %s of %q: %v", query, text, err)
			}
			var out bytes.Buffer
			if err := p.tmpl.ExecuteTemplate(&out, "pane", &view{Message: m}); err != nil {
				t.Fatalf("view %s of %q: %v", query, text, err)
			}
			// The page's own pieces have no script; text of the message has no bracket.
			if strings.Contains(strings.ToLower(out.String()), "<script") {
				t.Errorf("view %s of %q makes a script:\n%s", query, text, out.String())
			}
		}
	})
}
