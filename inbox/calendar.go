package inbox

import (
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Calendars (RFC 5545) as people read them: what, when, where, who. Times keep
// their own zone; the organiser meant that one. It is a reader for the eye: one
// pass over the lines, which passes over whatever it does not know.

// The bounds are those of what a person reads. A calendar that has more is an
// export and no invitation; its beginning is shown.
const (
	maxCalendar = 256 << 10 // octets
	maxEvents   = 50
	maxPeople   = 100 // of one event
)

// An event is one of a calendar's.
type event struct {
	Summary, When, Where, Organizer, Description string

	Repeats   string   // its rule in words; "" if it is once
	Except    string   // the days of its rule on which it is not
	Instead   string   // when it would have been: it is one of those that repeat, and has changed
	Method    string   // what is asked of the reader (RFC 5546): REQUEST, CANCEL, REPLY
	Cancelled bool     // by the method or by its own status
	People    []string // those who are invited, or of a REPLY who answers

	// Kept as they are written until the event ends, for each is read by the zone of the
	// start, which may come last.
	start, end, rule, instead property
	duration                  string
	except                    []property
}

// Kind is what the calendar is to its reader, in a word or two (RFC 5546, 1.4).
func (e event) Kind() string {
	kinds := map[string]string{"REQUEST": "invitation", "REPLY": "answer", "ADD": "one more date", "COUNTER": "another time proposed", "DECLINECOUNTER": "other time declined", "REFRESH": "asked for again"}
	if e.Cancelled {
		return "cancelled"
	}
	return kinds[e.Method]
}

// A property is a line of a calendar (RFC 5545, 3.1).
type property struct {
	name, value string
	params      map[string]string
}

// isCalendar tells the media types of calendars: some senders call a file by the other
// name, which was never registered.
func isCalendar(media string) bool { return media == "text/calendar" || media == "application/ics" }

// readCalendar reads a calendar; false if there is no event in it.
func readCalendar(part *mail.Part) ([]event, bool) {
	r, err := part.Reader()
	if err != nil {
		return nil, false
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxCalendar))
	if err != nil {
		return nil, false
	}
	events := parseCalendar(string(b))
	return events, len(events) > 0
}

// parseCalendar reads the events of a calendar, and of one that breaks off what is
// there. It is lenient, as an END that has another name than its BEGIN ends it too.
func parseCalendar(text string) []event {
	var out []event
	var inside *event // the event whose lines these are
	below := 0        // how deep in what an event holds: alarms
	method := ""
	// A line that begins with white space belongs to the one before (RFC 5545, 3.1).
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\r\n", "\n"), "\uFFFD")
	text = strings.NewReplacer("\n ", "", "\n\t", "").Replace(text)
	// One pass, with no tree: what is inside an event is counted, and nothing is kept of
	// what the page does not show, however deep a sender nests it.
	for line := range strings.Lines(text) {
		p := propertyOf(strings.TrimRight(line, "\r\n"))
		switch {
		// What an event holds has a summary and times of its own, which are not the
		// event's (RFC 5545, 3.6.6).
		case p.name == "BEGIN" && inside != nil:
			below++
		case p.name == "BEGIN" && strings.EqualFold(p.value, "VEVENT"):
			if len(out) == maxEvents {
				return out
			}
			out = append(out, event{Method: method, Cancelled: method == "CANCEL"})
			inside = &out[len(out)-1]
		case p.name == "END" && below > 0:
			below--
		case p.name == "END" && inside != nil:
			inside.finish()
			inside = nil
		case inside == nil && p.name == "METHOD":
			method = strings.ToUpper(oneLine(p.value, 20))
		case inside != nil && below == 0:
			inside.take(p)
		}
	}
	// QUIRK: calendars that were cut off in transport.
	if inside != nil {
		inside.finish()
	}
	return out
}

// take puts a property where it belongs.
func (e *event) take(p property) {
	switch p.name {
	case "SUMMARY":
		e.Summary = oneLine(unescape(p.value), 300)
	case "LOCATION":
		e.Where = oneLine(unescape(p.value), 300)
	case "DESCRIPTION":
		e.Description, _ = cut(unescape(p.value), 4000)
	case "STATUS":
		e.Cancelled = e.Cancelled || strings.EqualFold(p.value, "CANCELLED")
	case "RRULE":
		e.rule = p
	case "EXDATE":
		e.except = append(e.except, p)
	case "RECURRENCE-ID":
		e.instead = p
	case "DTSTART":
		e.start = p
	case "DTEND":
		e.end = p
	case "DURATION":
		e.duration = p.value
	case "ORGANIZER":
		e.Organizer = personOf(p)
	case "ATTENDEE":
		if len(e.People) < maxPeople {
			e.People = append(e.People, personOf(p))
		}
	}
}

// finish puts into words what depends on the start.
func (e *event) finish() {
	e.When = whenOf(e.start, e.end, e.duration)
	if e.rule.value != "" {
		e.Repeats = repeatsOf(e.rule.value, e.start)
	}
	if e.instead.value != "" {
		e.Instead = whenOf(e.instead, property{}, "")
	}
	// What cannot be read is left out: the dates are a help, and the rule stands anyway.
	var days []string
	for _, p := range e.except {
		for value := range strings.SplitSeq(p.value, ",") {
			if len(days) == maxPeople {
				break // each of them looks its zone up
			}
			if day, ok := dayOf(value, property{params: p.params}); ok {
				days = append(days, day)
			}
		}
	}
	e.Except = strings.Join(days, ", ")
}

