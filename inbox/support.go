package inbox

import (
	"regexp"
	"strings"

	"github.com/postrider/postrider/mail"
)

// What major clients lack of HTML and CSS. The table is our own and small: what
// mail really uses and one of six clients drops. Each row names where that can be
// read: a feature's page at caniemail.com, whose facts were looked up and whose data
// is not here, or Microsoft's account of what Word leaves out. What a client shows in
// part counts as shown, unless the part that mail uses is the one that is missing.

// A lack is a feature and who does not have it.
type lack struct {
	name    string
	word    string         // in lower case, without which there is no need to look closer
	found   *regexp.Regexp // in HTML with its styles, in lower case
	missing string         // clients that drop it
	instead string
	source  string // where that is written, below caniemail.com/features/ or whole
}

// wordEngine is Microsoft's "Word 2007 HTML and CSS rendering capabilities in
// Outlook 2007"; what Outlook for Windows shows is made by Word to this day.
const wordEngine = "https://learn.microsoft.com/previous-versions/office/developer/office-2007/aa338201(v=office.12)"

// lacks returns the table, as of November 2026, over Gmail, Outlook for Windows,
// Outlook.com, Apple Mail, Yahoo and Thunderbird. Compiling it is nothing beside
// reading a message.
func lacks() []lack {
	row := func(name, word, found, missing, instead, source string) lack {
		return lack{name, word, regexp.MustCompile(found), missing, instead, source}
	}
	return []lack{
		row("<form>", "<form", `<form\b`, "Outlook for Windows; Outlook.com sends nothing", "Link to a page with the form.", "html-form"),
		row("<iframe>", "<iframe", `<iframe\b`, "Outlook for Windows", "Link to the page.", wordEngine),
		row("<object>", "<object", `<object\b`, "Gmail, Outlook, Yahoo", "Link to what it shows.", "html-object"),
		row("<video>", "<video", `<video\b`, "Gmail, Outlook, Yahoo", "Show a picture that links to it.", "html-video"),
		row("<audio>", "<audio", `<audio\b`, "Gmail, Outlook, Yahoo", "Link to it.", "html-audio"),
		row("<svg>", "<svg", `<svg\b`, "Gmail, Outlook, Yahoo", "Use a PNG.", "html-svg"),
		row("<picture>", "<picture", `<picture\b`, "Gmail, Outlook, Yahoo", "The <img> in it must do.", "html-picture"),
		row("srcset", "srcset", `\bsrcset\s*=`, "Gmail, Outlook, Yahoo", "The picture in src must do.", "html-srcset"),
		row("<link rel=stylesheet>", "<link", `<link\b[^>]{0,300}stylesheet`, "Gmail, Outlook.com, Yahoo, Thunderbird", "Put the styles into the message.", "html-link"),
		row("@import", "@import", `@import\b`, "Gmail, Outlook.com, Yahoo, Thunderbird", "Put the styles into the message.", "css-at-import"),
		row("@font-face", "@font-face", `@font-face\b`, "Gmail, Outlook.com, Yahoo", "Name a font that everybody has behind it.", "css-at-font-face"),
		row("@media", "@media", `@media\b`, "Outlook for Windows", "Make it readable without: what is wide there stays wide.", "css-at-media"),
		row("WebP pictures", "webp", `\.webp\b|image/webp`, "Outlook for Windows", "Use JPEG or PNG.", "image-webp"),
		row("data: pictures", "data:image", `src\s*=\s*["']?data:image`, "Gmail", "Embed them by cid: or link to them.", "image-base64"),
		row("display: flex", "flex", `display\s*:\s*(inline-)?flex`, "Outlook for Windows", "Use tables.", "css-display-flex"),
		row("display: grid", "grid", `display\s*:\s*(inline-)?grid`, "Outlook for Windows", "Use tables.", "css-display-grid"),
		row("float", "float", `[;"'{\s]float\s*:`, "Outlook for Windows", `Use align="left" or a table.`, "css-float"),
		row("position", "position", `[;"'{\s]position\s*:\s*(absolute|fixed|relative|sticky)`, "Gmail, Outlook; Yahoo has relative alone", "Use tables and padding.", "css-position"),
		row("object-fit", "object-fit", `object-fit\s*:`, "Outlook for Windows, Yahoo", "Give pictures the shape that they are shown in.", "css-object-fit"),
		row("background-image", "url(", `background(-image)?\s*:\s*[^;"'}]{0,100}url\(`, "Outlook for Windows", "Give a background colour too, or use VML.", "css-background-image"),
		row("linear-gradient()", "linear-gradient(", `linear-gradient\(`, "Outlook, Yahoo", "Give a background colour too.", "css-linear-gradient"),
		row("CSS variables", "var(", `var\(\s*--`, "Gmail, Outlook, Yahoo", "Write the values out.", "css-variables"),
		row("calc()", "calc(", `:\s*calc\(`, "Outlook, Yahoo", "Write the value out.", "css-unit-calc"),
		row("clamp()", "clamp(", `[:\s]clamp\(`, "Outlook, Yahoo", "Write one value before it.", "css-function-clamp"),
		row("rem", "rem", `:[^;"'{}]{0,60}\drem\b`, "Outlook for Windows, Yahoo", "Write px.", "css-unit-rem"),
		row("rgba()", "rgba(", `rgba\(`, "Outlook for Windows", "Write a colour without it before.", "css-rgba"),
		row("light-dark()", "light-dark(", `light-dark\(`, "Gmail, Outlook, Yahoo", "Use prefers-color-scheme, and colours that bear being inverted.", "css-function-light-dark"),
		row("filter", "filter", `[;"'{\s]filter\s*:`, "Gmail, Outlook, Yahoo", "Put it into the picture.", "css-filter"),
		row("transform", "transform", `[;"'{\s]transform\s*:`, "Gmail, Outlook, Yahoo", "Put it into the picture.", "css-transform"),
		row("opacity", "opacity", `[;"'{\s]opacity\s*:`, "Outlook for Windows", "Write the colour that comes of it.", "css-opacity"),
		row("border-radius", "border-radius", `border-radius\s*:`, "Outlook for Windows", "Corners will be square; nothing else breaks.", "css-border-radius"),
		row("box-shadow", "box-shadow", `box-shadow\s*:`, "Gmail, Outlook for Windows, Yahoo", "It will be missing; nothing else breaks.", "css-box-shadow"),
		row("text-shadow", "text-shadow", `text-shadow\s*:`, "Gmail, Outlook", "It will be missing; nothing else breaks.", "css-text-shadow"),
		row("gap", "gap", `[;"'{\s](row-|column-)?gap\s*:\s*[.\d]`, "Outlook for Windows, Yahoo", "Use padding.", "css-gap"),
		row("aspect-ratio", "aspect-ratio", `[;"'{\s]aspect-ratio\s*:`, "Gmail, Outlook, Yahoo, Thunderbird", "Give a width and a height.", "css-aspect-ratio"),
		row("max-width", "max-width", `[;"'{\s]max-width\s*:`, "Outlook for Windows, but on tables", "Set a width on a table in a conditional comment.", "css-max-width"),
		row("margin: auto", "auto", `margin\s*:\s*[^;"'}]{0,40}auto`, "Outlook for Windows", `Use align="center".`, "css-margin"),
		row("animation", "animation", `animation(-name)?\s*:`, "Gmail, Outlook, Yahoo, Thunderbird", "The first frame must do.", "css-animation"),
		row("prefers-color-scheme", "prefers-color-scheme", `prefers-color-scheme`, "Gmail, Outlook for Windows, Yahoo, Thunderbird", "They keep the light colours or invert them by themselves: look at the dark preview without your styles.", "css-at-media-prefers-color-scheme"),
		row(":nth-child()", ":nth-", `:nth-(last-)?child\(`, "Gmail, Outlook, Yahoo", "Give what it selects a class.", "css-pseudo-class-nth-child"),
		row("::before and ::after", "content", `::?(before|after)\b`, "Gmail, Outlook for Windows, Yahoo", "Write it into the text.", "css-pseudo-element-before"),
		row(":hover", ":hover", `:hover\b`, "Outlook for Windows; Outlook.com knows it on elements alone", "It must not carry meaning.", "css-pseudo-class-hover"),
	}
}

// checkSupport names what some client will not show as it is meant.
func checkSupport(m *mail.Message, add func(level, title, advice string, list ...detail)) {
	if m.HTML == "" {
		return
	}
	text, _ := cut(m.HTML, shownText)
	text = lower(text)
	var list []detail
	for _, l := range lacks() {
		if !strings.Contains(text, l.word) {
			continue
		}
		if at := l.found.FindStringIndex(text); at != nil {
			list = append(list, detail{Text: l.name + ": not in " + l.missing + ". " + l.instead, at: at[0], end: at[1]})
		}
	}
	// Gmail drops all style sheets if one is larger than it likes.
	if n := longestStyle(text); n > maxStyle {
		list = append(list, detail{Text: "a style sheet of more than 16 KiB: Gmail drops it whole. Make it smaller."})
	}
	if len(list) > 0 {
		add("advice", plural(len(list), "feature is", "features are")+" not shown by every major client", "", list...)
		return
	}
	add("good", "Every feature that it uses is shown by all major clients", "")
}

// lower makes letters of ASCII small and leaves all else where it is: names in HTML
// and CSS have no others, and what is found has a place.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
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
