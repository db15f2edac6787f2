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
		Description: "Bring a spoon.\nAnd friends.", Repeats: "FREQ=WEEKLY;COUNT=4", Method: "REQUEST",
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

func FuzzCalendar(f *testing.F) {
	f.Add(meeting)
	f.Add("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261201\r\nATTENDEE;CN=\"a,b\":x\r\nEND:VEVENT\r\nEND:VCALENDAR")
	f.Add("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY;X=\"\n y:\\,\\n\nEND:VEVENT\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			t.Skip("long")
		}
		for _, e := range parseCalendar(text) {
			if strings.ContainsAny(e.Summary+e.When+e.Where+e.Organizer, "\r\n\x00") {
				t.Errorf("%q gives %+v", text, e)
			}
		}
	})
}
