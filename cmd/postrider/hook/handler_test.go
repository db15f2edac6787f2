package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// Hooks before a Handler, asked by a real server.

// kept is what the Handler behind the hooks is given.
type kept struct {
	to   []string
	data string
}

// behind serves h, in TLS, before a Handler that keeps what it is given and knows nobody but who is at example.net. Its
// users are those of auth.
func behind(t *testing.T, h *Handler, auth *Hook) (client *smtp.Client, all func() []kept) {
	t.Helper()
	var got []kept
	h.Next = &smtp.Hooks{
		OnSender: func(_ context.Context, _ *smtp.Conn, from string, _ *smtp.MailOptions) error {
			if from == "eve@example.org" {
				return smtp.Errorf(550, "5.7.1", "not you")
			}
			return nil
		},
		OnRcpt: func(_ context.Context, _ *smtp.Conn, to string, _ *smtp.RcptOptions) error {
			if !strings.HasSuffix(to, "@example.net") {
				return smtp.Errorf(550, "5.7.1", "not there")
			}
			return nil
		},
		OnData: func(_ context.Context, _ *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
			b, err := io.ReadAll(r)
			k := kept{data: string(b)}
			for _, to := range env.To {
				k.to = append(k.to, to.Address)
			}
			got = append(got, k)
			return "", err
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config, trusting := smtptest.TLS(t)
	srv := &smtp.Server{Handler: h, TLSConfig: config, MaxRecipients: 10_000, OnAuth: auth.Password}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	d := smtp.Dialer{Hostname: "client.example.com", TLSConfig: trusting, Auth: sasl.Password("ann", "x")}
	if client, err = d.Dial(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, func() []kept { return got }
}

// told reads what a script has written of its standard input.
func told(t *testing.T, path string) (m map[string]any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatalf("it was told %s: %v", b, err)
	}
	return m
}

const text = "From: ann@example.com\r\nSubject: x\r\nContent-Type: application/octet-stream; name=a\r\nContent-Disposition: attachment\r\n\r\nabc\r\n"

// Each is asked about what it is for, with the session in the question, and what was asked about goes on as it came.
func TestHandlerAsks(t *testing.T) {
	for _, prefix := range []string{"", "content:", "raw:"} {
		dir := t.TempDir()
		path := script(t, `cat >`+dir+`/$1; env >`+dir+`/$1.env`)
		h := &Handler{OnMail: parse(t, Mail, prefix+path+" mail"), OnRcpt: parse(t, Rcpt, path+" rcpt")}
		c, all := behind(t, h, parse(t, Auth, path+" auth"))
		if _, err := c.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net", "eve@example.org"), strings.NewReader(text)); err == nil {
			t.Error("the recipient that Next refuses is accepted")
		}
		if got := all(); len(got) != 1 || got[0].data != text || len(got[0].to) != 1 {
			t.Errorf("%s: got %+v, want the message as it came", prefix, got)
		}
		auth := told(t, filepath.Join(dir, "auth"))
		if auth["ip"] != "127.0.0.1" || auth["user"] != "ann" || auth["password"] != "x" || auth["tls"] != "TLS 1.3" {
			t.Errorf("%s: about a user it was told %v", prefix, auth)
		}
		rcpt := told(t, filepath.Join(dir, "rcpt"))
		if rcpt["tls"] != "TLS 1.3" || rcpt["ip"] != "127.0.0.1" || rcpt["host"] != "client.example.com" || rcpt["user"] != "ann" || rcpt["sender"] != "ann@example.com" || rcpt["recipient"] != "eve@example.org" {
			t.Errorf("%s: about a recipient it was told %v", prefix, rcpt)
		}
		env, err := os.ReadFile(filepath.Join(dir, "mail.env"))
		if err != nil || !strings.Contains(string(env), fmt.Sprintf("MAIL_SIZE=%d\n", len(text))) || !strings.Contains(string(env), "MAIL_RECIPIENTS=bob@example.net\n") {
			t.Errorf("%s: the environment was\n%s, %v", prefix, env, err)
		}
		if prefix == "raw:" {
			if b, err := os.ReadFile(filepath.Join(dir, "mail")); string(b) != text || err != nil {
				t.Errorf("it was told %q, %v, want the message", b, err)
			}
			continue
		}
		m := told(t, filepath.Join(dir, "mail"))
		attachment := m["attachments"].([]any)[0].(map[string]any)
		if m["ip"] != "127.0.0.1" || m["user"] != "ann" || m["sender"] != "ann@example.com" || fmt.Sprint(m["recipients"]) != "[bob@example.net]" ||
			m["subject"] != "x" || m["size"] != float64(len(text)) || m["received"] == nil || (attachment["content"] == "YWJjDQo=") != (prefix == "content:") {
			t.Errorf("%s: about the message it was told %v", prefix, m)
		}
	}
}

// Who is refused by either, or by Next, is refused, and nothing goes on.
func TestHandlerRefuses(t *testing.T) {
	yes, no := script(t, "exit 0"), script(t, "echo not here; exit 1")
	for _, c := range []struct{ from, mail, rcpt, want string }{
		{"ann@example.com", no, yes, "BDAT: 550 5.7.1 not here"}, {"ann@example.com", yes, no, "RCPT: 550 5.7.1 not here"}, {"eve@example.org", yes, yes, "MAIL: 550 5.7.1 not you"},
	} {
		client, all := behind(t, &Handler{OnMail: parse(t, Mail, c.mail), OnRcpt: parse(t, Rcpt, c.rcpt)}, parse(t, Auth, yes))
		_, err := client.Send(t.Context(), smtp.NewEnvelope(c.from, "bob@example.net"), strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), c.want) || all() != nil {
			t.Errorf("%+v: got %v, and %d messages went on", c, err, len(all()))
		}
	}
	client, all := behind(t, new(Handler), parse(t, Auth, yes))
	if _, err := client.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader(text)); err != nil || len(all()) != 1 {
		t.Errorf("nobody is asked: got %v, and %d messages went on", err, len(all()))
	}
}

type offering struct{ *smtp.Hooks }

func (offering) Offers() []string { return []string{"DSN"} }

// What Next honours is offered, and nothing else.
func TestHandlerOffers(t *testing.T) {
	if got := (&Handler{Next: offering{}}).Offers(); len(got) != 1 || got[0] != "DSN" {
		t.Errorf("got %q, want DSN", got)
	}
	if got := (&Handler{Next: new(smtp.Hooks)}).Offers(); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
}

// More recipients than a variable may hold are asked to come by themselves, where a command is told of them all.
func TestHandlerRecipients(t *testing.T) {
	var to []string
	for i := range 1500 {
		to = append(to, fmt.Sprintf("%051d@example.net", i))
	}
	fit := maxEnv / (len(to[0]) + 1)
	for asks, want := range map[bool]int{true: fit, false: len(to)} {
		h := new(Handler)
		if asks {
			h.OnMail = parse(t, Mail, script(t, "exit 0"))
		}
		client, all := behind(t, h, parse(t, Auth, script(t, "exit 0")))
		results, _ := client.Send(t.Context(), smtp.NewEnvelope("ann@example.com", to...), strings.NewReader(text))
		if got := all(); len(got) != 1 || len(got[0].to) != want {
			t.Fatalf("asked %v: got %d messages, want one to %d", asks, len(got), want)
		}
		if last := results[len(to)-1]; asks && last.Reply.Code != 452 || !asks && last.Err != nil {
			t.Errorf("asked %v: the last recipient got %+v", asks, last)
		}
	}
}
