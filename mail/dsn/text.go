package dsn

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// Reports that are no reports: text for people, of programs that are older than the standard or never heard of it. Two
// ways of saying whom it is about are read, because they cannot be mistaken for something else: qmail's format, and a
// field that names the recipients. Anything more would be guessing in earnest.
//
// A reply by a person who quotes a bounce is no bounce: so the greeting of the one must begin the text, and the field of the
// other be in the header. A wrong guess takes somebody off a list who reads their mail; none at all costs a few bytes more.

// guess reads a report in the text of a message; nil if there is none.
func guess(m *mail.Message) *Report {
	// Both are told by lines, and a text has line ends of its own kind only as far as its sender knew.
	text := strings.ReplaceAll(m.Text, "\r\n", "\n")
	// What is looked for stands at the beginning; the rest is the message that came back.
	text = text[:min(len(text), maxReport)]
	r := &Report{Guessed: true, Recipients: qmail(text)}
	// Of the two forms the stricter is tried first.
	if r.Recipients == nil {
		r.Recipients = failed(m.Header, text)
	}
	if len(r.Recipients) == 0 {
		return nil
	}
	// Whom it is about is known; the header of the message makes it useful, if it is there.
	r.Original = returned(text)
	return r
}

// qmail reads the format of qmail, QSBMF: a first paragraph that begins so, then one for each recipient, up to one that
// begins with a hyphen. Many programs write it, with other words behind the greeting.
func qmail(text string) []Recipient {
	at := strings.Index(text, "Hi. This is the ")
	if at < 0 || strings.TrimSpace(text[:at]) != "" {
		return nil
	}
	var list []Recipient
	for paragraph := range strings.SplitSeq(text[at:], "\n\n") {
		paragraph = strings.TrimLeft(paragraph, "\n")
		if strings.HasPrefix(paragraph, "-") || len(list) == maxRecipients {
			break
		}
		// "<ann@example.com>:" alone on the line; with anything behind it it is a sentence.
		first, rest, _ := strings.Cut(paragraph, "\n")
		who, ok := strings.CutPrefix(strings.TrimSpace(first), "<")
		who, ends := strings.CutSuffix(who, ">:")
		if ok && ends {
			list = append(list, told(who, rest))
		}
	}
	return list
}

// failed reads the recipients in X-Failed-Recipients, which Exim writes and Gmail did. What was said of each stands below
// its address in the text.
func failed(h mail.Header, text string) []Recipient {
	var list []Recipient
	for f := range h.Named("X-Failed-Recipients") {
		for who := range strings.SplitSeq(f.Value(), ",") {
			if who = bare(who); who == "" || !strings.Contains(who, "@") {
				continue
			}
			if len(list) == maxRecipients {
				return list
			}
			list = append(list, told(who, ""))
		}
	}
	below(list, text)
	return list
}

// below finds what the text says of each recipient: the lines behind the one that is its address, up to an empty one. The
// text is read once, however many there are.
func below(list []Recipient, text string) {
	// Of two that are the same the last is found, and the first one stays without words.
	// By address, since a list of a thousand must not be searched for each line.
	places := make(map[string]int, len(list))
	for i := range list {
		places[list[i].Final.Text] = i
	}
	at := -1
	var words strings.Builder
	end := func() {
		if at >= 0 && list[at].Diagnostic.Text == "" {
			list[at] = told(list[at].Final.Text, words.String())
		}
		at = -1
		words.Reset()
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch i, ok := places[bare(strings.TrimSuffix(line, ":"))]; {
		case ok:
			end()
			at = i
		case line == "":
			end()
		case at >= 0:
			words.WriteString(line + "\n")
		}
	}
	end()
}

// told makes a recipient of an address and what was said of it.
func told(who, words string) Recipient {
	who, words = clean(who), clean(strings.Join(strings.Fields(words), " "))
	r := Recipient{Final: Value{"rfc822", who}, Action: Failed, Status: statusIn(words)}
	if words != "" {
		r.Diagnostic = Value{"x-text", words}
	}
	if strings.HasPrefix(r.Status, "4") {
		// A delay is told in the same words; what was given up says so with a 5.
		r.Action = Delayed
	}
	return r
}

// statusIn finds the first enhanced status code among words: those of the host that refused stand before what the reporter adds.
func statusIn(s string) string {
	for word := range strings.FieldsSeq(s) {
		word = strings.TrimLeft(word, "(#[<\"'")
		// QUIRK: "550-5.1.1" in the replies of Gmail, which have more lines than one.
		if len(word) > 4 && (word[3] == '-' || word[3] == ':') {
			word = word[4:]
		}
		if status := Status(word); status != "" {
			return status
		}
	}
	return ""
}

// returned finds the header of the message that came back in the text: behind a line of hyphens and words.
func returned(text string) mail.Header {
	for tried := 0; text != "" && tried < 5; {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		if !strings.HasPrefix(line, "--") {
			continue
		}
		tried++ // each may read the rest of the text
		if h := mail.ParseHeader(strings.TrimLeft(rest, "\n ")); h.Has("From") || h.Has("Received") || h.Has("Message-ID") {
			return h
		}
	}
	return mail.Header{}
}

// unescape reads the characters that RFC 6533, 3 writes as \x{HEX}. What is no character stays as it is.
func unescape(s string) string {
	if !strings.Contains(s, `\x{`) {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		s = rest
		// Unicode ends at 10FFFF: six digits.
		end := strings.IndexByte(rest[:min(len(rest), 7)], '}')
		n, err := strconv.ParseUint(rest[:max(end, 0)], 16, 32)
		if err != nil || !utf8.ValidRune(rune(n)) || n < ' ' {
			b.WriteString(`\x{`)
			continue
		}
		// Only now: everything before it has been said to be a character.
		b.WriteRune(rune(n))
		s = rest[end+1:]
	}
}
