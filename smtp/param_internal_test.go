package smtp

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Options go out as their extensions have them, and come in as they went out.
func TestParams(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	all := func(string) bool { return true }
	for want, o := range map[string]MailOptions{
		" BY=120;R":                        {By: DeliverBy{Within: 2 * time.Minute, Mode: ByReturn}},
		" BY=-5;NT":                        {By: DeliverBy{Within: -5 * time.Second, Mode: ByNotify, Trace: true}},
		" HOLDFOR=3600":                    {HoldFor: time.Hour},
		" HOLDUNTIL=2030-01-02T03:04:05Z":  {HoldUntil: at},
		" MT-PRIORITY=-3":                  {Priority: -3},
		" SIZE=7 BODY=8BITMIME SMTPUTF8":   {Size: 7, Body: Body8BitMIME, UTF8: true},
		" RET=HDRS ENVID=a+20b AUTH=<>":    {Return: ReturnHeader, EnvelopeID: "a b", Auth: "<>"},
		" REQUIRETLS AUTH=ann@example.com": {RequireTLS: true, Auth: "ann@example.com"},
	} {
		line, err := appendParams(nil, &o, "", mailParams, all)
		if err != nil || string(line) != want {
			t.Errorf("%+v: got %q, %v, want %q", o, line, err, want)
		}
		var back MailOptions
		if e := parseParams(&back, want, mailParams, all); e != nil || back != o {
			t.Errorf("%q: got %+v, %v, want %+v", want, back, e, o)
		}
	}
	for _, bad := range []string{
		"BY=", "BY=1", "BY=1;X", "BY=0;R", "BY=-1;R", "BY=1234567890;N", "BY=--1;N", "BY=-+1;N", "BY=+-1;N", "BY=+;N", "HOLDFOR=0", "HOLDFOR=060", "HOLDFOR=-1", "HOLDFOR=1234567890",
		"HOLDUNTIL=tomorrow", "HOLDFOR=1 HOLDUNTIL=2030-01-02T03:04:05Z", "MT-PRIORITY=10", "MT-PRIORITY=", "MT-PRIORITY=+1", "MT-PRIORITY=-0", "MT-PRIORITY=00", "SIZE=1 SIZE=1", "SMTPUTF8 REQUIRETLS SMTPUTF8",
	} {
		var o MailOptions
		if e := parseParams(&o, " "+bad, mailParams, all); e == nil || e.Code != 501 {
			t.Errorf("%q: got %v, want 501", bad, e)
		}
	}
}

// A time that is still to come may say so by its sign (RFC 2852, 4).
func TestParamsSign(t *testing.T) {
	var o MailOptions
	e := parseParams(&o, " BY=+120;R", mailParams, func(string) bool { return true })
	if want := (DeliverBy{Within: 2 * time.Minute, Mode: ByReturn}); e != nil || o.By != want {
		t.Errorf("BY=+120;R: got %+v, %v, want %+v", o.By, e, want)
	}
}

// The same of a recipient's.
func TestParamsRcpt(t *testing.T) {
	at := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	all := func(string) bool { return true }
	for want, o := range map[string]RcptOptions{
		" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+20b@x": {Notify: NotifySuccess | NotifyDelay, Original: "rfc822;a b@x"},
		" RRVS=2014-04-03T23:01:00Z":                 {ValidSince: at},
		" RRVS=2014-04-03T23:01:00Z;C":               {ValidSince: at, Unchecked: true},
	} {
		line, err := appendParams(nil, &o, "", rcptParams, all)
		if err != nil || string(line) != want {
			t.Errorf("%+v: got %q, %v, want %q", o, line, err, want)
		}
		var back RcptOptions
		if e := parseParams(&back, want, rcptParams, all); e != nil || back != o {
			t.Errorf("%q: got %+v, %v, want %+v", want, back, e, o)
		}
	}
	var o RcptOptions
	if e := parseParams(&o, " RRVS=2014-04-04T01:01:00+02:00;r", rcptParams, all); e != nil || o != (RcptOptions{ValidSince: at}) {
		t.Errorf("another zone, and what is so anyway: got %+v, %v", o, e)
	}
	for _, bad := range []string{"RRVS", "RRVS=", "RRVS=2014", "RRVS=2014-04-03T23:01:00Z;", "RRVS=2014-04-03T23:01:00Z;X", "RRVS=2014-04-03T23:01:00Z;C;R", "RRVS=0001-01-01T00:00:00Z"} {
		if e := parseParams(&o, " "+bad, rcptParams, all); e == nil || e.Code != 501 {
			t.Errorf("%q: got %v, want 501", bad, e)
		}
	}
	none := func(string) bool { return false }
	if _, err := appendParams(nil, &RcptOptions{ValidSince: at}, "", rcptParams, none); !errors.Is(err, ErrUnsupported) {
		t.Errorf("not offered: got %v, want ErrUnsupported", err)
	}
	if line, err := appendParams(nil, &RcptOptions{ValidSince: at, Unchecked: true}, "", rcptParams, none); err != nil || len(line) != 0 {
		t.Errorf("not offered, to go on: got %q, %v, want nothing said", line, err)
	}
}

