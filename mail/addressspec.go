package mail

import "strings"

// The parts of an address: phrases, comments, routes and addr-specs, from the tokens of one entry.
//
// An addr-spec comes out as it was written, with its quoting, but without comments and folds, which belong to
// the field and not to the address. A name comes out as people read it. What is decoded is never looked at for
// structure again, so an encoded word cannot bring an @, a comma or a bracket into play (RFC 2047, 6.2).

// route reads what was in angle brackets: an addr-spec, which may have a source route before it. The route is dropped,
// as RFC 5321, 4.1.1.3 and RFC 5322, 4.4 want it: it is never followed.
func (r *addressReader) route(in string, base int) string {
	if !r.strict {
		// QUIRK: <<a@b>> and <mailto:a@b>, from web forms and scripts.
		in = strings.TrimLeft(in, "< \t")
		if rest, ok := cutPrefixFold(in, "mailto:"); ok {
			in, _, _ = strings.Cut(rest, "?")
		}
	}
	sub := addressReader{s: in, p: r.p, strict: r.strict, inGroup: true} // in a group, so that ':' comes as a token
	for sub.pos < len(in) && sub.err == nil {
		c := in[sub.pos]
		if c == ',' || c == ':' || c == ';' || c == '<' {
			sub.toks = append(sub.toks, token{kind: c, start: sub.pos, end: sub.pos + 1})
			sub.pos++
			continue
		}
		sub.token()
	}
	// Comments may stand before the route as well as before the address (RFC 5322, 3.2.2).
	toks := sub.toks
	for len(toks) > 0 && toks[0].kind == '(' {
		toks = toks[1:]
	}
	// RFC 5322, 4.4, obs-route: @host,@host: before the address. It is known by its @ at the very beginning.
	if len(toks) > 0 && (toks[0].kind == '@' || toks[0].kind == ',') {
		for i, t := range toks {
			if t.kind == ':' {
				toks = toks[i+1:]
				break
			}
		}
	}
	addr := sub.spec(toks)
	// The inner error counts octets from the bracket on; the outer one says where in the list that is.
	if sub.err != nil {
		r.fail(base, "an address that is none")
	}
	return addr
}

// spec puts an addr-spec together from its tokens, without comments and white space (RFC 5322, 3.4.1 and 4.4).
func (r *addressReader) spec(toks []token) string {
	for len(toks) > 0 && toks[0].kind == '(' {
		toks = toks[1:]
	}
	for len(toks) > 0 && toks[len(toks)-1].kind == '(' {
		toks = toks[:len(toks)-1]
	}
	if len(toks) == 0 {
		return ""
	}
	// It is kept with all its oddities rather than mended: an address that we made up might exist. Writing
	// refuses it.
	if !r.specOrder(toks) {
		r.fail(toks[0].start, "an address that is none, kept as it is")
		return unfold(trimSpace(r.s[toks[0].start:toks[len(toks)-1].end]))
	}
	// Nearly every address is one stretch of the text, and then its string is a piece of the field's, not a
	// copy.
	whole := true
	for i, t := range toks {
		whole = whole && t.kind != '(' && (i == 0 || !t.space)
	}
	if whole {
		return unfold(r.s[toks[0].start:toks[len(toks)-1].end])
	}
	var b strings.Builder
	for _, t := range toks {
		if t.kind != '(' {
			b.WriteString(r.s[t.start:t.end])
		}
	}
	return unfold(b.String())
}

// specOrder says whether the tokens are word *("." word) "@" (atom *("." atom) / literal), comments aside.
// A quoted string may be one word of several (RFC 5322, 4.4, obs-local-part): "a b".c@d. Empty words may not
// be. QUIRK: Japanese mobile carriers gave out addresses with two dots in a row and one before the @
// until 2009. Those are kept as they are by the caller, with a defect.
func (r *addressReader) specOrder(toks []token) bool {
	at, word := false, false // behind the @; the last token was a word
	for _, t := range toks {
		switch t.kind {
		case '(':
		case '@':
			if at || !word {
				return false
			}
			at, word = true, false
		case '.':
			if !word {
				return false
			}
			word = false
		// Behind the @ an atom must also be something that a host can be called; before it any atom will do.
		case 'a', 'w':
			if word || at && !isDomain(r.s[t.start:t.end]) {
				return false
			}
			word = true
		case '"':
			if word || at || !isQuotedString(unfold(r.s[t.start:t.end])) {
				return false
			}
			word = true
		case '[':
			if word || !at || !isDtext(unfold(r.s[t.start:t.end])) {
				return false
			}
			word = true
		default:
			return false
		}
	}
	return at && word
}

