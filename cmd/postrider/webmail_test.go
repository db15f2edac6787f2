package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// What the page is tested with: messages as people send them.

// picture returns a PNG that can be told from a missing one.
func picture(t testing.TB, w, h int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			s := 0.5 + 0.5*math.Sin(float64(x)/23+3*math.Sin(float64(y)/31))
			img.Set(x, y, color.RGBA{uint8(60 + 60*s), uint8(90 + 90*s), uint8(200 + 40*s), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newsletter(t testing.TB) *mail.Message {
	banner := mail.FromBytes("banner.png", picture(t, 640, 160))
	banner.CID, banner.Type = "banner@example.com", "image/png"
	return &mail.Message{
		From: mail.List("Harbour Coffee <news@harbour.example>"), To: mail.List("Bob Miller <bob@example.net>"),
		Subject: "Your beans have been roasted ☕", Text: "Dear Bob, your beans have been roasted this morning and leave today.",
		HTML: `<html><head><style>.card{border:1px solid #ddd;border-radius:8px;padding:20px}</style></head><body style="background:#f4f1ec">
<table width="100%"><tr><td align="center"><table width="100%" style="background:#fff;max-width:600px"><tr><td><img src="cid:banner@example.com" width="600" alt="Harbour"></td></tr>
<tr><td style="padding:24px;font-family:Georgia,serif;color:#333"><h1 style="color:#3a2c1d">Fresh from the drum</h1>
<p>Dear Bob, your beans have been roasted this morning and leave today.</p>
<div class="card">2 × Yirgacheffe, 250 g<br>1 × Santos, 1 kg</div>
<p><a href="https://harbour.example/orders/4711" style="background:#3a2c1d;color:#fff;padding:10px 18px;border-radius:6px;text-decoration:none">Track your parcel</a></p>
<p style="font-size:12px;color:#888">Harbour Coffee, Quay 3 <img src="https://tracker.example/open.gif" width="1" height="1"></p>
</td></tr></table></td></tr></table></body></html>`,
		Attachments: []mail.Attachment{banner, mail.FromBytes("invoice-4711.pdf", bytes.Repeat([]byte("%PDF-1.7 0123456789\n"), 4200))},
	}
}

// letters are what fills the list in the pictures.
func letters() []*mail.Message {
	make := func(from, subject, text string) *mail.Message {
		return &mail.Message{From: mail.List(from), To: mail.List("bob@example.net"), Subject: subject, Text: text}
	}
	report := make("CI <ci@build.example>", "Build 8312 failed: 2 of 1,204 tests", "The first failure is in TestRetryAfterReset, on linux/arm64.")
	report.Attachments = []mail.Attachment{mail.FromBytes("junit.xml", []byte("<testsuite/>")), mail.FromBytes("output.log", []byte("FAIL\r\n"))}
	return []*mail.Message{
		make("Ann Example <ann@example.com>", "Minutes of Tuesday", "Hello Bob,\n\nhere is what we decided on Tuesday. The quay stays open until ten.\n\nAnn"),
		make("Ελένη <eleni@example.gr>", "Το πρόγραμμα της Πέμπτης", "Καλημέρα! Στέλνω το πρόγραμμα."),
		make("no-reply@shop.example", "Confirm your address", "Your code is 481 516. It is valid for ten minutes.\nhttps://shop.example/confirm?code=481516"),
		report,
		make("Zoë Müller <zoe@example.de>", "Re: Grüße aus Köln – ein ziemlich langer Betreff, der in keine Zeile passt", "Vielen Dank für die schönen Fotos!"),
		make("Monitoring <alerts@ops.example>", "Recovered: disk usage on db-3 is 61 %", "It was above 90 % for 14 minutes."),
	}
}

// files is a message with one of each kind of file that the page shows in place.
func files(t testing.TB) *mail.Message {
	const meeting = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Europe/Berlin:20261201T100000\r\n" +
		"DTEND;TZID=Europe/Berlin:20261201T113000\r\nSUMMARY:Cupping of the new harvest\r\nLOCATION:Quay 3\\, first floor\r\n" +
		"ORGANIZER;CN=Ann Example:mailto:ann@example.com\r\nATTENDEE;CN=Bob Miller;PARTSTAT=ACCEPTED:mailto:bob@example.net\r\n" +
		"ATTENDEE:mailto:zoe@example.de\r\nDESCRIPTION:Bring a spoon.\r\nRRULE:FREQ=WEEKLY;BYDAY=TU;UNTIL=20270131\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	return &mail.Message{
		From: mail.List("Ann Example <ann@example.com>"), To: mail.List("Bob Miller <bob@example.net>"), Subject: "Files", Text: "All there is to know is attached.",
		Attachments: []mail.Attachment{
			mail.FromBytes("quay.png", picture(t, 600, 400)), mail.FromBytes("invoice.pdf", pdf("Invoice 4711")),
			mail.FromBytes("orders.csv", []byte("coffee,grams\r\nYirgacheffe,500\r\nSantos,1000\r\n")), mail.FromBytes("invite.ics", []byte(meeting)),
		},
	}
}

// pdf returns a document of one page, all red but for a line of text: enough that a reader of PDF can be told from a
// frame that stays empty. The actions are run when it is opened, if the reader runs any.
func pdf(line string, actions ...string) []byte {
	content := "1 0 0 rg 0 0 400 300 re f 1 g BT /F1 24 Tf 40 140 Td (" + line + ") Tj ET"
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(content), content), "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	}
	if len(actions) > 0 {
		objects[0] = "<</Type/Catalog/Pages 2 0 R/OpenAction 6 0 R/AA<</WC 6 0 R>>>>"
		objects[2] = strings.Replace(objects[2], "/Contents", "/AA<</O 6 0 R>>/Contents", 1)
		objects = append(objects, "[6 0 R]")
		chain := ""
		for _, action := range actions {
			chain = "<<" + action + chain + ">>"
			objects[5] = chain
			chain = "/Next" + chain
		}
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	table := fmt.Sprintf("xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for i, object := range objects {
		table += fmt.Sprintf("%010d 00000 n \n", b.Len())
		fmt.Fprintf(&b, "%d 0 obj%sendobj\n", i+1, object)
	}
	fmt.Fprintf(&b, "%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", table, len(objects)+1, b.Len())
	return b.Bytes()
}