// What a message cannot do without is not left out.
func TestParamsNotOffered(t *testing.T) {
	none := func(string) bool { return false }
	for _, o := range []MailOptions{{UTF8: true}, {RequireTLS: true}, {By: DeliverBy{time.Hour, ByReturn, false}}, {HoldFor: time.Hour}, {HoldUntil: time.Unix(1e9, 0)}} {
		if _, err := appendParams(nil, &o, "", mailParams, none); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%+v: got %v, want ErrUnsupported", o, err)
		}
	}
	o := MailOptions{Size: 1, Body: Body8BitMIME, Priority: 3, Return: ReturnFull, EnvelopeID: "x", By: DeliverBy{time.Hour, ByNotify, false}}
	if line, err := appendParams(nil, &o, "", mailParams, none); err != nil || len(line) != 0 {
		t.Errorf("got %q, %v, want nothing said", line, err)
	}
}

// Further parameters are passed on as they are, but nothing that would be a line.
func TestParamsExtra(t *testing.T) {
	c := NewClient(nil)
	line, err := c.rcptLine("bob@example.net", &RcptOptions{Extra: "XONE XTWO=2"})
	if want := "RCPT TO:<bob@example.net> XONE XTWO=2"; line != want || err != nil {
		t.Errorf("got %q, %v, want %q", line, err, want)
	}
	for _, bad := range []string{"X=1\r\nRCPT", "X\x00", "A B\x7f"} {
		line, err := c.mailLine("ann@example.com", &MailOptions{Extra: bad})
		if strings.ContainsAny(line, "\r\n\x00\x7f") || err == nil && strings.ContainsAny(bad, "\x00\x7f") {
			t.Errorf("%q: got %q, %v", bad, line, err)
		}
	}
}