// propertyOf takes a line apart: NAME;PARAM=value;PARAM="value":value. Names come
// out in upper case.
func propertyOf(line string) property {
	p := property{params: map[string]string{}}
	// A colon or semicolon in quotes is part of a value: "mailto:ann@example.com".
	quoted, from := false, 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ';' || c == ':'):
			if field := line[from:i]; p.name == "" {
				p.name = strings.ToUpper(field)
			} else {
				name, value, _ := strings.Cut(field, "=")
				p.params[strings.ToUpper(name)] = strings.Trim(value, `"`)
			}
			if from = i + 1; c == ':' {
				p.value = line[from:]
				return p
			}
		}
	}
	return property{} // no property: there is no colon
}

// unescape undoes what text is escaped with (RFC 5545, 3.3.11).
func unescape(text string) string {
	return strings.NewReplacer(`\\`, `\`, `\;`, ";", `\,`, ",", `\n`, "\n", `\N`, "\n").Replace(text)
}

// personOf names somebody, by name and address if there are both, and says what
// they have answered.
func personOf(p property) string {
	address := p.value
	if len(address) > 7 && strings.EqualFold(address[:7], "mailto:") {
		address = address[7:]
	}
	who := oneLine(address, 200)
	if name := oneLine(p.params["CN"], 100); name != "" && name != who {
		who = name + " <" + who + ">"
	}
	if status := p.params["PARTSTAT"]; status != "" && !strings.EqualFold(status, "NEEDS-ACTION") {
		who += ", " + strings.ToLower(oneLine(status, 20))
	}
	return who
}

// zoneOf returns the zone that a time is in: UTC if it names none. QUIRK: Exchange
// has names of its own, such as "W. Europe Standard Time"; of one that is not known
// the name alone is.
func zoneOf(p property) (zone *time.Location, known bool) {
	name := p.params["TZID"]
	if name == "" {
		return time.UTC, true
	}
	if zone, err := time.LoadLocation(name); err == nil {
		return zone, true
	}
	return time.FixedZone("("+oneLine(name, 60)+")", 0), false
}

// timeOf reads a date or a time; false if it is neither.
func timeOf(p property) (at time.Time, day, ok bool) {
	zone, _ := zoneOf(p)
	at, err := time.ParseInLocation("20060102", p.value, zone)
	if err == nil {
		return at, true, true
	}
	// A time without a zone is that of wherever the reader is; it is left as it is.
	if at, err = time.ParseInLocation("20060102T150405Z", p.value, time.UTC); err != nil {
		at, err = time.ParseInLocation("20060102T150405", p.value, zone)
	}
	return at, false, err == nil
}

// durationForm have weeks, or days and a time (RFC 5545, 3.3.6); one below zero is of alarms.
var durationForm = regexp.MustCompile(`^\+?P(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?$`)

// after returns the time that is a duration later. Days are those of the calendar, which
// may have 23 hours.
func after(from time.Time, duration string) (time.Time, bool) {
	m := durationForm.FindStringSubmatch(duration)
	if m == nil {
		return from, false
	}
	n := make([]int, len(m))
	for i := range m[1:] {
		n[i], _ = strconv.Atoi(m[i+1]) // 0 if it is not there
	}
	clock := time.Duration(n[2])*time.Hour + time.Duration(n[3])*time.Minute + time.Duration(n[4])*time.Second
	return from.AddDate(0, 0, 7*n[0]+n[1]).Add(clock), true
}

// whenOf says when an event is, by its end or else by how long it takes. What cannot be
// read is shown as it is written.
func whenOf(start, end property, duration string) string {
	const day, clock = "Monday, 2 January 2006", "15:04"
	from, whole, ok := timeOf(start)
	if !ok {
		return oneLine(start.value, 40)
	}
	// An end that is missing, unreadable or before its start says nothing.
	to, _, ok := timeOf(end)
	if end.value == "" {
		to, ok = after(from, duration)
		end = start
	}
	ok = ok && to.After(from)
	if end.params["TZID"] != start.params["TZID"] {
		// Between two zones of which one is not known nothing can be said.
		_, startKnown := zoneOf(start)
		_, endKnown := zoneOf(end)
		ok = ok && startKnown && endKnown
	}
	if whole {
		// The end is the day after the last (RFC 5545, 3.6.1).
		if last := to.AddDate(0, 0, -1); ok && last.After(from) {
			return from.Format(day) + " to " + last.Format(day)
		}
		return from.Format(day)
	}
	// A time without a zone is the reader's own (RFC 5545, 3.3.5): to name one would
	// be wrong for most.
	zone := ""
	if strings.HasSuffix(start.value, "Z") || start.params["TZID"] != "" {
		zone = " MST"
	}
	when := from.Format(day + ", " + clock)
	if !ok {
		return when + from.Format(zone)
	}
	to = to.In(from.Location())
	// Summer may end in between.
	if from.Format(zone) != to.Format(zone) {
		when += from.Format(zone)
	}
	if to.Format(day) == from.Format(day) {
		return when + " to " + to.Format(clock+zone)
	}
	return when + " to " + to.Format(day+", "+clock+zone)
}
