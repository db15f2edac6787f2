package inbox

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/postrider/postrider/internal/human"
	"github.com/postrider/postrider/mail"
)

// Checks: what a sender would want to know about a message before customers
// get it, each with what to do about it. They judge what was sent, not who sent
// it: nothing is looked up, so that the answer is the same on every machine and
// no one is told that the message was looked at. What is checked and found right
// is said too, for silence could mean that nobody has looked.

const (
	// clip is how much HTML Gmail shows before "[Message clipped]".
	clip = 102 << 10
	// longSubject is about what phones show of one.
	longSubject = 70
)

// A finding is what one check has to say.
type finding struct {
	Level  string // problem: readers will notice; advice: some may; good
	Title  string
	Advice string // what to do; "" if nothing
	List   []detail
}

// A detail is one of the things that a finding is about, and where in the HTML it
// is, if it is there.
type detail struct {
	Text    string
	URL     string // shows it in the source; "" if it has no place
	at, end int    // octets of the HTML; 0, 0: nowhere
}

// check holds a message against what clients and filters want. Only a thorough
// one goes through the table of what clients lack.
func check(m *mail.Message, thorough bool) []finding {
	var out []finding
	add := func(level, title, advice string, list ...detail) {
		out = append(out, finding{level, title, advice, list})
	}
	for _, one := range []func(*mail.Message, func(string, string, string, ...detail)){
		checkFields, checkAlternatives, checkPictures, checkSize, checkUnsubscribe, checkDefects,
	} {
		one(m, add)
	}
	if thorough {
		checkSupport(m, add)
	}
	// What is wrong comes first; within a rank the order is that of the checks.
	rank := map[string]int{"problem": 0, "advice": 1, "good": 2}
	slices.SortStableFunc(out, func(a, b finding) int { return rank[a.Level] - rank[b.Level] })
	return out
}

// problems counts what is not good.
func problems(findings []finding) (n int) {
	for _, f := range findings {
		if f.Level == "problem" {
			n++
		}
	}
	return n
}

// checkFields looks for the fields without which a message is refused or
// distrusted, and for one that tells what it should hide.
func checkFields(m *mail.Message, add func(level, title, advice string, list ...detail)) {
	if len(m.From) == 0 {
		add("problem", "It has no From", "Every message needs one (RFC 5322, 3.6); servers refuse those without.")
	}
	if m.ID == "" {
		add("problem", "It has no Message-ID", "Give it one (RFC 5322, 3.6.4): filters distrust those without, and threads and receipts need it.")
	}
	if m.Date.IsZero() {
		add("problem", "It has no Date that can be read", "Every message needs one (RFC 5322, 3.6); readers sort by it.")
	}
	// Characters, not octets: it is the width on a screen that counts.
	switch n := len([]rune(m.Subject)); {
	case strings.TrimSpace(m.Subject) == "":
		add("advice", "It has no subject", "Readers show “(no subject)” and filters distrust it.")
	case n > longSubject:
		add("advice", fmt.Sprintf("The subject has %d characters", n), "Phones show some 40 and lists some 70: say what matters first.")
	}
	if m.Header.Has("Bcc") {
		add("problem", "It names its hidden recipients", "Take Bcc out before it is sent (RFC 5322, 3.6.3): everybody can read it.")
	}
}

// checkAlternatives compares the text with what the HTML says. A text that is only
// there for the filters is a tenth of it: real ones are shorter by their links.
func checkAlternatives(m *mail.Message, add func(level, title, advice string, list ...detail)) {
	text, made := strings.TrimSpace(m.Text), strings.TrimSpace(mail.TextFromHTML(m.HTML))
	switch {
	case m.HTML == "" && text == "":
		add("advice", "It has no text at all", "Say in the text what is attached: an empty message looks like a mistake.")
	case m.HTML == "":
		add("good", "It is plain text, which everybody can read", "")
	case text == "":
		add("problem", "It has HTML but no text part", "Add a text/plain alternative: watches, screen readers and lists of messages show it, and filters count its absence.")
	case len(made) > 400 && len(text) < len(made)/10:
		add("advice", "The text part says much less than the HTML", "Readers of the text should get the same message, not a request to use another program.")
	default:
		add("good", "It has HTML and a text part", "")
	}
}

// checkPictures says which pictures will not be seen, and by whom. That one is
// loaded from elsewhere is advice alone: nearly all mail of shops does so.
func checkPictures(m *mail.Message, add func(level, title, advice string, list ...detail)) {
	if m.HTML == "" {
		return
	}
	found := inspect(m)
	if n := len(found.missing); n > 0 {
		add("problem", plural(n, "picture is", "pictures are")+" missing in the message",
			"The HTML shows them by cid: (RFC 2392), but no part of a type that browsers show has that Content-ID.", listed("cid:", found.missing)...)
	}
	var unused []string
	for _, a := range m.Attachments {
		// A file that is attached may have a Content-ID and mean nothing by it.
		if a.CID != "" && !found.used[a.CID] && a.Part().Disposition() == "inline" && strings.HasPrefix(a.Type, "image/") {
			unused = append(unused, a.CID)
		}
	}
	if len(unused) > 0 {
		add("advice", plural(len(unused), "embedded picture is", "embedded pictures are")+" shown nowhere",
			"Readers list them as attachments, or hide them: use them in the HTML or leave them out.", listed("cid:", unused)...)
	}
	if found.unnamed > 0 {
		add("advice", plural(found.unnamed, "picture has", "pictures have")+" no alt text",
			"Most readers block remote pictures at first and show alt in their place; screen readers read it. alt=\"\" is right for ornaments.")
	}
	if found.pixels > 0 {
		add("advice", plural(found.pixels, "picture is", "pictures are")+" one pixel large", "That is how opening is tracked. Apple's and Google's programs fetch pictures by themselves, so that it says little.")
	}
	if found.remote > 0 {
		add("advice", plural(found.remote, "thing is", "things are")+" loaded from elsewhere", "Readers that block remote content show the message without: look at it with images blocked.")
	}
	if len(found.missing)+len(unused)+found.unnamed+found.remote == 0 && len(found.used) > 0 {
		add("good", "Every picture is in the message", "")
	}
}

