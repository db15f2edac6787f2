package inbox

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

func TestParseFault(t *testing.T) {
	for _, c := range []struct {
		text string
		want Fault
	}{
		{"rcpt 450", Fault{Verb: "RCPT", Reply: smtp.Reply{Code: 450}}},
		{"RCPT *@full.example 452 4.2.2 mailbox full", Fault{Verb: "RCPT", Pattern: "*@full.example", Reply: smtp.Reply{Code: 452, Enhanced: "4.2.2", Text: "mailbox full"}}},
		{"RCPT 450 4.2.1", Fault{Verb: "RCPT", Reply: smtp.Reply{Code: 450, Enhanced: "4.2.1"}}},
		{"RCPT 599 5.a.1 and more", Fault{Verb: "RCPT", Reply: smtp.Reply{Code: 599, Text: "5.a.1 and more"}}}, // what is no code is text
		{"MAIL 30% 451 try again later", Fault{Verb: "MAIL", Probability: 0.3, Reply: smtp.Reply{Code: 451, Text: "try again later"}}},
		{"DATA delay=5s", Fault{Verb: "DATA", Delay: 5 * time.Second}},
		{"END 10% disconnect", Fault{Verb: "END", Probability: 0.1, Disconnect: true}},
		{"RCPT limit=10/1m 450 4.7.1 not so fast", Fault{Verb: "RCPT", Limit: 10, Per: time.Minute, Reply: smtp.Reply{Code: 450, Enhanced: "4.7.1", Text: "not so fast"}}},
		{"RCPT greylist=5m 451 4.7.1 come back", Fault{Verb: "RCPT", Greylist: 5 * time.Minute, Reply: smtp.Reply{Code: 451, Enhanced: "4.7.1", Text: "come back"}}},
	} {
		got, err := ParseFault(c.text)
		if err != nil || got != c.want {
			t.Errorf("ParseFault(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
		if again, err := ParseFault(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %+v, %v", c.text, got, again, err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", "begins with a verb"}, {"FOO 450", "no verb"}, {"RCPT", "does nothing"}, {"RCPT 250", "no refusal"}, {"RCPT 600", "no refusal"}, {"RCPT " + strings.Repeat("x", 301) + " 450", "a pattern"}, {"RCPT 0% 450", "probability"},
		{"RCPT 101% 450", "probability"}, {"RCPT NaN% 450", "probability"}, {"RCPT greylist=0s 450", "some time"}, {"RCPT delay=x", "no duration"}, {"RCPT delay=1h", "a delay is up to"}, {"RCPT delay=-1s", "a delay"}, {"RCPT limit=x/1m 450", "no duration or limit"},
		{"RCPT limit=5 450", "no duration or limit"}, {"RCPT a b 450", "not understood"}, {"RCPT speed=1 450", "not understood"}, {"RCPT disconnect 450", "both reply and disconnect"},
		{"RCPT 450 5.1.1 x", "does not go with"}, {"RCPT 450 " + strings.Repeat("x", 500), "400 octets"}, {"RCPT 450 a\x00b", "control"},
	} {
		if _, err := ParseFault(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseFault(%.40q): %v, want one with %q", c.text, err, c.want)
		}
	}
}

// What a line cannot say JSON can: it is held to the same.
func TestFaultsOfPieces(t *testing.T) {
	for text, f := range map[string]Fault{
		"a limit":             {Verb: "RCPT", Limit: -1, Per: time.Second, Reply: smtp.Reply{Code: 450}},
		"the enhanced code 4": {Verb: "RCPT", Reply: smtp.Reply{Code: 450, Enhanced: "4.1"}},
		"the enhanced code 5": {Verb: "RCPT", Reply: smtp.Reply{Code: 450, Enhanced: "5.1.1"}},
		"a pattern":           {Verb: "RCPT", Pattern: "a b", Reply: smtp.Reply{Code: 450}},
		"does not go with":    {Verb: "RCPT", Delay: time.Second, Reply: smtp.Reply{Enhanced: "4.0.0"}},
		"and comes after":     {Verb: "RCPT", Delay: time.Second, Reply: smtp.Reply{Text: "later"}},
		"a limit is so many":  {Verb: "RCPT", Limit: 1, Reply: smtp.Reply{Code: 450}},
		"from 0 to 1":         {Verb: "RCPT", Probability: 1.5, Reply: smtp.Reply{Code: 450}},
		"is from 0 to":        {Verb: "RCPT", Probability: math.NaN(), Reply: smtp.Reply{Code: 450}},
		"the enhanced code x": {Verb: "RCPT", Reply: smtp.Reply{Code: 450, Enhanced: "x"}},
	} {
		if err := new(Inbox).SetFaults([]Fault{f}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("SetFaults(%+v): %v, want one with %q", f, err, text)
		}
	}
}

func FuzzParseFault(f *testing.F) {
	for _, s := range []string{"RCPT *@a 30% 450 4.1.1 x", "END disconnect", "DATA delay=1s limit=1/1s greylist=1m 550"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fault, err := ParseFault(text)
		if err != nil {
			return
		}
		if again, err := ParseFault(fault.String()); err != nil || again.String() != fault.String() {
			t.Errorf("%q is written as %q, which is read as %q, %v", text, fault, again, err)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"a@b", "a@b", true}, {"a@b", "a@bc", false}, {"*", "", true}, {"*@b", "a@b", true}, {"*@b", "a@bc", false}, {"a*", "abc", true},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "a", false}, {"a*a", "a", false}, {"*b*d*", "abcde", true}, {"*d*b*", "abcde", false}, {"**", "x", true},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("glob(%q, %q) = %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}
