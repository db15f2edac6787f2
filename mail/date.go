package mail

import (
	"strings"
	"time"
)

// Dates (RFC 5322, 3.3 and 4.3), with what the wild makes of them: no day of the week or a wrong one, names of months in
// full, one digit where two belong, names of zones, comments anywhere, no zone at all.
//
// A date is cut into words, and each word is known by its looks and place; there is no grammar to fail in the
// middle of. What comes out is a moment with the offset that was written, since "9:00 -0500" tells when it was
// sent by the clock there. What would have to be guessed (no month, no clock, the 31st of April) is no date.

// ParseDate reads the date of a field leniently. The error says that it is none.
// The time is in UTC if the zone is zero, missing or unknown, else in a zone without a name. With an error it
// is the zero time. It may be called by several goroutines at once.
func ParseDate(s string) (time.Time, error) {
	if t, ok := parseDate(s); ok {
		return t, nil
	}
	return time.Time{}, &dateError{s}
}

// The text is made when it is asked for: those who only want to know whether it is a date pay nothing for it.
type dateError struct{ s string }

// Error shows at most 60 octets of what was no date.
func (e *dateError) Error() string {
	return "mail: no date: " + strings.ToValidUTF8(e.s[:min(len(e.s), 60)], "?")
}

// appendDate appends a date as fields have it. A zone of -00:00 cannot be told from UTC here; UTC is +0000.
// RFC 5322, 3.3 gives -00:00 a meaning of its own, that nothing is known of the local zone; a time.Time has no
// place for it. Names are English whatever the locale, for they are syntax and not text.
func appendDate(b []byte, t time.Time) []byte {
	const days, months = "SunMonTueWedThuFriSat", "JanFebMarAprMayJunJulAugSepOctNovDec"
	year, month, day := t.Date()
	// RFC 5322, 3.3: a year has four digits or more. The quick way writes four.
	if year < 1000 || year > 9999 {
		return t.AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 -0700")
	}
	hour, minute, second := t.Clock()
	_, offset := t.Zone()
	two := func(n int) { b = append(b, byte('0'+n/10), byte('0'+n%10)) }
	weekday := int(t.Weekday()) * 3
	b = append(append(b, days[weekday:weekday+3]...), ", "...)
	two(day)
	b = append(append(append(b, ' '), months[3*month-3:3*month]...), ' ')
	two(year / 100)
	two(year % 100)
	b = append(b, ' ')
	two(hour)
	b = append(b, ':')
	two(minute)
	b = append(b, ':')
	two(second)
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b = append(b, ' ', sign)
	// RFC 5322, 3.3 has hours and minutes alone. Offsets with seconds, as all were before 1900 or so, are cut.
	two(offset / 3600 % 100)
	two(offset / 60 % 60)
	return b
}

// parseDate reads a date without making an error of one that is none: a parser of whole messages only wants to know.
func parseDate(s string) (time.Time, bool) {
	// A date has eight words at the most, am or pm and a zone's name among them; what comes after twelve is dropped.
	var words [12]string
	w := words[:dateWords(words[:], s)]
	// The day of the week is passed over, right or wrong: it says nothing that the date does not.
	if len(w) > 0 && !startsWithDigit(w[0]) && len(w) > 1 && startsWithDigit(w[1]) {
		w = w[1:]
	}
	var day, year, month int
	var ok bool
	switch {
	// RFC 5322, 3.3, the usual order: day, month, year, clock. A year of one digit is none (RFC 5322, 4.3).
	case len(w) >= 4 && startsWithDigit(w[0]):
		day, _ = number(w[0])
		month = monthNumber(w[1])
		year, ok = number(w[2])
		ok = ok && len(w[2]) >= 2
		w = w[3:]
	case len(w) >= 4 && monthNumber(w[1]) > 0:
		// QUIRK: ctime's order, "Mon Jan 02 15:04:05 2006", with the zone before or behind the year.
		month = monthNumber(w[1])
		day, _ = number(w[2])
		// The year is the one word of four digits without a sign; a zone has a sign or letters.
		clock := w[3]
		for _, x := range w[4:] {
			if y, is := number(x); is && len(x) == 4 && x[0] != '+' && x[0] != '-' {
				year, ok = y, true
			}
		}
		rest := []string{clock}
		for _, x := range w[4:] {
			if y, is := number(x); !is || y != year || x[0] == '+' || x[0] == '-' {
				rest = append(rest, x)
			}
		}
		w = rest
	}
	if !ok || month == 0 || day < 1 || day > 31 || len(w) == 0 {
		return time.Time{}, false
	}
	year = fullYear(year)
	// A clock that is none makes the date none: midnight would be a guess that sorts mail wrongly.
	hour, minute, second, ok := clockTime(w)
	if !ok || year > 9999 {
		return time.Time{}, false
	}
	loc := time.UTC
	if len(w) > 1 {
		loc = zone(w[1])
	}
	// time.Date takes any day and counts on into the next month.
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, loc)
	return t, t.Day() == day // the 31st of April is none
}