// listed shows the first few of many.
func listed(prefix string, items []string) []detail {
	var out []detail
	for i, item := range items {
		if i == 10 {
			return append(out, detail{Text: fmt.Sprintf("and %d more", len(items)-i)})
		}
		out = append(out, detail{Text: prefix + oneLine(item, 100)})
	}
	return out
}

// checkSize holds the HTML alone against Gmail's limit, which counts neither
// pictures nor the other alternative.
func checkSize(m *mail.Message, add func(level, title, advice string, list ...detail)) {
	if m.HTML == "" {
		return
	}
	size := human.Size(int64(len(m.HTML)))
	if len(m.HTML) > clip {
		add("problem", "The HTML has "+size+", and Gmail clips it after 102 KiB",
			"What comes behind, often the link to unsubscribe, is hidden under “View entire message”. Move styles into classes, drop comments and unused rules.")
		return
	}
	add("good", "The HTML has "+size+"; Gmail clips it after 102 KiB", "")
}

// unsubscribe are the pieces of List-Unsubscribe: URLs in angle brackets, comments,
// which stand beside the URLs in RFC 2369's own examples, and what should not be there.
var unsubscribe = regexp.MustCompile(`<[^>]*>?|\((?:[^()\\]|\\.)*\)|[^,<(]+|\(`)

// checkUnsubscribe looks at what bulk mail must have since 2024 to reach the
// users of Gmail and Yahoo: one click (RFC 8058) beside the older field (RFC
// 2369).
func checkUnsubscribe(m *mail.Message, add func(level, title, advice string, list ...detail)) {
	h := m.Header
	if !h.Has("List-Unsubscribe") {
		precedence := strings.ToLower(h.Value("Precedence"))
		if h.Has("List-Id") || precedence == "bulk" || precedence == "list" {
			add("problem", "It is bulk mail and has no List-Unsubscribe",
				"Add List-Unsubscribe: <https://…> and List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 2369, RFC 8058): Gmail and Yahoo want both.")
		}
		return
	}
	secure, wrong := false, []string(nil)
	for _, link := range unsubscribe.FindAllString(h.Value("List-Unsubscribe"), -1) {
		if link = strings.TrimSpace(link); link == "" || strings.HasPrefix(link, "(") && len(link) > 1 {
			continue
		}
		inner, ok := strings.CutPrefix(link, "<")
		inner, closed := strings.CutSuffix(inner, ">")
		// One that cannot be read is a mistake worth telling, though others may be right.
		u, err := url.Parse(inner)
		if !ok || !closed || err != nil || u.Scheme != "mailto" && u.Host == "" || !slices.Contains([]string{"http", "https", "mailto"}, u.Scheme) {
			wrong = append(wrong, link)
			continue
		}
		secure = secure || u.Scheme == "https"
	}
	if len(wrong) > 0 {
		add("problem", "List-Unsubscribe cannot be read", "It is a list of URLs, each in angle brackets, with commas between (RFC 2369, 2).", listed("", wrong)...)
		return
	}
	// Folding may have put white space into it.
	post := strings.ReplaceAll(strings.ToLower(h.Value("List-Unsubscribe-Post")), " ", "")
	switch {
	case post == "":
		add("advice", "Unsubscribing takes more than one click", "Add List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 8058); Gmail and Yahoo want it of bulk mail.")
	case post != "list-unsubscribe=one-click":
		add("problem", "List-Unsubscribe-Post is wrong", "Its only value is List-Unsubscribe=One-Click (RFC 8058, 3.1).")
	case !secure:
		add("problem", "One-click unsubscribing has no https link", "List-Unsubscribe must have an https URL for it (RFC 8058, 3.1).")
	default:
		add("good", "It can be unsubscribed from with one click", "")
	}
}

// checkDefects passes on what the parser had to guess at. It reads such messages
// anyway; another reader guesses otherwise.
func checkDefects(m *mail.Message, add func(level, title, advice string, list ...detail)) {
	if len(m.Defects) == 0 {
		add("good", "Nothing in it is against the standards of mail", "")
		return
	}
	var list []detail
	for _, d := range m.Defects {
		list = append(list, detail{Text: oneLine(d.String(), 300)})
	}
	add("problem", plural(len(list), "thing in it is", "things in it are")+" not as the standards want it", "Other readers may see it in another way than this page.", list...)
}