// What no server could take is not said to one: RFC 2852, 4, RFC 4865, 3, RFC 6710, 7 and
// RFC 3461, 4.
func TestParamsOutOfRange(t *testing.T) {
	all := func(string) bool { return true }
	const most = 999_999_999 * time.Second
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, o := range map[string]MailOptions{
		" BY=999999999;R":                    {By: DeliverBy{Within: most, Mode: ByReturn}},
		" BY=-999999999;N":                   {By: DeliverBy{Within: -most, Mode: ByNotify}},
		" BY=0;N":                            {By: DeliverBy{Mode: ByNotify}},
		" BY=1;RT":                           {By: DeliverBy{Within: time.Second, Mode: ByReturn, Trace: true}},
		" HOLDFOR=999999999":                 {HoldFor: most},
		" HOLDFOR=1":                         {HoldFor: time.Second},
		" MT-PRIORITY=9":                     {Priority: 9},
		" MT-PRIORITY=-9":                    {Priority: -9},
		" ENVID=" + strings.Repeat("x", 100): {EnvelopeID: strings.Repeat("x", 100)},
	} {
		if line, err := appendParams(nil, &o, "", mailParams, all); err != nil || string(line) != want {
			t.Errorf("%+v: got %q, %v, want %q", o, line, err, want)
		}
	}
	for name, o := range map[string]MailOptions{
		"nothing is returned before now": {By: DeliverBy{Mode: ByReturn}},
		"nor within less than a second":  {By: DeliverBy{Within: time.Second - 1, Mode: ByReturn}},
		"nor in the past":                {By: DeliverBy{Within: -time.Second, Mode: ByReturn}},
		"ten digits":                     {By: DeliverBy{Within: most + time.Second, Mode: ByReturn}},
		"ten digits, past":               {By: DeliverBy{Within: -most - time.Second, Mode: ByNotify}},
		"a mode of another's":            {By: DeliverBy{Within: time.Second, Mode: "X"}},
		"held for nothing":               {HoldFor: time.Second - 1},
		"held for ten digits":            {HoldFor: most + time.Second},
		"held in two ways":               {HoldFor: time.Second, HoldUntil: at},
		"held until five digits":         {HoldUntil: at.AddDate(9000, 0, 0)},
		"more than the highest":          {Priority: 10},
		"less than the lowest":           {Priority: -10},
		"a body of another kind":         {Body: "9BIT"},
		"a return of another kind":       {Return: "SOME"},
		"an id that is too long":         {EnvelopeID: strings.Repeat("x", 101)},
		"an id that is too long encoded": {EnvelopeID: strings.Repeat(" ", 34)},
		"submitted by nobody":            {Auth: "ann"},
	} {
		if line, err := appendParams(nil, &o, "", mailParams, all); !errors.Is(err, ErrPermanent) {
			t.Errorf("%s: got %q, %v, want ErrPermanent", name, line, err)
		}
	}
	for name, o := range map[string]RcptOptions{
		"never, but":              {Notify: NotifyNever | NotifySuccess},
		"on no occasion there is": {Notify: 1 << 7},
		"an address of no kind":   {Original: "ann@example.com"},
		"a kind of no address":    {Original: "rfc822;"},
		"a kind of two words":     {Original: "rfc 822;ann@example.com"},
	} {
		if line, err := appendParams(nil, &o, "", rcptParams, all); !errors.Is(err, ErrPermanent) {
			t.Errorf("%s: got %q, %v, want ErrPermanent", name, line, err)
		}
	}
}

// What a server has said that it will refuse is not said to it: RFC 4865, 4.1 and 5, and
// RFC 2852, 4.1.4.1.
func TestParamsBeyond(t *testing.T) {
	c := NewClient(nil)
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for name, x := range map[string]struct {
		from, hold, by string // what the server announces
		opts           MailOptions
		want           bool
	}{
		"held as long as it can be": {"ann@example.com", "600 2999-01-01T00:00:00Z", "", MailOptions{HoldFor: 10 * time.Minute}, true},
		"held longer":               {"ann@example.com", "600 2999-01-01T00:00:00Z", "", MailOptions{HoldFor: 601 * time.Second}, false},
		"held until the last":       {"ann@example.com", "600 2030-01-01T00:00:00Z", "", MailOptions{HoldUntil: time.Unix(1893456000, 0)}, true},
		"held a second longer":      {"ann@example.com", "600 2030-01-01T00:00:00Z", "", MailOptions{HoldUntil: time.Unix(1893456001, 0)}, false},
		"nobody says how long":      {"ann@example.com", "", "", MailOptions{HoldFor: 999 * time.Hour}, true},
		"a report that is held":     {"", "600", "", MailOptions{HoldFor: time.Minute}, false},
		"a report held until then":  {"", "600", "", MailOptions{HoldUntil: in(time.Minute)}, false},
		"a report":                  {"", "600", "60", MailOptions{Size: 1}, true},
		"in time":                   {"ann@example.com", "", "60", MailOptions{By: DeliverBy{Within: time.Minute, Mode: ByReturn}}, true},
		"too soon":                  {"ann@example.com", "", "60", MailOptions{By: DeliverBy{Within: 59 * time.Second, Mode: ByReturn}}, false},
		"too soon, and more to say": {"ann@example.com", "", "60,X", MailOptions{By: DeliverBy{Within: 59 * time.Second, Mode: ByReturn}}, false},
		"soon, to be told":          {"ann@example.com", "", "60", MailOptions{By: DeliverBy{Within: 59 * time.Second, Mode: ByNotify}}, true},
		"no least time":             {"ann@example.com", "", ",X", MailOptions{By: DeliverBy{Within: time.Second, Mode: ByReturn}}, true},
		"late when it is released":  {"ann@example.com", "600", "", MailOptions{HoldFor: time.Minute, By: DeliverBy{Within: time.Minute, Mode: ByNotify}}, false},
		"late, by the clock":        {"ann@example.com", "600", "", MailOptions{HoldUntil: in(time.Minute), By: DeliverBy{Within: time.Second, Mode: ByReturn}}, false},
		"released in time":          {"ann@example.com", "600", "", MailOptions{HoldUntil: in(time.Minute), By: DeliverBy{Within: time.Hour, Mode: ByReturn}}, true},
	} {
		c.extensions = map[string]string{"SIZE": "", "FUTURERELEASE": x.hold, "DELIVERBY": x.by}
		if line, err := c.mailLine(x.from, &x.opts); (err == nil) != x.want || err != nil && !errors.Is(err, ErrPermanent) {
			t.Errorf("%s: got %q, %v, want it said: %v", name, line, err, x.want)
		}
	}
}

