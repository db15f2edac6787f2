package inbox

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Whatever a probability is, it is read as it was written, and written as people do.
func TestProbabilities(t *testing.T) {
	for _, p := range []float64{1, 0.3, 0.29, 0.007, 0.07, 0.123456789012345, 1.0 / 3, 5e-324, math.Nextafter(1, 0), 1e-9} {
		f := Fault{Verb: "RCPT", Probability: p, Reply: smtp.Reply{Code: 450}}
		if got, err := ParseFault(f.String()); err != nil || got != f {
			t.Errorf("%v is written %.60s, which is %v, %v", p, f, got.Probability, err)
		}
	}
	for text, want := range map[string]string{"29": "29", "0.7": "0.7", "100": "100", "10": "10", "012.50": "12.5", "0.001": "0.001"} {
		if f, err := ParseFault("RCPT " + text + "% 450"); err != nil || f.String() != "RCPT "+want+"% 450" {
			t.Errorf("%s%% is written %v, %v; want %s%%", text, f, err, want)
		}
	}
}

// What a greylist remembers takes the same, however many somebody writes to at once.
func TestGreylistIsSmall(t *testing.T) {
	f := faultState{Fault: Fault{Greylist: time.Hour}}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 100 {
		if f.known(strconv.Itoa(i) + strings.Repeat(" bob@example.net", 10_000)) {
			t.Fatal("a stranger is known")
		}
	}
	if taken := int64(heap() - before); taken > 1<<20 || len(f.first) != 100 {
		t.Errorf("%d are remembered in %d octets", len(f.first), taken)
	}
}

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
		{"RCPT 100% 400", Fault{Verb: "RCPT", Probability: 1, Reply: smtp.Reply{Code: 400}}},
		{"RCPT 599 5.999.0", Fault{Verb: "RCPT", Reply: smtp.Reply{Code: 599, Enhanced: "5.999.0"}}},
		{"RCPT 599 5.1000.0", Fault{Verb: "RCPT", Reply: smtp.Reply{Code: 599, Text: "5.1000.0"}}},
		{"RCPT 599 5.-1.0", Fault{Verb: "RCPT", Reply: smtp.Reply{Code: 599, Text: "5.-1.0"}}},
		{"DATA delay=10m", Fault{Verb: "DATA", Delay: 10 * time.Minute}},
		{"VRFY delay 450", Fault{Verb: "VRFY", Pattern: "delay", Reply: smtp.Reply{Code: 450}}}, // without = they are patterns
		{"VRFY limit 450", Fault{Verb: "VRFY", Pattern: "limit", Reply: smtp.Reply{Code: 450}}},
		{"VRFY greylist 450", Fault{Verb: "VRFY", Pattern: "greylist", Reply: smtp.Reply{Code: 450}}},
		{"RCPT " + strings.Repeat("x", 300) + " 450 " + strings.Repeat("y", 400), Fault{Verb: "RCPT", Pattern: strings.Repeat("x", 300), Reply: smtp.Reply{Code: 450, Text: strings.Repeat("y", 400)}}},
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
		{"", "begins with a verb"}, {"FOO 450", "no verb"}, {"RCPT", "does nothing"}, {"RCPT 250", "no refusal"}, {"RCPT 600", "no refusal"}, {"RCPT " + strings.Repeat("x", 301) + " 450", "a pattern"}, {"RCPT 0% 450", "0% to 100%"},
		{"RCPT 101% 450", "0% to 100%"}, {"RCPT NaN% 450", "0% to 100%"}, {"RCPT x% 450", "0% to 100%"}, {"RCPT greylist=0s 450", "some time"}, {"RCPT greylist=-1s 450", "some time"}, {"RCPT greylist=x 450", "no duration"}, {"RCPT delay=x", "no duration"}, {"RCPT delay=1h", "a delay is up to"}, {"RCPT delay=-1s", "a delay"}, {"RCPT limit=x/1m 450", "no duration or limit"},
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
		"enhanced code 0.1.1": {Verb: "RCPT", Delay: time.Second, Reply: smtp.Reply{Enhanced: "0.1.1"}},
		"has no spaces":       {Verb: "RCPT", Pattern: "a\x01b", Reply: smtp.Reply{Code: 450}},
		"a limit is so":       {Verb: "RCPT", Greylist: -1, Reply: smtp.Reply{Code: 450}},
		"the enhanced code x": {Verb: "RCPT", Reply: smtp.Reply{Code: 450, Enhanced: "x"}},
	} {
		if err := new(Inbox).SetFaults([]Fault{f}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("SetFaults(%+v): %v, want one with %q", f, err, text)
		}
	}
	rules := slices.Repeat([]Fault{{Verb: "RCPT", Delay: time.Second}}, 101)
	if most, more := new(Inbox).SetFaults(rules[1:]), new(Inbox).SetFaults(rules); most != nil || more == nil {
		t.Errorf("100 rules: %v; 101: %v, want an error", most, more)
	}
}

