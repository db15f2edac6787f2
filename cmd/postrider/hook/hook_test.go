package hook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

// script writes a script for the shell and returns its path.
func script(t *testing.T, lines string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the scripts are for a Unix shell")
	}
	path := filepath.Join(t.TempDir(), "hook.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func parse(t *testing.T, kind Kind, text string) *Hook {
	t.Helper()
	h, err := Parse(kind, text, Settings{Secret: []byte("s3cret"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h.pause = time.Millisecond
	return h
}

// check compares what a hook said; code 0 is yes, -1 a fault of this side.
func check(t *testing.T, what string, err error, code int, enhanced smtp.EnhancedCode, text string) {
	t.Helper()
	e, said := errors.AsType[*smtp.Error](err)
	switch {
	case code == 0 && err == nil:
	case code == -1 && err != nil && !said:
	case code > 0 && said && e.Code == code && e.Enhanced == enhanced && strings.Contains(e.Text, text):
	default:
		t.Errorf("%s: got %v, want %d %s with %q", what, err, code, enhanced, text)
	}
}

// Every exit code has the outcome that the documentation gives it.
func TestExitCodes(t *testing.T) {
	path := script(t, `echo "because of $1"; exit $1`)
	for code := range 256 {
		h := parse(t, Mail, fmt.Sprintf("%s %d", path, code))
		err := h.Ask(t.Context(), Question{})
		what, text := fmt.Sprintf("exit code %d", code), fmt.Sprintf("because of %d", code)
		switch {
		case code == 0:
			check(t, what, err, 0, "", "")
		case code == 75:
			check(t, what, err, 451, "4.3.0", text)
		case code == 65:
			check(t, what, err, 554, "5.6.0", text)
		case code == 67:
			check(t, what, err, 550, "5.1.1", text)
		case code == 68:
			check(t, what, err, 550, "5.1.2", text)
		case code == 1, code >= 64 && code <= 78:
			check(t, what, err, 550, "5.7.1", text)
		default:
			check(t, what, err, -1, "", "")
		}
	}
	// AUTH has replies of its own (RFC 4954, 6).
	check(t, "AUTH, 1", parse(t, Auth, path+" 1").Ask(t.Context(), Question{}), 535, "5.7.8", "because")
	check(t, "AUTH, 75", parse(t, Auth, path+" 75").Ask(t.Context(), Question{}), 454, "4.7.0", "because")
}

// What is broken defers, and does not hang.
func TestBrokenCommands(t *testing.T) {
	for _, c := range []struct{ name, lines string }{
		{"a signal", "kill -9 $$"}, {"a program that is not there", "no-such-program-anywhere"}, {"killed by itself", "kill $$"},
	} {
		check(t, c.name, parse(t, Mail, script(t, c.lines)).Ask(t.Context(), Question{}), -1, "", "")
	}
	path := script(t, "exit 0")
	h := parse(t, Mail, path)
	check(t, "there", h.Ask(t.Context(), Question{}), 0, "", "")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, "not executable any more", h.Ask(t.Context(), Question{}), -1, "", "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check(t, "gone", h.Ask(t.Context(), Question{}), -1, "", "")
}

// A command that takes too long is ended with all that it has started.
func TestTimeout(t *testing.T) {
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	h := parse(t, Mail, script(t, "sleep 600 & echo $! >"+pid+".new; mv "+pid+".new "+pid+"; wait"))
	h.timeout = 2 * time.Second
	err := h.Ask(t.Context(), Question{})
	check(t, "too long", err, -1, "", "")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "on-mail: no answer in 2s: ") {
		t.Errorf("got %v, want that it took too long", err)
	}
	child, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	// A process that has ended and not been waited for yet still has a directory, but no command line.
	for deadline := time.Now().Add(30 * time.Second); ; {
		line, err := os.ReadFile("/proc/" + strings.TrimSpace(string(child)) + "/cmdline")
		if err != nil || len(line) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s, which the command has started, still runs: %q", child, line)
		}
		runtime.Gosched()
	}
	// The transaction's end ends it too.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, "cancelled", parse(t, Mail, script(t, "sleep 600")).Ask(ctx, Question{}), -1, "", "")
}

// No more than Limit run at a time; whoever comes then waits for its turn, and not for ever.
func TestLimit(t *testing.T) {
	h := parse(t, Mail, script(t, "exit 0"))
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	h.timeout = 10 * time.Millisecond
	check(t, "no turn", h.Ask(t.Context(), Question{}), -1, "", "")
	h.timeout = Timeout
	go func() { <-h.slots }()
	check(t, "a turn", h.Ask(t.Context(), Question{}), 0, "", "")
	if n := len(h.slots); n != Limit-1 {
		t.Errorf("%d are taken, want %d", n, Limit-1)
	}
	set, err := Parse(Mail, script(t, "exit 0"), Settings{Timeout: time.Hour, Limit: 3})
	if err != nil || set.timeout != time.Hour || cap(set.slots) != 3 {
		t.Errorf("got %v and %d (%v), want an hour and 3", set.timeout, cap(set.slots), err)
	}
}

// A command gets the JSON or the message, the envelope in variables, and none of our settings.
func TestCommandInput(t *testing.T) {
	t.Setenv("POSTRIDER_SECRET", "x")
	t.Setenv("MAIL_SENDER", "somebody else")
	t.Setenv("MAIL_USER", "somebody else") // of which the question says nothing
	t.Setenv("LANG", "C.UTF-8")
	dir := t.TempDir()
	path := script(t, "cat >"+dir+"/in; env >"+dir+"/env; echo \"$#:$1:$2\" >"+dir+"/args")
	q := Question{Env: []string{"MAIL_SENDER=ann@example.com", "MAIL_RECIPIENTS=a\nb"}, JSON: map[string]string{"subject": "x"}, Message: strings.NewReader("Subject: x\r\n\r\n")}
	for text, want := range map[string]string{path + ` 'one "word' ""`: `{"subject":"x"}`, "raw:" + path + ` 'one "word' ""`: "Subject: x\r\n\r\n"} {
		if err := parse(t, Mail, text).Ask(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		read := func(name string) string {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if got := read("in"); got != want {
			t.Errorf("%s: standard input was %q, want %q", text, got, want)
		}
		env := read("env")
		if !strings.Contains(env, "MAIL_SENDER=ann@example.com\n") || !strings.Contains(env, "MAIL_RECIPIENTS=a\nb\n") || !strings.Contains(env, "LANG=C.UTF-8\n") || strings.Contains(env, "POSTRIDER_") || strings.Contains(env, "somebody") {
			t.Errorf("%s: the environment was\n%s", text, env)
		}
		if got := read("args"); got != "2:one \"word:\n" {
			t.Errorf("%s: the arguments were %q", text, got)
		}
	}
}

// What is kept of an output is its beginning, however it is cut into pieces, and all of it is taken.
func TestBounded(t *testing.T) {
	want := strings.Repeat("0123456789", maxOutput)[:maxOutput]
	for _, size := range []int{1, 7, maxOutput - 1, maxOutput, maxOutput + 1, 10 * maxOutput} {
		var b bounded
		for text := strings.Repeat("0123456789", maxOutput); text != ""; {
			piece := text[:min(size, len(text))]
			if n, err := b.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("pieces of %d: got %d and %v", size, n, err)
			}
			text = text[len(piece):]
		}
		if b.String() != want {
			t.Errorf("pieces of %d: %d octets are kept, want the first %d", size, len(b.String()), maxOutput)
		}
	}
}

// What a command says is bounded, and only its first line goes on, without what could break a reply.
func TestCommandOutput(t *testing.T) {
	for lines, want := range map[string]string{
		`printf 'no\r\n250 fooled\n'; exit 1`:                        "no",
		`printf 'tab\there \033[31m'; exit 1`:                        "tab here [31m",
		`echo 'Grüße'; exit 1`:                                       "Gr??e",
		`exit 1`:                                                     "the message is not accepted here",
		`yes | head -c 10000000; exit 1`:                             "y",
		`echo secret >&2; exit 1`:                                    "the message is not accepted here",
		`head -c 5000 /dev/zero | tr '\0' x; exit 1`:                 strings.Repeat("x", 400),
		`exec 0<&-; echo gone; exit 1`:                               "gone",
		`(sleep 2; echo late) & echo 'it goes on by itself'; exit 1`: "it goes on by itself",
	} {
		err := parse(t, Mail, script(t, lines)).Ask(t.Context(), Question{JSON: strings.Repeat("x", 1<<20)})
		if e, ok := errors.AsType[*smtp.Error](err); !ok || e.Text != want {
			t.Errorf("%s: got %v, want the text %q", lines, err, want)
		}
	}
}

// What a command complains of is in the log, whatever it decides, and nothing is there if it is silent.
func TestCommandComplains(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	for lines, want := range map[string]string{"echo no disk >&2": "no disk", "echo no disk >&2; exit 1": "no disk", "exit 1": ""} {
		var log strings.Builder
		own := slog.New(slog.NewTextHandler(&log, nil))
		slog.SetDefault(own)
		for _, settings := range []Settings{{Log: own}, {}} {
			log.Reset()
			h, err := Parse(Mail, script(t, lines), settings)
			if err != nil {
				t.Fatal(err)
			}
			h.Ask(t.Context(), Question{})
			if got := log.String(); !strings.Contains(got, want) || (got == "") != (want == "") {
				t.Errorf("%s: the log is %q, want %q", lines, got, want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		kind       Kind
		text, want string
	}{
		{Mail, "", "no command"}, {Mail, "raw:", "no command"}, {Mail, "no-such-program-anywhere", "not found"}, {Mail, "cat 'x", "has no end"},
		{Mail, "raw:content:cat", "content:cat"}, {Rcpt, "raw:cat", "for messages"}, {Auth, "content:cat", "for messages"}, {Mail, "raw:http://x/", "for commands"}, {Mail, "https://", "none"},
		{Mail, "http://t0ken@ho st/", "none"}, {Mail, "http://127.0.0.1/", "no secret"},
	} {
		_, err := Parse(c.kind, c.text, Settings{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%s %q: got %v, want %q", c.kind, c.text, err, c.want)
		}
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"a b\tc": {"a", "b", "c"}, " a  b ": {"a", "b"}, `a "b c" 'd "e'`: {"a", "b c", `d "e`}, `a"b c"d ''`: {"ab cd", ""},
		`C:\x\y $HOME ; *`: {`C:\x\y`, "$HOME", ";", "*"}, "": nil,
	} {
		if got, err := split(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`a "b c" 'd'`)
	f.Fuzz(func(t *testing.T, s string) {
		words, err := split(s)
		n := 0
		for _, w := range words {
			n += len(w)
		}
		if err == nil && n > len(s)*3 { // what is no UTF-8 grows
			t.Errorf("%q: words of %d octets", s, n)
		}
	})
}

// service is a web service that records what it was asked, and answers what it is told to.
type service struct {
	url string

	mu      sync.Mutex
	asked   []*http.Request
	bodies  []string
	answers []func(http.ResponseWriter)
}

func newService(t *testing.T, answers ...func(http.ResponseWriter)) *service {
	t.Helper()
	s := &service{answers: answers}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		answer := s.answers[min(len(s.asked), len(s.answers)-1)]
		s.asked, s.bodies = append(s.asked, r), append(s.bodies, string(body))
		s.mu.Unlock()
		answer(w)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/hook"
	return s
}

func status(code int, kind, text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", kind)
		if code >= 300 && code < 400 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(code)
		if code != http.StatusNoContent && code != http.StatusNotModified {
			io.WriteString(w, text)
		}
	}
}

// Every status has the outcome that the documentation gives it.
func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		status   int
		code     int
		enhanced smtp.EnhancedCode
		asked    int
	}{
		{200, 0, "", 1}, {201, 0, "", 1}, {204, 0, "", 1}, {299, 0, "", 1}, {300, -1, "", 1}, {301, -1, "", 1}, {307, -1, "", 1}, {400, -1, "", 1}, {401, -1, "", 1},
		{403, 550, "5.7.1", 1}, {404, 550, "5.1.1", 1}, {410, 550, "5.1.1", 1}, {422, 554, "5.6.0", 1},
		{408, -1, "", 3}, {429, -1, "", 3}, {500, -1, "", 3}, {502, -1, "", 3}, {503, -1, "", 3},
	} {
		s := newService(t, status(c.status, "text/plain; charset=utf-8", "not today\nnor tomorrow"))
		err := parse(t, Mail, s.url).Ask(t.Context(), Question{JSON: "x"})
		check(t, fmt.Sprint(c.status), err, c.code, c.enhanced, "not today")
		if len(s.asked) != c.asked {
			t.Errorf("%d: it was asked %d times, want %d", c.status, len(s.asked), c.asked)
		}
	}
	// An answer that breaks off is none, whatever its status was.
	broken := newService(t, func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(200)
	})
	check(t, "half an answer", parse(t, Mail, broken.url).Ask(t.Context(), Question{}), -1, "", "")
	// A page for people is not told to the client.
	s := newService(t, status(403, "text/html", "<html>"))
	check(t, "a page", parse(t, Rcpt, s.url).Ask(t.Context(), Question{}), 550, "5.7.1", "the recipient is not accepted here")
	s = newService(t, status(403, "text/plain", ""))
	check(t, "AUTH", parse(t, Auth, s.url).Ask(t.Context(), Question{}), 535, "5.7.8", "the credentials are not accepted")
}

// A service that fails is asked again, with the same id and a signature that holds.
func TestRetry(t *testing.T) {
	reset := func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}
	s := newService(t, reset, status(503, "text/plain", "busy"), status(200, "text/plain", "fine"))
	check(t, "the third time", parse(t, Mail, "content:"+s.url).Ask(t.Context(), Question{JSON: map[string]any{"subject": "x"}}), 0, "", "")
	if len(s.asked) != 3 {
		t.Fatalf("it was asked %d times, want 3", len(s.asked))
	}
	for i, r := range s.asked {
		id, stamp := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
		if id == "" || id != s.asked[0].Header.Get("Webhook-Id") || r.Header.Get("Postrider-Hook") != "mail" || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
			t.Errorf("it was asked by %s with %v", r.Method, r.Header)
		}
		mac := hmac.New(sha256.New, []byte("s3cret"))
		io.WriteString(mac, id+"."+stamp+"."+s.bodies[i])
		if got, want := r.Header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("the signature is %s, want %s", got, want)
		}
		var body map[string]string
		if err := json.Unmarshal([]byte(s.bodies[i]), &body); err != nil || body["subject"] != "x" {
			t.Errorf("the body is %q", s.bodies[i])
		}
	}
}

// A service that is not there, or does not answer, defers; another attempt is left time.
func TestNoService(t *testing.T) {
	h := parse(t, Mail, "http://127.0.0.1:1/t0ken")
	err := h.Ask(t.Context(), Question{})
	check(t, "not there", err, -1, "", "")
	if strings.Contains(err.Error(), "t0ken") {
		t.Errorf("the URL is told: %v", err)
	}
	h.timeout = h.pause / 2
	check(t, "no time for a second attempt", h.Ask(t.Context(), Question{}), -1, "", "")
	hangs := make(chan struct{})
	s := newService(t, func(http.ResponseWriter) { <-hangs }, status(200, "text/plain", ""))
	defer close(hangs)
	h = parse(t, Mail, s.url)
	h.timeout = 3 * time.Second
	check(t, "hangs once", h.Ask(t.Context(), Question{}), 0, "", "")
}

func TestSecret(t *testing.T) {
	for text, want := range map[string]string{"whsec_c2VjcmV0": "secret", " plain text\n": "plain text", "": ""} {
		if got, err := Secret(text); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := Secret("whsec_!"); err == nil {
		t.Error("what is not base64 was taken")
	}
}