// fullYear returns the year that is meant by one of fewer digits.
func fullYear(year int) int {
	switch {
	case year < 50:
		return year + 2000 // RFC 5322, 4.3
	// RFC 5322, 4.3: two digits from 50 on, and all of three, count from 1900. QUIRK: programs that print
	// tm_year wrote 100 to 125 for 2000 to 2025, and this is what they meant.
	case year < 1000:
		return year + 1900
	}
	return year
}

// dateWords cuts a date at white space, commas and hyphens between names, without its comments.
// Comments nest and may be anywhere (RFC 5322, 3.2.2); the one that is seen daily is the zone's name at the
// end, "(CET)".
func dateWords(words []string, s string) int {
	n, start, depth := 0, -1, 0
	flush := func(end int) {
		if start >= 0 && n < len(words) {
			words[n] = s[start:end]
			n++
		}
		start = -1
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '(':
			flush(i)
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case isSpace(c) || c == ',' || c == '-' && start >= 0 && i+1 < len(s) && n < 4:
			flush(i)
			// QUIRK: "1-Jan-2006". A hyphen behind the clock begins a zone.
			if c == '-' && n >= 4 {
				start = i
			}
		case start < 0:
			start = i
		case (c == '+' || c == '-') && n >= 3:
			// QUIRK: the zone stuck to the clock.
			flush(i)
			start = i
		}
	}
	flush(len(s))
	return n
}

// startsWithDigit tells days, years and clocks from names.
func startsWithDigit(s string) bool { return s != "" && '0' <= s[0] && s[0] <= '9' }

// number reads a number of at most five digits: longer ones are no part of a date, and would overflow somewhere.
// A sign makes it no number: a zone must not be taken for a year.
func number(s string) (int, bool) {
	n := 0
	if len(s) == 0 || len(s) > 5 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// monthNumber reads a month by the first three letters of its name, so that September and Sept are read too; 0 if it is
// none.
// QUIRK: a few web shops write the month as a number, 01-02-2006. It is read as day, month, year, as Europe and
// the field itself have it.
func monthNumber(s string) int {
	if len(s) < 3 {
		if n, ok := number(s); ok && n <= 12 {
			return n
		}
		return 0
	}
	// In one string, so that looking a name up costs no table and no allocation.
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	b := [3]byte{lower(s[0]), lower(s[1]), lower(s[2])}
	for i := 0; i < len(names); i += 3 {
		if names[i:i+3] == string(b[:]) {
			return i/3 + 1
		}
	}
	return 0
}

// clockTime reads hh:mm[:ss], with dots for the colons too. A leap second is the second before it.
// QUIRK: dots for the colons are what programs in Finnish, Italian and Danish locales write; pm comes from
// shells and spreadsheets. RFC 5322, 3.3 allows a second of 60, which time.Time does not know.
func clockTime(w []string) (h, m, s int, ok bool) {
	text := w[0]
	var f [3]int
	for i := range f {
		end := strings.IndexAny(text, ":.")
		if end < 0 {
			end = len(text)
		}
		n, is := number(text[:end])
		if !is {
			return 0, 0, 0, i > 1
		}
		f[i] = n
		if end == len(text) {
			if i == 0 {
				return 0, 0, 0, false
			}
			break
		}
		text = text[end+1:]
	}
	// Twelve pm is noon, and stays what it is.
	if len(w) > 1 && equalFold(w[1], "pm") && f[0] < 12 {
		f[0] += 12
	}
	if f[2] == 60 {
		f[2] = 59
	}
	return f[0], f[1], f[2], f[0] < 24 && f[1] < 60 && f[2] < 60
}

// zone reads a zone: an offset, or a name of RFC 5322, 4.3. What is not known is UTC, as -0000 is.
func zone(s string) *time.Location {
	if len(s) >= 3 && (s[0] == '+' || s[0] == '-') {
		digits := strings.ReplaceAll(s[1:], ":", "")
		n, ok := number(digits)
		// Two digits are hours alone.
		if len(digits) == 2 {
			n *= 100
		}
		// QUIRK: +05:30 is the form of RFC 3339, +02 what PostgreSQL prints: both are in mail from scripts.
		if ok && n%100 < 60 && n < 2400 {
			seconds := (n/100*60 + n%100) * 60
			if s[0] == '-' {
				seconds = -seconds
			}
			if seconds == 0 {
				return time.UTC
			}
			return time.FixedZone("", seconds)
		}
		return time.UTC
	}
	hours := 0
	// RFC 5322, 4.3 names the zones of North America and no others; the rest of these is what European and
	// Asian servers write, in the meaning that their senders have. BST is British: nobody in the Aleutians
	// writes the other one. The military letters are UTC, because RFC 822 had them the wrong way round and both
	// ways were written (RFC 5322, 4.3).
	switch strings.ToUpper(s) {
	case "EDT":
		hours = -4
	case "EST", "CDT":
		hours = -5
	case "CST", "MDT":
		hours = -6
	case "MST", "PDT":
		hours = -7
	case "PST":
		hours = -8
	case "CET", "MET", "BST":
		hours = 1
	case "CEST", "MEST", "EET":
		hours = 2
	case "MSK", "EEST":
		hours = 3
	case "JST", "KST":
		hours = 9
	default:
		return time.UTC
	}
	return time.FixedZone("", hours*3600)
}
