package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/internal/dialogue"
)

// The fault matrix: each dialogue in which a Send is played, cut off at each octet that
// its server says, or with another reply in the place of each. Then the server closes,
// resets the connection, or says nothing more until the Send is cancelled. What a
// recipient's fate must be follows from what was said up to there.

// ends is how a server ends a cut dialogue.
var ends = []string{"close", "stall", "reset"}

// others are said in the place of a reply.
var others = []string{"421 4.3.2 going down", "450 4.2.0 not now", "550 5.0.0 never", "354 go on", "650 what", "garbage", "25", "250-and so on"}

func TestFaultMatrix(t *testing.T) {
	scripts, err := dialogue.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]int{}
	for _, s := range scripts {
		if !s.Plays("send") || !plain(s) {
			continue
		}
		for i, step := range s.Steps {
			if step.Who != 'S' || step.Text == dialogue.Close {
				continue
			}
			before := s.Steps[:i:i]
			line := step.Text + "\r\n"
			for at := range len(line) + 1 {
				for _, end := range ends {
					if end == "reset" && at%7 != 0 && at != len(line) {
						continue // needs a real connection, which is dear
					}
					cells["cut, "+end]++
					playFault(t, s, append(before, dialogue.Step{Who: 'S', Text: line[:at], Open: true}), end)
				}
			}
			for _, other := range others {
				for _, end := range ends[:2] {
					cells["other reply, "+end]++
					playFault(t, s, append(before, dialogue.Step{Who: 'S', Text: other + "\r\n", Open: true}), end)
				}
			}
		}
	}
	total := 0
	for _, n := range cells {
		total += n
	}
	t.Logf("%d cells: %v", total, cells)
	if total < 5000 {
		t.Errorf("tried %d cells, want at least 5000", total)
	}
}

// plain tells whether every recipient of a script is said as it is.
func plain(s *dialogue.Script) bool {
	for _, step := range s.Steps {
		if addr, _ := splitFate(step.Text); step.Who == 'R' && !strings.Contains(fmt.Sprint(s.Steps), "<"+addr+">") {
			return strings.Contains(s.Name, "mail_refused") // nobody's RCPT is said
		}
	}
	return true
}

// A told is a connection that calls full when it has written n octets.
type told struct {
	net.Conn
	n    int
	full func()
}

func (c *told) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.n -= n; c.n <= 0 {
		c.full()
	}
	return n, err
}

