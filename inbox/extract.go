package inbox

import (
	"regexp"
	"strings"
	"unicode"

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

// hyperlinks finds those of HTML, with what stands in them.
func hyperlinks(text string, add func(url, text string)) {
	// Pieces, and no tree: what is wanted stands in their order, in HTML that is broken too,
	// and none of it is kept.
	z := html.NewTokenizer(strings.NewReader(begin(text)))
	url := ""
	var inside strings.Builder
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.TextToken:
			if url != "" && inside.Len() < 1000 {
				inside.Write(z.Text())
			}
		case html.StartTagToken:
			t := z.Token()
			if t.DataAtom != atom.A && t.DataAtom != atom.Area {
				continue
			}
			url = ""
			for _, a := range t.Attr {
				if a.Key == "href" && webAddress.MatchString(strings.TrimSpace(a.Val)) {
					url = strings.TrimSpace(a.Val)
				}
			}
			inside.Reset()
			if t.DataAtom == atom.Area && url != "" {
				add(url, "")
				url = ""
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "a" && url != "" {
				add(url, html.UnescapeString(inside.String()))
				url = ""
			}
		}
	}
}

// candidate is what a one-time code looks like: four to eight digits, also in two
// groups, or six to ten capitals and digits, with a prefix such as G- perhaps.
var candidate = regexp.MustCompile(`\b(?:[A-Z]{1,3}-)?(?:\d{3}[ -]\d{3}|\d{4}[ -]\d{4}|\d{4,8}|[A-Z0-9]{6,10})\b`)

// codeWord is what such a code is called; it has to be near.
var codeWord = regexp.MustCompile(`(?i)\b(?:codes?|passcode|otp|pin|tan|token|verif\w*|confirm\w*|one[- ]time|2fa|login|sign[- ]?in|security|` +
	`best[äa]tigung\w*|c[óo]digo|codice|kod\w*)\b|验证码|驗證碼|認証|確認コード|인증|код\w*`)

// near is how far from its name a code may stand, in octets: it is often on a line
// of its own below a sentence.
const near = 120

// codes returns what may be one-time codes, the likeliest first: those that stand
// alone on their line before those within a sentence.
func codes(m *mail.Message) []string {
	text := oneLine(m.Subject, 1000) + "\n" + begin(bodyText(m, indexText))
	// Tokens of links look like codes. Blanks take their places, so that what is near stays
	// so far.
	text = webAddress.ReplaceAllStringFunc(text, func(url string) string { return strings.Repeat(" ", len(url)) })
	list := []string{}
	seen := map[string]bool{}
	for _, alone := range []bool{true, false} {
		for _, at := range candidate.FindAllStringIndex(text, 1000) {
			code := text[at[0]:at[1]]
			if len(list) == maxCodes || seen[code] || onOwnLine(text, at) != alone || !strings.ContainsFunc(code, unicode.IsDigit) {
				continue
			}
			// A number is a code only where it is called one: orders, years and amounts have digits
			// too.
			if inNumber(text, at) || !codeWord.MatchString(text[max(0, at[0]-near):min(len(text), at[1]+near)]) {
				continue
			}
			seen[code] = true
			list = append(list, code)
		}
	}
	return list
}

// onOwnLine tells whether nothing else stands on a line.
func onOwnLine(text string, at []int) bool {
	before := text[:at[0]]
	before = before[strings.LastIndexByte(before, '\n')+1:]
	after, _, _ := strings.Cut(text[at[1]:], "\n")
	return strings.TrimSpace(before) == "" && strings.TrimSpace(after) == ""
}

// inNumber tells a piece of something longer: a date, an amount, an address.
func inNumber(text string, at []int) bool {
	before, after := text[:at[0]], text[at[1]:]
	return before != "" && strings.ContainsRune("-./+#@_=$€£", rune(before[len(before)-1])) ||
		len(after) > 1 && strings.ContainsRune("-./@_:", rune(after[0])) && after[1] > ' '
}
