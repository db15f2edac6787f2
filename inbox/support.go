package inbox

import (
	"regexp"
	"strings"

	"github.com/postrider/postrider/mail"
)

// What major clients lack of HTML and CSS. The table is our own and small: what
// mail really uses and a major client really drops. Sources: Google's list of
// supported CSS for Gmail (developers.google.com/workspace/gmail/design/css),
// Microsoft's of Word's engine in Outlook for Windows ("Word HTML and CSS
// rendering capabilities in Outlook"), and the public tests of caniemail.com,
// each looked at by what they say and none of their data copied.

// A lack is a feature and who does not have it.
type lack struct {
	name    string
	word    string         // in lower case, without which there is no need to look closer
	found   *regexp.Regexp // in HTML with its styles, in lower case
	missing string         // clients that drop it
	instead string
}

// lacks returns the table. Compiling it is nothing beside reading a message.
func lacks() []lack {
	row := func(name, word, found, missing, instead string) lack {
		return lack{name, word, regexp.MustCompile(found), missing, instead}
	}
	return []lack{
		row("<form>", "<form", `<form\b`, "Gmail, Outlook, Yahoo", "Link to a page with the form."),
		row("<script>", "<script", `<script\b`, "every client", "Leave it out: filters count it against you."),
		row("<video>, <audio>", "o", `<(video|audio)\b`, "Gmail, Outlook, Yahoo", "Show a picture that links to it."),
		row("<svg>", "<svg", `<svg\b`, "Gmail, Outlook, Yahoo", "Use a PNG."),
		row("<iframe>, <object>, <embed>", "e", `<(iframe|object|embed)\b`, "every client", "Link to the page."),
		row("<link rel=stylesheet>", "<link", `<link\b[^>]{0,300}stylesheet`, "Gmail, Outlook.com, Yahoo", "Put the styles into the message."),
		row("@import", "@import", `@import\b`, "Gmail, Outlook, Yahoo", "Put the styles into the message."),
		row("@font-face", "@font-face", `@font-face\b`, "Gmail, Outlook, Yahoo", "Name a font that everybody has behind it."),
		row("WebP pictures", "webp", `\.webp\b|image/webp`, "Outlook for Windows", "Use JPEG or PNG."),
		row("data: pictures", "data:image", `src\s*=\s*["']?data:image`, "Gmail, Outlook, Yahoo", "Embed them by cid: or link to them."),
		row("display: flex", "flex", `display\s*:\s*(inline-)?flex`, "Outlook for Windows, older Gmail", "Use tables."),
		row("display: grid", "grid", `display\s*:\s*(inline-)?grid`, "Gmail, Outlook, Yahoo", "Use tables."),
		row("position", "position", `[;"'{\s]position\s*:\s*(absolute|fixed|relative|sticky)`, "Gmail, Outlook, Yahoo", "Use tables and padding."),
		row("background-image", "url(", `background(-image)?\s*:\s*[^;"'}]{0,100}url\(`, "Outlook for Windows", "Give a background colour too, or use VML."),
		row("CSS variables", "var(", `var\(\s*--`, "Gmail, Outlook, Yahoo", "Write the values out."),
		row("calc()", "calc(", `:\s*calc\(`, "Outlook for Windows", "Write the value out."),
		row("border-radius", "border-radius", `border-radius\s*:`, "Outlook for Windows", "Corners will be square; nothing else breaks."),
		row("box-shadow", "box-shadow", `box-shadow\s*:`, "Gmail, Outlook for Windows", "It will be missing; nothing else breaks."),
		row("max-width", "max-width", `[;"'{\s]max-width\s*:`, "Outlook for Windows", "Set a width on a table in a conditional comment."),
		row("margin: auto", "auto", `margin\s*:\s*[^;"'}]{0,40}auto`, "Outlook for Windows", `Use align="center".`),
		row("animation", "animation", `animation(-name)?\s*:`, "Gmail, Outlook for Windows, Yahoo", "The first frame must do."),
		row("prefers-color-scheme", "prefers-color-scheme", `prefers-color-scheme`, "Gmail, Outlook for Windows", "They invert colours by themselves: look at the dark preview without your styles."),
		row(":hover", ":hover", `:hover\b`, "Outlook for Windows, phones", "It must not carry meaning."),
	}
}

// checkSupport names what some client will not show as it is meant.
func checkSupport(m *mail.Message, add func(level, title, advice string, list ...string)) {
	if m.HTML == "" {
		return
	}
	text, _ := cut(m.HTML, shownText)
	text = strings.ToLower(text)
	var list []string
	for _, l := range lacks() {
		if strings.Contains(text, l.word) && l.found.MatchString(text) {
			list = append(list, l.name+": not in "+l.missing+". "+l.instead)
		}
	}
	// Gmail drops all style sheets if one is larger than it likes.
	if n := longestStyle(text); n > maxStyle {
		list = append(list, "a style sheet of more than 16 KiB: Gmail drops it whole. Make it smaller.")
	}
	if len(list) > 0 {
		add("advice", plural(len(list), "feature is", "features are")+" not shown by every major client", "", list...)
		return
	}
	add("good", "Every feature that it uses is shown by all major clients", "")
}

const maxStyle = 16 << 10 // octets of one style element

// longestStyle returns how long the longest style element is.
func longestStyle(text string) (longest int) {
	for {
		_, rest, found := strings.Cut(text, "<style")
		if !found {
			return longest
		}
		sheet, after, _ := strings.Cut(rest, "</style")
		longest, text = max(longest, len(sheet)), after
	}
}
