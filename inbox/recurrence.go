package inbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How an event repeats (RFC 5545, 3.3.10), in words. A rule has fourteen parts, of
// which invitations use a few: these are told, and a rule that has any other part, or
// one of these in a place where this does not know its meaning, is shown as it is
// written. Half of a rule in words would be another rule.

// weekdays are the days by their short names, in the order in which people say them.
var weekdays = []struct{ short, long string }{
	{"MO", "Monday"}, {"TU", "Tuesday"}, {"WE", "Wednesday"}, {"TH", "Thursday"}, {"FR", "Friday"}, {"SA", "Saturday"}, {"SU", "Sunday"},
}

// units are the frequencies that are told; the shorter ones invite nobody.
var units = map[string]string{"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}

// repeatsOf says how an event repeats that begins with start: "Every 2 weeks on Monday,
// 4 times".
func repeatsOf(rule string, start property) string {
	if words, ok := ruleWords(rule, start); ok {
		return words
	}
	return oneLine(rule, 200)
}

// ruleWords puts a rule into words; false if it has something that there are none for.
func ruleWords(rule string, start property) (string, bool) {
	parts := map[string]string{}
	for part := range strings.SplitSeq(strings.ToUpper(rule), ";") {
		name, value, ok := strings.Cut(part, "=")
		if _, twice := parts[name]; !ok || value == "" || twice {
			return "", false
		}
		parts[name] = value
	}
	// take has each part be used once: what is left at the end was not understood.
	take := func(name string) string {
		value := parts[name]
		delete(parts, name)
		return value
	}
	freq := take("FREQ")
	unit, ok := units[freq]
	if !ok {
		return "", false
	}
	words := "Every " + unit
	if text := take("INTERVAL"); text != "" && text != "1" {
		n, ok := positive(text)
		if !ok {
			return "", false
		}
		words = fmt.Sprintf("Every %d %ss", n, unit)
	}
	byDay := take("BYDAY")
	// Which one of a single weekday: Exchange writes BYDAY=TU;BYSETPOS=2 for BYDAY=2TU.
	if which := take("BYSETPOS"); which != "" && len(byDay) == 2 {
		byDay = which + byDay
	} else if which != "" {
		return "", false
	}
	on, ok := daysOf(freq, byDay, take("BYMONTHDAY"), take("BYMONTH"))
	if !ok {
		return "", false
	}
	words += on
	// Of the two ends a rule has one at most (RFC 5545, 3.3.10); what has both is told both.
	if text := take("COUNT"); text != "" {
		n, ok := positive(text)
		if !ok {
			return "", false
		}
		words += ", " + plural(n, "time", "times")
	}
	if text := take("UNTIL"); text != "" {
		day, ok := dayOf(text, start)
		if !ok {
			return "", false
		}
		words += ", until " + day
	}
	// On which day a week begins changes no word of what is said.
	take("WKST")
	return words, len(parts) == 0
}

// positive reads how many.
func positive(text string) (n int, ok bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n > 0
}

// daysOf says on which days of its unit a rule falls: " on the second Monday of March".
func daysOf(freq, byDay, byMonthDay, byMonth string) (string, bool) {
	month := ""
	if byMonth != "" {
		n, ok := positive(byMonth)
		if !ok || n > 12 || freq != "YEARLY" {
			return "", false
		}
		month = time.Month(n).String()
	}
	// A list of days is an "and" to people: on Monday and Friday it takes place.
	var days []string
	switch {
	case byDay != "" && byMonthDay != "": // both must hold: the Friday that is a 13th
		return "", false
	case byDay != "":
		for text := range strings.SplitSeq(byDay, ",") {
			day, ok := weekdayOf(freq, month, text)
			if !ok {
				return "", false
			}
			days = append(days, day)
		}
	case byMonthDay != "":
		// Of a year it is the day of each month, unless one is named.
		if freq != "MONTHLY" && month == "" {
			return "", false
		}
		for text := range strings.SplitSeq(byMonthDay, ",") {
			n, ok := positive(text)
			if text == "-1" {
				days = append(days, "the last day")
				continue
			}
			if !ok || n > 31 {
				return "", false
			}
			days = append(days, "the "+ordinal(n))
		}
	case month != "":
		return " in " + month, true
	default:
		return "", true // as its start says
	}
	on := " on " + enumerated(days)
	if month != "" {
		on += " of " + month
	}
	return on, true
}

// weekdayOf names a weekday, or which one it is of its month: "the second Monday". Of a
// year without a month it would be counted from January, which nobody means.
func weekdayOf(freq, month, text string) (string, bool) {
	if len(text) < 2 {
		return "", false
	}
	// The last two letters are the day, and what is before them says which one: -1FR.
	i := slices.IndexFunc(weekdays, func(d struct{ short, long string }) bool { return d.short == text[len(text)-2:] })
	if i < 0 {
		return "", false
	}
	name, which := weekdays[i].long, text[:len(text)-2]
	if which == "" {
		return name, freq == "WEEKLY" // else it is "each Monday of the month", or "only if it is a Monday"
	}
	n, err := strconv.Atoi(which)
	if err != nil || freq != "MONTHLY" && month == "" {
		return "", false
	}
	// There is no sixth one, and of the last but one people have no word that they agree on.
	switch {
	case n == -1:
		return "the last " + name, true
	case n >= 1 && n <= 5:
		return "the " + []string{"first", "second", "third", "fourth", "fifth"}[n-1] + " " + name, true
	}
	return "", false
}

// ordinal writes a number of a day: 1st, 2nd, 3rd, 4th, 11th.
func ordinal(n int) string {
	end := "th"
	if n/10%10 != 1 && n%10 >= 1 && n%10 <= 3 {
		end = []string{"st", "nd", "rd"}[n%10-1]
	}
	return strconv.Itoa(n) + end
}

// enumerated puts commas and an "and" between words.
func enumerated(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// dayOf says which day a time of a rule is, in the zone of the event's start: the rule
// has it in UTC, by which it may be the day before.
func dayOf(text string, start property) (string, bool) {
	at, _, ok := timeOf(property{value: text, params: start.params})
	if !ok {
		return "", false
	}
	zone, _ := zoneOf(start)
	return at.In(zone).Format("2 January 2006"), true
}
