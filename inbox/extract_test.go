package inbox

import (
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// readMessage parses one from its fields and text.
func readMessage(t testing.TB, raw string) *mail.Message {
	t.Helper()
	m, err := mail.Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		subject, text string
		want          []string
	}{
		{"Sign in", "Your verification code is 493021. It is valid for 10 minutes.", []string{"493021"}},
		{"Your code", "Use this one:\n\n  493-021  \n\nOrder 12345678", []string{"493-021", "12345678"}},
		{"G-204518 is your Google verification code", "", []string{"G-204518"}},
		{"Login", "Enter\nAB12CD\nto log in with this code.", []string{"AB12CD"}},
		{"", "Your one-time PIN: 0042", []string{"0042"}},
		{"验证码", "您的验证码是 882211", []string{"882211"}},
		{"Bestätigungscode", "Ihr Bestätigungscode lautet 123 456", []string{"123 456"}},
		{"Invoice 4711", "Please pay 12000 EUR by 2026-11-24.", nil},
		{"code", "See https://example.com/verify?code=999999 and call +491234567", nil},
		{"confirm", "on 2026-11-24, for $1234, confirm at a@1234567.example", nil},
		{"Your code", "CONFIRM ACCOUNT", nil},
	} {
		got := codes(readMessage(t, "Subject: "+c.subject+"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+c.text))
		if !slices.Equal(got, c.want) {
			t.Errorf("%q, %q: codes %q, want %q", c.subject, c.text, got, c.want)
		}
	}
}

func TestLinks(t *testing.T) {
	m := readMessage(t, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"+
		"Go to https://example.com/confirm?t=1&u=2. Or (http://example.org/x).\r\n--b\r\nContent-Type: text/html\r\n\r\n"+
		`<a href="https://example.com/confirm?t=1&amp;u=2"><img src="x"></a><a href="https://example.com/confirm?t=1&amp;u=2">Confirm &amp; <b>go</b></a>`+
		`<a href="javascript:alert(1)">no</a><a href="mailto:a@b">no</a><a name="x">no</a><map><area href="https://example.net/area"></map>`+"\r\n--b--\r\n")
	want := []Link{{"https://example.com/confirm?t=1&u=2", "Confirm & go"}, {"https://example.net/area", ""}, {"http://example.org/x", ""}}
	if got := links(m); !slices.Equal(got, want) {
		t.Errorf("links are %q, want %q", got, want)
	}
}

// However a message is made, what is taken out of it is bounded.
func FuzzExtract(f *testing.F) {
	f.Add("Your code is 123456 https://example.com/", `<a href="https://example.com/x">code 123456</a>`)
	f.Add("code\n"+strings.Repeat("1234 ", 1000), strings.Repeat("<a href=http://x>", 1000))
	f.Fuzz(func(t *testing.T, text, html string) {
		m := &mail.Message{Text: text, HTML: html}
		if n := len(links(m)); n > maxLinks {
			t.Errorf("%d links", n)
		}
		for _, code := range codes(m) {
			if len(code) > 14 {
				t.Errorf("%q is no code", code)
			}
		}
	})
}

// Twice the text takes about twice the time.
func BenchmarkExtract(b *testing.B) {
	m := &mail.Message{Text: strings.Repeat("Your code is 123456, see https://example.com/x. ", 1000)}
	for b.Loop() {
		codes(m)
		links(m)
	}
}