// Limits are obeyed that are well-formed, and the others not there (RFC 9422, 3.7).
func TestParseLimits(t *testing.T) {
	for params, want := range map[string]limits{
		"":                                       {},
		"RCPTMAX=20 MAILMAX=5":                   {mails: 5, rcpts: 20},
		"rcptdomainmax=999999  X-Y_1=a=b NEW":    {domains: 999999},
		"RCPTMAX=1000000 MAILMAX=5":              {mails: 5},
		"RCPTMAX=0 MAILMAX=05 RCPTDOMAINMAX=1":   {domains: 1},
		"RCPTMAX=+5 MAILMAX=-5 RCPTDOMAINMAX=5x": {},
		"MAILMAX=5 RCPTMAX":                      {mails: 5},
		"MAILMAX=5 RCPTMAX=":                     {},
		"MAILMAX=5; RCPTMAX=7":                   {},
		"MAILMAX=5 =7":                           {},
		"MAILMAX=5 RCPT.MAX=7":                   {},
		"MAILMAX=5 RCPT:MAX=7":                   {},
		"MAILMAX=5 RCPT/MAX=7":                   {},
		"MAILMAX=5 [X]=7":                        {},
		"MAILMAX=5 {X}=7":                        {},
	} {
		if got := parseLimits(params); got != want {
			t.Errorf("LIMITS %s: got %+v, want %+v", params, got, want)
		}
	}
}

// What is read back is read into a copy: an envelope is the caller's, and may be sent by
// several at once. It costs the commands and nothing else.
func TestParamsReadBack(t *testing.T) {
	c := NewClient(nil)
	c.extensions = map[string]string{"8BITMIME": "", "FUTURERELEASE": "", "DSN": "", "RRVS": ""}
	env := NewEnvelope("ann@example.com", "bob@example.net")
	env.Options = MailOptions{Body: "8bitmime", HoldFor: 1500 * time.Millisecond}
	env.To[0].Options = RcptOptions{ValidSince: time.Unix(1e9, 1).UTC(), Notify: NotifyFailure}
	want := *env
	want.To = slices.Clone(env.To)
	s := &sending{c: c, env: env, opts: env.Options, results: make([]Result, 1)}
	if _, err := s.spell(); err != nil || s.mail != "MAIL FROM:<ann@example.com> BODY=8bitmime HOLDFOR=1" {
		t.Errorf("got %q, %v", s.mail, err)
	}
	if !reflect.DeepEqual(*env, want) {
		t.Errorf("the envelope became %+v, want it as it was: %+v", *env, want)
	}
	opts := MailOptions{Body: Body8BitMIME}
	if n := testing.AllocsPerRun(100, func() { c.mailLine("ann@example.com", &opts) }); n > 1 {
		t.Errorf("got %v allocations for a command, want 1", n)
	}
}

// BenchmarkEnvelope writes the commands of an envelope whose options are the usual ones.
func BenchmarkEnvelope(b *testing.B) {
	c := NewClient(nil)
	c.extensions = map[string]string{"SIZE": "", "8BITMIME": "", "DSN": ""}
	env := NewEnvelope("ann@example.com", "bob@example.net", "eve@example.net")
	env.Options = MailOptions{Size: 12345, Body: Body8BitMIME, Return: ReturnHeader}
	for i := range env.To {
		env.To[i].Options.Notify = NotifyFailure
	}
	b.ReportAllocs()
	for b.Loop() {
		s := &sending{c: c, env: env, opts: env.Options, results: make([]Result, len(env.To))}
		if _, err := s.spell(); err != nil {
			b.Fatal(err)
		}
	}
}
