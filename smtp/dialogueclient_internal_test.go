package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/internal/dialogue"
	"github.com/postrider/postrider/sasl"
)

// The dialogues, as our client plays them: verb by verb, or as one call of Send.

func playClient(t *testing.T, s *dialogue.Script, cert tls.Certificate, split bool) {
	here, there := Connection(t)
	player := &dialogue.Player{Role: 'S', Conn: there, Split: split}
	dialer := &Dialer{}
	if _, ok := s.Has("tls"); ok {
		player.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	_, dialer.LMTP = s.Has("lmtp")
	done := make(chan error, 1)
	go func() { done <- player.Play(s) }()
	d := &driver{t: t, c: newClient(dialer, here, ""), steps: s.Steps, name: s.Name}
	d.drive()
	d.c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A driver makes a Client say what a script's C: lines say, verb by verb.
type driver struct {
	t     *testing.T
	c     *Client
	steps []dialogue.Step
	name  string
}

func (d *driver) drive() {
	ctx := d.t.Context()
	r, err := d.c.Greeting(ctx)
	d.check("greeting", r, err)
	if again, _ := d.c.Greeting(ctx); err == nil && again != r { // it is not read twice
		d.t.Errorf("the greeting, asked for again: got %v, want %v", again, r)
	}
	for len(d.steps) > 0 && !d.t.Failed() {
		step := d.steps[0]
		d.steps = d.steps[1:]
		if step.Who != 'C' || step.Text == dialogue.TLS {
			continue
		}
		r, err := d.say(ctx, step.Text)
		d.check(step.Text, r, err)
	}
}

// take returns the C: steps that follow.
func (d *driver) take() (texts []dialogue.Step) {
	for len(d.steps) > 0 && d.steps[0].Who == 'C' {
		texts = append(texts, d.steps[0])
		d.steps = d.steps[1:]
	}
	return texts
}

func (d *driver) say(ctx context.Context, line string) (Reply, error) {
	verb, arg, _ := strings.Cut(line, " ")
	all := func(string) bool { return true }
	switch verb {
	case "EHLO":
		if len(d.steps) > 1 && strings.HasPrefix(d.steps[1].Text, "HELO") {
			d.steps = d.steps[2:] // a Client says it by itself
		}
		return d.c.Hello(ctx, arg)
	case "MAIL":
		var o MailOptions
		from, rest, err := address.ParsePath(strings.TrimPrefix(arg, "FROM:"))
		if err == nil && parseParams(&o, rest, mailParams, all) == nil {
			return d.c.Mail(ctx, from, &o)
		}
	case "RCPT":
		var o RcptOptions
		to, rest, err := address.ParsePath(strings.TrimPrefix(arg, "TO:"))
		if err == nil && parseParams(&o, rest, rcptParams, all) == nil {
			return d.c.Rcpt(ctx, to, &o)
		}
	case "DATA":
		if arg == "" {
			return d.data(ctx)
		}
	case "BDAT":
		size, last, ok := parseBdat(arg)
		var chunk strings.Builder
		for _, s := range d.take() {
			chunk.WriteString(s.Text)
		}
		if ok && int(size) == len(chunk.String()) {
			return d.c.Bdat(ctx, []byte(chunk.String()), last)
		}
		d.t.Fatalf("%s: a chunk of %d octets after %q", d.name, len(chunk.String()), line)
	case "STARTTLS":
		if arg == "" {
			return d.c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true})
		}
	case "AUTH":
		if arg == "PLAIN AGFubgBzZWNyZXQ=" && d.c.has("AUTH") {
			return d.c.Auth(ctx, sasl.Password("ann", "secret"))
		}
	case "RSET":
		if arg == "" {
			return d.c.Reset(ctx)
		}
	case "VRFY":
		return d.c.Verify(ctx, strings.TrimSuffix(arg, " SMTPUTF8"))
	case "EXPN":
		return d.c.Expand(ctx, strings.TrimSuffix(arg, " SMTPUTF8"))
	case "HELP":
		return d.c.Help(ctx, arg)
	case "QUIT":
		if arg == "" {
			return d.c.Quit(ctx)
		}
	}
	return d.c.Command(ctx, line)
}

