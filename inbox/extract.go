package inbox

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/postrider/postrider/mail"
)

// What a test wants of a message: the link to follow and the code to type in.

const (
	maxLinks   = 500
	maxCodes   = 20
	maxExtract = 1 << 20 // octets of text or HTML that are looked at
)

// A Link is a web address in a message, with the text that it has in the HTML.
type Link struct {
	URL  string `json:"url"`
	Text string `json:"text"`
}

// webAddress finds web addresses in text; what may end a sentence ends none.
var webAddress = regexp.MustCompile(`(?i)https?://[^\s<>"]*[^\s<>"'.,;:!?)\]}]`)

// links returns the web addresses of a message in the order in which a reader
// meets them, those of the HTML first, each once.
func links(m *mail.Message) []Link {
	list := []Link{}
	seen := map[string]int{}
	add := func(url, text string) {
		text = oneLine(text, 200)
		if i, ok := seen[url]; ok {
			if list[i].Text == "" {
				list[i].Text = text // a picture came first
			}
			return
		}
		if len(list) < maxLinks && len(url) < 4096 {
			seen[url] = len(list)
			list = append(list, Link{url, text})
		}
	}
	// The HTML comes first, for its links have words: a test looks for "Confirm".
	hyperlinks(m.HTML, add)
	for _, url := range webAddress.FindAllString(begin(m.Text), maxLinks) {
		add(url, "")
	}
	return list
}

// begin returns as much of a text as is looked at.
func begin(text string) string { return text[:min(len(text), maxExtract)] }

// inline elements part no words.
var inline = map[atom.Atom]bool{atom.B: true, atom.I: true, atom.Em: true, atom.Strong: true, atom.Span: true, atom.Font: true, atom.U: true,
	atom.Small: true, atom.Big: true, atom.Sup: true, atom.Sub: true, atom.Mark: true, atom.Code: true, atom.Wbr: true}

// hyperlinks finds those of HTML, with what stands in them.
func hyperlinks(text string, add func(url, text string)) {
	// Pieces, and no tree: what is wanted stands in their order, in HTML that is broken too,
	// and none of it is kept.
	z := html.NewTokenizer(strings.NewReader(begin(text)))
	url, raw := "", false // the link that is open; a style sheet is
	var inside strings.Builder
	words := func(s string) {
		if url != "" && inside.Len() < 1000 {
			inside.WriteString(s)
		}
	}
	end := func() {
		if url != "" {
			add(url, inside.String())
		}
		url = ""
		inside.Reset()
	}
	for {
		switch z.Next() {
		case html.ErrorToken:
			end() // a link that nobody closes goes on to the end
			return
		case html.TextToken:
			if !raw {
				words(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			raw = t.DataAtom == atom.Style || t.DataAtom == atom.Script
			switch t.DataAtom {
			case atom.A, atom.Area: // neither holds another one
				end()
				if url = address(t, "href"); t.DataAtom == atom.Area {
					end()
				}
			case atom.Img:
				// What is read where no pictures are shown: most buttons are some.
				words(" " + attribute(t, "alt") + " ")
			default:
				if !inline[t.DataAtom] {
					words(" ")
				}
			}
		case html.EndTagToken:
			raw = false
			if name, _ := z.TagName(); string(name) == "a" {
				end()
			}
		}
	}
}

// attribute returns an attribute's value, of several the first.
func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// address returns the web address that an attribute is, as browsers read it: without line
// ends in it or blanks around it. One that has a web address in it is none, as that of a
// mail with a link in its text.
func address(t html.Token, name string) string {
	url := strings.TrimSpace(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(attribute(t, name)))
	if at := webAddress.FindStringIndex(url); at == nil || at[0] != 0 {
		return ""
	}
	return url
}
