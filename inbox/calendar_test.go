package inbox

import (
	"slices"
	"strings"
	"testing"
)

const meeting = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20261124T090000Z\r\n" +
	"DTSTART;TZID=Europe/Berlin:20261201T100000\r\nDTEND;TZID=Europe/Berlin:20261201T113000\r\nSUMMARY:Cupping of the new harvest\r\n" +
	"LOCATION:Quay 3\\, first floor\r\nORGANIZER;CN=Ann Example:mailto:ann@example.com\r\nATTENDEE;CN=Bob Miller;PARTSTAT=ACCEPTED:mailto:bob@example.net\r\n" +
	"ATTENDEE:MAILTO:zoe@example.de\r\nDESCRIPTION:Bring a spoon.\\nAnd friends.\r\nRRULE:FREQ=WEEKLY;COUNT=4\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"

func TestCalendar(t *testing.T) {
	got := parseCalendar(meeting)
	if len(got) != 1 {
		t.Fatalf("%d events, want 1", len(got))
	}
	want := event{
		Summary: "Cupping of the new harvest", When: "Tuesday, 1 December 2026, 10:00 to 11:30 CET", Where: "Quay 3, first floor", Organizer: "Ann Example <ann@example.com>",
		Description: "Bring a spoon.\nAnd friends.", Repeats: "Every week, 4 times", Method: "REQUEST",
	}
	people := []string{"Bob Miller <bob@example.net>, accepted", "zoe@example.de"}
	if !slices.Equal(got[0].People, people) {
		t.Errorf("people are %q, want %q", got[0].People, people)
	}
	e := got[0]
	e.People = nil
	if e.Summary != want.Summary || e.When != want.When || e.Where != want.Where || e.Organizer != want.Organizer ||
		e.Description != want.Description || e.Repeats != want.Repeats || e.Method != want.Method {
		t.Errorf("the event is\n%+v, want\n%+v", e, want)
	}
}

