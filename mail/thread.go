package mail

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Threads: which messages answer each other, by their identifiers (RFC 5322, 3.6.4) and by what is left of their subjects
// once "Re:" and its kind are gone (RFC 5256, 2.1).
//
// One function knows what a reply's and a forward's prefix is, so that what an answer puts before a subject is what the base
// subject drops. Subjects and lists of identifiers come from anybody: each is walked over once.

const (
	maxReferences = 100 // of one reply; the first message of a thread and the last ones
	spaces        = " \t"
)

// BaseSubject gives what a conversation is about: a decoded subject without "Re:", "Fwd:", "[list]" and "(fwd)", however many
// there are, and with single spaces (RFC 5256, 2.1). Two subjects are the same if their bases are, case aside. Beside the RFC's
// prefixes it knows some of other languages, such as "AW:". It is empty if there was nothing else.
func BaseSubject(subject string) string {
	s := strings.Join(strings.Fields(subject), " ") // step 1
	for {
		// Steps 2 to 5, until nothing more goes.
		for len(s) >= len("(fwd)") && equalFold(s[len(s)-len("(fwd)"):], "(fwd)") {
			s = strings.TrimRight(s[:len(s)-len("(fwd)")], " ")
		}
		s = cutLeaders(s)
		// Step 6: "[fwd: a subject]", as some programs forward.
		inner, ok := cutPrefixFold(s, "[fwd:")
		if !ok || !strings.HasSuffix(inner, "]") {
			return s
		}
		s = strings.Trim(inner[:len(inner)-1], " ")
	}
}

// cutLeaders drops prefixes, and with them what is in brackets before them or stands before other text.
func cutLeaders(s string) string {
	for {
		prefix, after := subjectPrefix(s)
		if prefix == "" {
			// A list's name goes if something is left without it; then so does a prefix that comes behind it.
			var ok bool
			if after, ok = cutBlob(s); !ok || after == "" {
				return s
			}
		}
		s = after
	}
}

// cutBlob cuts brackets with anything but brackets in them, and the spaces behind them: subj-blob of RFC 5256, 5.
func cutBlob(s string) (rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]") + 1
	if end == 0 || s[end] == '[' {
		return s, false
	}
	return strings.TrimLeft(s[end+1:], spaces), true
}

// replyWords and forwardWords are what stands before a colon. QUIRK: other languages have other words than RFC 5256; these
// are those of Outlook and others in German, Scandinavia, the Netherlands and France.
var (
	replyWords   = []string{"re", "aw", "sv", "antw"}
	forwardWords = []string{"fwd", "fw", "wg", "tr"}
)

// subjectPrefix cuts a prefix from the beginning of a subject, and says which of "Re: " and "Fwd: " it means; "" if there is
// none. It is subj-refwd of RFC 5256, 5. QUIRK: some programs count in it: "Re[2]:", "Re(2):".
func subjectPrefix(s string) (prefix, rest string) {
	n := 0
	for n < len(s) && n < len("antw") && isLetterDigit(s[n]) {
		n++
	}
	is := func(word string) bool { return equalFold(word, s[:n]) }
	switch {
	case slices.ContainsFunc(replyWords, is):
		prefix = "Re: "
	case slices.ContainsFunc(forwardWords, is):
		prefix = "Fwd: "
	default:
		return "", s
	}
	rest = strings.TrimLeft(s[n:], spaces)
	if after, ok := cutBlob(rest); ok {
		rest = after
	} else if strings.HasPrefix(rest, "(") {
		_, after, _ := strings.Cut(rest, ")")
		rest = strings.TrimLeft(after, spaces)
	}
	after, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return "", s
	}
	return prefix, strings.TrimLeft(after, spaces)
}

// prefixSubject puts "Re: " or "Fwd: " before a subject that has none of its kind (RFC 5322, 3.6.5).
func prefixSubject(prefix, subject string) string {
	subject = strings.TrimSpace(cleanLine(subject))
	for {
		has, rest := subjectPrefix(subject)
		if has != prefix {
			return prefix + subject
		}
		subject = rest
	}
}

// ThreadKeys gives keys of which messages of one conversation share at least one: an identifier that both are or name in
// References or In-Reply-To, together with the base subject, so that a reply to an old message about something new begins a
// new conversation (RFC 8621, 3). Keys are of 32 characters, to be looked up in an index: a message belongs to the
// conversation of whatever has one of its keys, and one that finds several joins them. There are none for a message
// without identifiers.
func (m *Message) ThreadKeys() []string {
	// RFC 8621, 3: white space is passed over; RFC 5256, 2.1: so is case.
	base := strings.ReplaceAll(strings.ToLower(BaseSubject(m.Subject)), " ", "")
	// A key is a hash since a subject goes into each: a long one with many references would otherwise be many long ones.
	about := sha256.Sum256([]byte(base))
	var keys []string
	seen := map[string]bool{"": true}
	for _, list := range [...][]string{m.References, m.InReplyTo, {m.ID}} {
		for _, id := range list {
			if id = trimID(id); seen[id] {
				continue
			}
			seen[id] = true
			sum := sha256.Sum256(append(about[:], id...))
			keys = append(keys, hex.EncodeToString(sum[:16]))
		}
	}
	return keys
}

// thread makes r the next message of m's thread (RFC 5322, 3.6.4).
func (r *Message) thread(m *Message) {
	usable := func(id string) bool { return validID(trimID(id), false) }
	refs := m.References
	// RFC 5322, 3.6.4: In-Reply-To stands in for References if it names one message alone.
	if len(refs) == 0 && len(m.InReplyTo) == 1 {
		refs = m.InReplyTo
	}
	for _, id := range refs {
		if usable(id) && id != m.ID {
			r.References = append(r.References, id)
		}
	}
	if usable(m.ID) {
		r.InReplyTo = []string{m.ID}
		r.References = append(r.References, m.ID)
	}
	if n := len(r.References); n > maxReferences {
		r.References = append(r.References[:1], r.References[n-maxReferences+1:]...)
	}
}
