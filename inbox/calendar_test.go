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
		{"DTSTART;TZID=Nowhere/Land:20261201T100000", "20261201T100000"},
		{"DTSTART:nonsense", "nonsense"}, {"SUMMARY:x", ""},
	} {
		in := "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\n" + c.lines + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
		got := parseCalendar(in)
		if len(got) != 1 || got[0].When != c.want {
			t.Errorf("%s\nis %+v, want %q", c.lines, got, c.want)
		}
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