func TestRecurrence(t *testing.T) {
	for _, c := range []struct{ start, rule, want string }{
		{"", "FREQ=DAILY", "Every day"}, {"", "freq=daily;interval=1", "Every day"}, {"", "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU", "Every 2 weeks on Tuesday"},
		{"", "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=1", "Every week on Monday, Wednesday and Friday, 1 time"}, {"", "FREQ=WEEKLY;BYDAY=SA,SU;COUNT=10", "Every week on Saturday and Sunday, 10 times"},
		{"", "FREQ=MONTHLY;BYDAY=2MO", "Every month on the second Monday"}, {"", "FREQ=MONTHLY;BYDAY=-1FR;INTERVAL=3", "Every 3 months on the last Friday"},
		{"", "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2", "Every month on the second Tuesday"}, {"", "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=-1", "Every month on the last Tuesday"},
		{"", "FREQ=MONTHLY;BYMONTHDAY=1", "Every month on the 1st"}, {"", "FREQ=MONTHLY;BYMONTHDAY=2,3,11,12,13,21,22,31", "Every month on the 2nd, the 3rd, the 11th, the 12th, the 13th, the 21st, the 22nd and the 31st"},
		{"", "FREQ=MONTHLY;BYMONTHDAY=15,-1", "Every month on the 15th and the last day"}, {"", "FREQ=YEARLY", "Every year"}, {"", "FREQ=YEARLY;BYMONTH=12", "Every year in December"},
		{"", "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "Every year on the last Sunday of March"}, {"", "FREQ=YEARLY;BYMONTH=10;BYMONTHDAY=3", "Every year on the 3rd of October"},
		{"", "FREQ=DAILY;UNTIL=20261231", "Every day, until 31 December 2026"},
		// By the rule it is the 30th in UTC, where the event is the 31st.
		{";TZID=Asia/Tokyo", "FREQ=DAILY;UNTIL=20261230T233000Z", "Every day, until 31 December 2026"}, {"", "FREQ=DAILY;UNTIL=20261230T233000Z", "Every day, until 30 December 2026"},
		// What there are no words for is shown as it is.
		{"", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1", ""}, {"", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", ""}, {"", "FREQ=MONTHLY;BYDAY=FR", ""}, {"", "FREQ=DAILY;BYDAY=MO", ""},
		{"", "FREQ=YEARLY;BYDAY=20MO", ""}, {"", "FREQ=YEARLY;BYMONTHDAY=3", ""}, {"", "FREQ=YEARLY;BYMONTH=1,2", ""}, {"", "FREQ=YEARLY;BYMONTH=13", ""}, {"", "FREQ=MONTHLY;BYMONTH=3", ""},
		{"", "FREQ=HOURLY", ""}, {"", "FREQ=DAILY;BYHOUR=9,10", ""}, {"", "FREQ=DAILY;COUNT=0", ""}, {"", "FREQ=DAILY;COUNT=-1", ""}, {"", "FREQ=DAILY;INTERVAL=x", ""}, {"", "FREQ=DAILY;INTERVAL=0", ""},
		{"", "FREQ=DAILY;UNTIL=soon", ""}, {"", "FREQ=MONTHLY;BYDAY=6MO", ""}, {"", "FREQ=MONTHLY;BYDAY=-2MO", ""}, {"", "FREQ=MONTHLY;BYDAY=0MO", ""}, {"", "FREQ=MONTHLY;BYDAY=1XX", ""}, {"", "FREQ=WEEKLY;BYDAY=1MO", ""},
		{"", "FREQ=WEEKLY;BYDAY=M", ""}, {"", "FREQ=MONTHLY;BYMONTHDAY=32", ""}, {"", "FREQ=MONTHLY;BYMONTHDAY=-2", ""}, {"", "FREQ=MONTHLY;BYMONTHDAY=0", ""}, {"", "FREQ=WEEKLY;BYMONTHDAY=3", ""},
		{"", "FREQ=DAILY;", ""}, {"", "FREQ=DAILY;FREQ=WEEKLY", ""}, {"", "COUNT=3", ""}, {"", "FREQ=DAILY;X=1", ""}, {"", "FREQ=DAILY;COUNT=", ""}, {"", "nonsense", ""},
	} {
		if c.want == "" {
			c.want = c.rule
		}
		got := parseCalendar("BEGIN:VEVENT\nRRULE:" + c.rule + "\nDTSTART" + c.start + ":20261201T100000\nEND:VEVENT\n")
		if got[0].Repeats != c.want {
			t.Errorf("%s is %q, want %q", c.rule, got[0].Repeats, c.want)
		}
	}
}

// What a calendar says of single dates, and whether there is anything to go to.
func TestCalendarChanges(t *testing.T) {
	event := func(method, lines string) event {
		t.Helper()
		return parseCalendar("BEGIN:VCALENDAR\nMETHOD:" + method + "\nBEGIN:VEVENT\n" + lines + "\nDTSTART;TZID=Europe/Berlin:20261201T100000\nEND:VEVENT\nEND:VCALENDAR\n")[0]
	}
	for _, c := range []struct{ method, lines, kind string }{
		{"REQUEST", "", "invitation"}, {"request", "STATUS:CONFIRMED", "invitation"}, {"CANCEL", "", "cancelled"}, {"REQUEST", "STATUS:cancelled", "cancelled"}, {"REPLY", "", "answer"},
		{"COUNTER", "", "another time proposed"}, {"PUBLISH", "", ""}, {"X", "", ""},
	} {
		if e := event(c.method, c.lines); e.Kind() != c.kind {
			t.Errorf("%s with %q is %q, want %q", c.method, c.lines, e.Kind(), c.kind)
		}
	}
	e := event("REQUEST", "EXDATE;TZID=Europe/Berlin:20261224T100000,20261231T100000\nEXDATE;VALUE=DATE:20270101\nEXDATE:never\nRECURRENCE-ID;TZID=Europe/Berlin:20261130T090000")
	if want := "24 December 2026, 31 December 2026, 1 January 2027"; e.Except != want {
		t.Errorf("it is not on %q, want %q", e.Except, want)
	}
	if want := "Monday, 30 November 2026, 09:00 CET"; e.Instead != want {
		t.Errorf("it is instead of %q, want %q", e.Instead, want)
	}
}

func TestCalendarTimes(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"DTSTART:20261201T100000Z\r\nDTEND:20261201T110000Z", "Tuesday, 1 December 2026, 10:00 to 11:00 UTC"},
		{"DTSTART:20261201T230000Z\r\nDTEND:20261202T010000Z", "Tuesday, 1 December 2026, 23:00 to Wednesday, 2 December 2026, 01:00 UTC"},
		{"DTSTART:20261201T100000Z", "Tuesday, 1 December 2026, 10:00 UTC"}, {"DTSTART:20261201T100000", "Tuesday, 1 December 2026, 10:00"},
		{"DTSTART:20261201T100000Z\r\nBEGIN:VALARM\r\nDTSTART:nonsense\r\nEND:VALARM", "Tuesday, 1 December 2026, 10:00 UTC"},
		{"DTSTART;VALUE=DATE:20261201\r\nDTEND;VALUE=DATE:20261202", "Tuesday, 1 December 2026"},
		{"DTSTART;VALUE=DATE:20261201\r\nDTEND;VALUE=DATE:20261204", "Tuesday, 1 December 2026 to Thursday, 3 December 2026"},
		{"DTSTART:20261201T100000Z\r\nDTEND:20261201T090000Z", "Tuesday, 1 December 2026, 10:00 UTC"},
		{"DTSTART;TZID=Europe/Berlin:20261201T100000\r\nDTEND:20261201T103000Z", "Tuesday, 1 December 2026, 10:00 to 11:30 CET"},
		{"DTEND:20261201T110000Z\r\nDTSTART:2026\r\n 1201T100\r\n\t000Z", "Tuesday, 1 December 2026, 10:00 to 11:00 UTC"},
		{"DTSTART;TZID=\"W. Europe Standard Time\":20261201T100000\r\nDTEND;TZID=W. Europe Standard Time:20261201T113000", "Tuesday, 1 December 2026, 10:00 to 11:30 (W. Europe Standard Time)"},
		{"DTSTART;TZID=Nowhere/Land:20261201T100000\r\nDTEND:20261201T113000Z", "Tuesday, 1 December 2026, 10:00 (Nowhere/Land)"},
		{"DTSTART:20261201T100000Z\r\nDTEND;TZID=Nowhere/Land:20261201T113000", "Tuesday, 1 December 2026, 10:00 UTC"}, {"DTSTART;TZID=../../etc/passwd:20261201T100000", "Tuesday, 1 December 2026, 10:00 (../../etc/passwd)"},
		{"DURATION:PT1H30M\r\nDTSTART;TZID=Europe/Berlin:20261201T100000", "Tuesday, 1 December 2026, 10:00 to 11:30 CET"}, {"DTSTART:20261201T100000Z\r\nDURATION:+P1DT30M10S", "Tuesday, 1 December 2026, 10:00 to Wednesday, 2 December 2026, 10:30 UTC"},
		{"DTSTART;VALUE=DATE:20261201\r\nDURATION:P2W", "Tuesday, 1 December 2026 to Monday, 14 December 2026"}, {"DTSTART;VALUE=DATE:20261201\r\nDURATION:P1D", "Tuesday, 1 December 2026"},
		// A day of the calendar, of which one has 25 hours.
		{"DTSTART;TZID=Europe/Berlin:20261024T100000\r\nDURATION:P1D", "Saturday, 24 October 2026, 10:00 CEST to Sunday, 25 October 2026, 10:00 CET"},
		{"DTSTART:20261201T100000Z\r\nDURATION:-PT1H", "Tuesday, 1 December 2026, 10:00 UTC"}, {"DTSTART:20261201T100000Z\r\nDURATION:P", "Tuesday, 1 December 2026, 10:00 UTC"}, {"DTSTART:20261201T100000Z\r\nDURATION:1H", "Tuesday, 1 December 2026, 10:00 UTC"},
		{"DTSTART;TZID=Europe/Berlin:20261201T100000\r\nDTEND:20261201T080000Z", "Tuesday, 1 December 2026, 10:00 CET"}, {"DTSTART;TZID=Europe/Berlin:20261201T100000\r\nDTEND:nonsense", "Tuesday, 1 December 2026, 10:00 CET"},
		{"DTSTART:nonsense", "nonsense"}, {"SUMMARY:x", ""},
	} {
		in := "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\n" + c.lines + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
		got := parseCalendar(in)
		if len(got) != 1 || got[0].When != c.want {
			t.Errorf("%s\nis %+v, want %q", c.lines, got, c.want)
		}
	}
}