func playFault(t *testing.T, s *dialogue.Script, steps []dialogue.Step, end string) {
	t.Helper()
	here, there := net.Pipe()
	if end == "reset" {
		here, there = Connection(t)
		there.(*net.TCPConn).SetLinger(0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last := dialogue.Step{Who: 'S', Text: dialogue.Close}
	if end == "stall" {
		said := 0
		for _, step := range steps {
			if step.Who == 'S' {
				said += len(strings.ReplaceAll(step.Text, "*", "ok")) + 2
			}
		}
		there = &told{there, said - 2, cancel} // the last has its CRLF, or none
		last.Who = 'C'
		if steps[len(steps)-1].Text == "" && len(steps) > 1 {
			steps = steps[:len(steps)-1]
		}
	}
	cut := &dialogue.Script{Name: s.Name, Steps: append(steps[:len(steps):len(steps)], last)}
	var player sync.WaitGroup
	player.Go(func() { (&dialogue.Player{Role: 'S', Conn: there}).Play(cut) })
	defer player.Wait()
	defer here.Close()

	env := &Envelope{From: "ann@example.com"}
	for _, step := range s.Steps {
		if step.Who == 'R' {
			addr, _ := splitFate(step.Text)
			env.To = append(env.To, Recipient{Address: addr})
		}
	}
	d := &Dialer{Hostname: "client.example.org", TLS: TLSNone}
	_, d.LMTP = s.Has("lmtp")
	dialled := false
	d.NetDial = func(context.Context, string, string) (net.Conn, error) {
		if dialled {
			return nil, errors.New("no second connection")
		}
		dialled = true
		return here, nil
	}
	tr := &Transport{Dialer: d}
	if len(steps) == 1 && steps[0].Text == "" && end == "stall" {
		cancel() // a server that says nothing at all
	}
	results, _ := tr.Send(ctx, env, strings.NewReader(sentMessage(s.Steps)))
	truth := follow(steps, d.LMTP)
	// A Send that is cancelled when the server has said something has heard it, but need
	// not have said more.
	truth.unsure = end == "stall" && steps[len(steps)-1].Who == 'C'
	for i, r := range results {
		if why := truth.judge(env.To[i].Address, fateOf(r.Err), end == "close"); why != "" {
			t.Errorf("%s, cut after %q, then %s: %s: got %s (%v): %s", s.Name, steps[len(steps)-1].Text, end, r.Rcpt, fateOf(r.Err), r.Err, why)
		}
	}
}

func fateOf(err error) string {
	for class, name := range map[error]string{ErrTemporary: "temporary", ErrPermanent: "permanent", ErrUnknown: "unknown"} {
		if errors.Is(err, class) {
			return name
		}
	}
	if err != nil {
		return "no class"
	}
	return "accepted"
}

// A truth is what a dialogue's server knows at the point where it was cut off.
type truth struct {
	heard   map[string]bool   // for whom it has the whole message
	unsure  bool              // whether it has
	blind   bool              // the client may have sent it to nobody: with its envelope, or after 354
	closing bool              // it has said 421
	odd     bool              // it has said what is no reply to what was asked
	fates   map[string]string // of whom it has decided about, and said so
}

// follow works out what a server has said to whom.
func follow(steps []dialogue.Step, lmtp bool) truth {
	k := truth{heard: map[string]bool{}, fates: map[string]string{}}
	asked := []string{"greeting"}
	var open []string  // recipients that were accepted
	var rcpts []string // those of the transaction
	end := func() {
		asked = append(asked, "END")
		for _, rcpt := range rcpts {
			k.heard[rcpt] = true
		}
	}
	inText := false
	first := "" // code of a reply that goes on
	for _, step := range steps {
		switch verb, arg, _ := strings.Cut(step.Text, " "); {
		case step.Who == 'C' && inText:
			if step.Text == "." {
				inText = false
				end()
			}
		case step.Who == 'C' && verb == "RCPT":
			rcpts = append(rcpts, strings.Trim(arg, "TO:<>"))
			asked = append(asked, "RCPT "+rcpts[len(rcpts)-1])
		case step.Who == 'C' && verb == "BDAT":
			end()
		case step.Who == 'C' && (verb == "MAIL" || verb == "DATA" || verb == "EHLO" || verb == "LHLO"):
			asked = append(asked, verb)
			if verb == "MAIL" {
				rcpts = nil
			}
		case step.Who == 'S':
			text := strings.TrimSuffix(step.Text, "\r\n")
			complete := !step.Open || strings.HasSuffix(step.Text, "\r\n")
			k.blind = k.blind || strings.HasSuffix(text, "CHUNKING") || strings.HasPrefix(text, "354")
			k.odd = k.odd || first != "" && !strings.HasPrefix(text, first)
			if first = ""; !complete || len(text) > 3 && text[3] == '-' {
				first = text[:min(3, len(text))]
				continue
			}
			code, _, _, ok := splitReply(text)
			if !ok || len(asked) == 0 {
				k.odd = true
				continue
			}
			if code/100 == 3 != (asked[0] == "DATA" && code/100 < 4) {
				k.odd = true
				continue
			}
			if asked[0] == "MAIL" && code/100 > 3 && rcpts != nil {
				for _, rcpt := range rcpts {
					k.fates[rcpt] = fateOfCode(code)
				}
			} else {
				inText = k.answer(asked[0], code, &open, lmtp) || inText
			}
			if asked[0] != "END" || len(open) == 0 || !lmtp {
				asked = asked[1:]
			}
			if code == 421 {
				k.closing = true
			}
		}
	}
	return k
}

func fateOfCode(code int) string {
	return map[int]string{2: "accepted", 3: "accepted", 4: "temporary", 5: "permanent"}[code/100]
}

// answer notes a reply, and tells whether the message is to follow.
func (k *truth) answer(asked string, code int, open *[]string, lmtp bool) bool {
	fate := fateOfCode(code)
	verb, rcpt, _ := strings.Cut(asked, " ")
	switch verb {
	case "greeting", "EHLO", "LHLO", "MAIL":
		if code/100 > 3 {
			k.fates["everybody"] = fate
		}
	case "RCPT":
		switch {
		case k.fates[rcpt] != "": // MAIL was refused
		case code/100 > 3:
			k.fates[rcpt] = fate
		default:
			*open = append(*open, rcpt)
		}
	case "DATA":
		if code/100 == 3 {
			return true
		}
		for _, rcpt := range *open {
			k.fates[rcpt] = fate
		}
	case "END":
		n := len(*open)
		if lmtp && n > 0 {
			n = 1
		}
		for _, rcpt := range (*open)[:n] {
			k.fates[rcpt] = fate
		}
		*open = (*open)[n:]
	}
	return false
}

// judge tells what is wrong with the fate got; "" if nothing is. heardOut says that the
// client has had all that was said.
func (k *truth) judge(rcpt, got string, heardOut bool) string {
	said := k.fates["everybody"]
	if said == "" || k.fates[rcpt] == "accepted" { // in a transaction before
		said = k.fates[rcpt]
	}
	switch {
	case got == "no class":
		return "an error is of a class"
	case got == "accepted" && said != "accepted":
		return "it was never accepted"
	case got == "unknown" && !k.heard[rcpt] && !k.blind:
		return "the message was never sent"
	case said == "accepted" && (got == "temporary" || got == "permanent"):
		return "it was accepted"
	case said == "" && got == "permanent":
		return "nobody has refused it"
	case said == "" && k.heard[rcpt] && got == "temporary" && !k.closing && !k.unsure:
		return "it may have been delivered"
	case said != "" && heardOut && got != said && !k.odd:
		return "the server has said: " + said
	}
	return ""
}