// Rules in time: a delay is waited for unless the session ends, spans and greylists end
// when they are said to, and chance takes both sides.
func TestFaultsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := new(Inbox)
		rule := func(text string) {
			t.Helper()
			f, err := ParseFault(text)
			if err == nil {
				err = in.SetFaults([]Fault{f})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		ask := func(ctx context.Context, sender string) (code int) {
			err := in.faults.meet(ctx, occasion{verb: "RCPT", sender: sender, subjects: []string{"bob@example.net"}})
			if e, ok := errors.AsType[*smtp.Error](err); ok {
				return e.Code
			}
			if err != nil {
				return -1
			}
			return 0
		}
		// steps waits and asks, and compares what each asking is answered.
		steps := func(text string, waits []time.Duration, want ...int) {
			t.Helper()
			rule(text)
			var got []int
			for _, wait := range waits {
				time.Sleep(wait)
				got = append(got, ask(t.Context(), "ann@example.com"))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, asked after %v: %v, want %v", text, waits, got, want)
			}
		}
		steps("RCPT limit=2/1m 450", []time.Duration{0, 0, 0, time.Minute - time.Nanosecond, time.Nanosecond, 0, 0}, 0, 0, 450, 450, 0, 0, 450)
		steps("RCPT greylist=5m 451", []time.Duration{0, 5*time.Minute - time.Nanosecond, time.Nanosecond, time.Hour}, 451, 451, 0, 0)
		steps("RCPT disconnect", []time.Duration{0}, 421)
		steps("RCPT 100% 450", []time.Duration{0, 0, 0, 0, 0, 0}, 450, 450, 450, 450, 450, 450)

		rule("RCPT delay=5s 450")
		began := time.Now()
		if code := ask(t.Context(), ""); code != 450 || time.Since(began) != 5*time.Second {
			t.Errorf("a delay of 5s: %d after %v", code, time.Since(began))
		}
		ending, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if code := ask(ending, ""); code != -1 || time.Since(began) != time.Second {
			t.Errorf("a session that ends in a delay: %d after %v", code, time.Since(began))
		}
		rule("RCPT 50% 450")
		outcomes := map[int]bool{}
		for range 200 {
			outcomes[ask(t.Context(), "")] = true
		}
		if !outcomes[0] || !outcomes[450] {
			t.Errorf("of 200 cases of 50%% all are %v", outcomes)
		}
		// Whoever comes under ever other names makes the list forget, and not grow.
		rule("RCPT greylist=1ns 451")
		for i := range 2 * maxGreylisted {
			ask(t.Context(), strconv.Itoa(i))
			if n := len(in.faults.rules[0].first); n > maxGreylisted {
				t.Fatalf("the list has %d entries", n)
			}
		}
		time.Sleep(time.Nanosecond)
		if last, first := ask(t.Context(), strconv.Itoa(2*maxGreylisted-1)), ask(t.Context(), "0"); last != 0 || first != 451 {
			t.Errorf("the last of many is answered %d, the first %d; want 0 and 451", last, first)
		}
	})
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