// data says DATA and, when it may, the message.
func (d *driver) data(ctx context.Context) (Reply, error) {
	w, err := d.c.Data(ctx)
	if err != nil {
		r := Reply{}
		if e := findError(err); e != nil {
			r = Reply{e.Code, e.Enhanced, e.Text}
		}
		return r, err
	}
	d.steps = d.steps[1:] // the 354
	for _, s := range d.take() {
		if s.Text == "." {
			break
		}
		io.WriteString(w, strings.TrimPrefix(s.Text, ".")+"\r\n")
	}
	err = w.Close()
	if len(w.Replies()) == 0 {
		return Reply{}, err
	}
	return w.Replies()[0], err
}

// check compares what the Client returned with the S: and E: lines that follow.
func (d *driver) check(what string, r Reply, err error) {
	var want string
	for len(d.steps) > 0 && d.steps[0].Who != 'C' {
		step := d.steps[0]
		d.steps = d.steps[1:]
		switch {
		case step.Who == 'E':
			if err == nil || !strings.Contains(err.Error(), step.Text) {
				d.t.Errorf("%s: %s: got error %v, want one with %q", d.name, what, err, step.Text)
			}
			return
		case step.Text != dialogue.Close && step.Text != dialogue.Any:
			want = step.Text
		}
	}
	if len(want) < 3 {
		return
	}
	if strconv.Itoa(r.Code) != want[:3] {
		d.t.Errorf("%s: %s: got %v (%v), want %q", d.name, what, r, err, want)
	}
	refused := want[0] == '4' || want[0] == '5'
	if (findError(err) != nil) != refused {
		d.t.Errorf("%s: %s: got error %v for %q", d.name, what, err, want)
	}
}

// playSend makes Send say a whole transaction; R: lines tell what must come of it.
func playSend(t *testing.T, s *dialogue.Script, _ tls.Certificate, split bool) {
	here, there := Connection(t)
	player := &dialogue.Player{Role: 'S', Conn: there, Split: split}
	done := make(chan error, 1)
	go func() { done <- player.Play(s) }()
	dialer := &Dialer{Hostname: "client.example.org", TLS: TLSNone}
	_, dialer.LMTP = s.Has("lmtp")
	c, err := dialer.Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	env := &Envelope{From: "ann@example.com"}
	var fates []string
	for _, step := range s.Steps {
		if step.Who == 'R' {
			addr, fate := splitFate(step.Text)
			env.To = append(env.To, Recipient{Address: addr})
			fates = append(fates, fate)
		}
	}
	results, err := c.Send(t.Context(), env, strings.NewReader(sentMessage(s.Steps)))
	if len(results) != len(env.To) {
		t.Fatalf("got %d results, want %d", len(results), len(env.To))
	}
	for i, r := range results {
		got := "accepted " + r.ID
		for class, name := range map[error]string{ErrTemporary: "temporary", ErrPermanent: "permanent", ErrUnknown: "unknown"} {
			if errors.Is(r.Err, class) {
				got = name
			}
		}
		if strings.TrimSpace(got) != fates[i] || r.Rcpt != env.To[i].Address {
			t.Errorf("%s: got %s (%v), want %s", r.Rcpt, got, r.Err, fates[i])
		}
	}
	var all *SendError
	if good := !strings.Contains(strings.Join(fates, " "), "t ") && err == nil; !good && !errors.As(err, &all) {
		t.Errorf("got error %v, want a SendError", err)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// splitFate parts "address fate", where the address may hold anything.
func splitFate(s string) (addr, fate string) {
	for _, word := range []string{" accepted", " temporary", " permanent", " unknown"} {
		if i := strings.LastIndex(s, word); i >= 0 {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// sentMessage is the message that a script's client sends.
func sentMessage(steps []dialogue.Step) string {
	var b strings.Builder
	in, chunk := false, false
	for _, s := range steps {
		switch {
		case s.Who != 'C' && !strings.HasPrefix(s.Text, "354"):
			in = in && !chunk
		case s.Who == 'S', s.Who == 'C' && strings.HasPrefix(s.Text, "BDAT"):
			in, chunk = true, s.Who == 'C'
		case in && s.Text == "." && !chunk:
			return b.String()
		case in && chunk:
			b.WriteString(s.Text + "\r\n")
		case in:
			b.WriteString(strings.TrimPrefix(s.Text, ".") + "\r\n")
		}
	}
	if b.Len() == 0 {
		return "Subject: x\r\n"
	}
	return b.String()
}