// Quotes keep what stands in them, and a reader is given no more than can be read.
func TestCalendarPeople(t *testing.T) {
	got := parseCalendar("BEGIN:VEVENT\nATTENDEE;CN=\"Ann: chair; minutes\";PARTSTAT=DECLINED:mailto:ann@example.com\nATTENDEE;PARTSTAT=NEEDS-ACTION;CN=zoe@example.de:mailto:zoe@example.de\n" +
		strings.Repeat("ATTENDEE:mailto:x@example.com\n", 2*maxPeople) + "END:VEVENT\n" + strings.Repeat("BEGIN:VEVENT\nBEGIN:VALARM\nSUMMARY:alarm\nEND:VALARM\nSUMMARY:event\nEND:VEVENT\n", 2*maxEvents))
	if len(got) != maxEvents || len(got[0].People) != maxPeople || got[maxEvents-1].Summary != "event" {
		t.Fatalf("%d events, %d people, the last is %q; want %d, %d and event", len(got), len(got[0].People), got[len(got)-1].Summary, maxEvents, maxPeople)
	}
	if want := []string{"Ann: chair; minutes <ann@example.com>, declined", "zoe@example.de"}; !slices.Equal(got[0].People[:2], want) {
		t.Errorf("the people are %q, want %q", got[0].People[:2], want)
	}
}