// phrase gives the name that the tokens make, in one line.
// A line break in a name would be a new field wherever the name is written next.
func (r *addressReader) phrase(toks []token) string { return cleanLine(r.rawPhrase(toks)) }

// rawPhrase puts the name together: quoted strings without their quotes, encoded words decoded, one space
// where there was any white space, comments left out (RFC 5322, 3.2.5; RFC 2047, 5, rule 3).
func (r *addressReader) rawPhrase(toks []token) string {
	if len(toks) == 0 {
		return ""
	}
	// These three are nearly every name there is; the long way below is for those that mix quotes, comments and
	// words.
	if len(toks) == 1 && toks[0].kind == 'a' {
		return r.p.words(r.s[toks[0].start:toks[0].end])
	}
	if len(toks) == 1 && toks[0].kind == '"' {
		return r.unquote(toks[0])
	}
	if atoms(toks) {
		return r.p.words(collapse(r.s[toks[0].start:toks[len(toks)-1].end]))
	}
	var b []byte
	for i := 0; i < len(toks); {
		t := toks[i]
		// White space of any length is one space to a reader (RFC 5322, 3.2.2), and none at the edges.
		if t.space && len(b) > 0 && b[len(b)-1] != ' ' {
			b = append(b, ' ')
		}
		switch t.kind {
		case '(':
			i++
			continue
		case '"':
			b = append(b, r.unquote(t)...)
			i++
			continue
		}
		// Atoms that follow each other are decoded together: a character may be split between two encoded words.
		j := i + 1
		for j < len(toks) && toks[j].kind != '"' && toks[j].kind != '(' {
			j++
		}
		b = append(b, r.p.words(collapse(r.s[t.start:toks[j-1].end]))...)
		i = j
	}
	return trimSpace(string(b))
}

// atoms says that the tokens are nothing but atoms, encoded words and dots.
// Such a name can be decoded as one text, white space and all.
func atoms(toks []token) bool {
	for _, t := range toks {
		if t.kind != 'a' && t.kind != 'w' && t.kind != '.' {
			return false
		}
	}
	return true
}

// unquote gives the content of a quoted string.
func (r *addressReader) unquote(t token) string {
	s := unescape(unfold(r.s[t.start+1 : t.end-1]))
	if !r.strict && strings.Contains(s, "=?") {
		// QUIRK: RFC 2047, 5, rule 3 forbids encoded words in quotes; very many programs write them, and mean them.
		s = r.p.words(s)
	}
	return s
}

// comment gives the last comment as a name: the way of old Unix mail, a@b (Ann Example).
// It is still what cron, mail(1) and old list archives write. The form was never in the grammar: RFC 5322, 3.4
// says only that it has been seen, and that new programs should not make it.
func (r *addressReader) comment(toks []token) string {
	for i := len(toks) - 1; i >= 0; i-- {
		if t := toks[i]; t.kind == '(' {
			return cleanLine(r.p.words(trimSpace(unescape(collapse(r.s[t.start+1 : t.end-1])))))
		}
	}
	return ""
}

// withoutComments leaves the comments out of the tokens, in place; they separate as white space does.
// The tokens are the reader's own, made anew for each entry, so nobody sees that they were moved.
func withoutComments(toks []token) []token {
	out, space := toks[:0], false
	for _, t := range toks {
		if t.kind == '(' {
			space = true
			continue
		}
		t.space = t.space || space
		out, space = append(out, t), false
	}
	return out
}

// onlyComments says that nothing is left but comments, which may be anywhere (RFC 5322, 3.2.2).
func onlyComments(toks []token) bool {
	for _, t := range toks {
		if t.kind != '(' {
			return false
		}
	}
	return true
}

// unescape takes the backslashes of quoted pairs away (RFC 5322, 3.2.1).
// A backslash at the very end escapes nothing and stays: it was not the reader's to drop.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// collapse makes one space of each run of white space.
// Most names have single spaces already: they are looked over first, and then nothing is copied.
func collapse(s string) string {
	clean := true
	for i := range len(s) {
		if isSpace(s[i]) && (s[i] != ' ' || i > 0 && s[i-1] == ' ') {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch {
		case !isSpace(s[i]):
			b = append(b, s[i])
		case len(b) == 0 || b[len(b)-1] != ' ':
			b = append(b, ' ')
		}
	}
	return string(b)
}