// Of the days on which an event is not, those that are shown are read, and no others: for
// each one its zone is looked up.
func TestExceptionsAreBounded(t *testing.T) {
	read := func(n int) float64 {
		text := "BEGIN:VEVENT\nDTSTART;TZID=Europe/Berlin:20261124T120000\nEXDATE;TZID=Europe/Berlin:" + strings.Repeat("20261124T120000,", n) + "x\nEND:VEVENT\n"
		return testing.AllocsPerRun(1, func() {
			if e := parseCalendar(text); len(e) != 1 || strings.Count(e[0].Except, "2026") != maxPeople {
				t.Fatalf("of %d days there are %+v", n, e)
			}
		})
	}
	if few, many := read(maxPeople), read(100*maxPeople); many > 2*few {
		t.Errorf("%v allocations for %d days, %v for %d", few, maxPeople, many, 100*maxPeople)
	}
}

func FuzzCalendar(f *testing.F) {
	f.Add(meeting)
	f.Add("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261201\r\nATTENDEE;CN=\"a,b\":x\r\nEND:VEVENT\r\nEND:VCALENDAR")
	f.Add("BEGIN:VEVENT\nRRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20261231\nEXDATE:20261224,x\nRECURRENCE-ID:1\nDURATION:P1DT1H\nDTSTART:20261201\nEND:VEVENT")
	f.Add("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY;X=\"\n y:\\,\\n\nEND:VEVENT\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			t.Skip("long")
		}
		for _, e := range parseCalendar(text) {
			if strings.ContainsAny(e.Summary+e.When+e.Where+e.Organizer+e.Repeats+e.Except+e.Instead, "\r\n\x00") {
				t.Errorf("%q gives %+v", text, e)
			}
		}
	})
}
