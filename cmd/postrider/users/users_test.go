package users_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/cmd/postrider/users"
	"github.com/postrider/postrider/sasl"
)

// write writes a users file.
func write(t testing.TB, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func line(t testing.TB, user, password string) string {
	t.Helper()
	l, err := users.Line(user, password)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func open(t testing.TB, lines ...string) (*users.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, lines...)
	f, err := users.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f, path
}

// authenticate lets a client of ours prove a password by one mechanism.
func authenticate(t *testing.T, v *sasl.Verifier, mechanism, user, password string) error {
	t.Helper()
	x, err := sasl.Password(user, password).Exchange(t.Context(), sasl.Offer{Mechanisms: []string{mechanism}})
	if err != nil {
		t.Fatal(err)
	}
	server := v.Server(t.Context(), mechanism, sasl.Channel{Host: "mx.example.net"})
	if server == nil {
		return fmt.Errorf("%s is not offered", mechanism)
	}
	response, err := x.Next(nil)
	for range 10 {
		if err != nil {
			return err
		}
		challenge, done, err2 := server.Next(response)
		if err2 != nil {
			return err2
		}
		if done {
			if server.User() != user {
				t.Errorf("%s: it is %q, want %q", mechanism, server.User(), user)
			}
			return x.End(nil)
		}
		response, err = x.Next(challenge)
	}
	return errors.New("the exchange does not end")
}

// Every mechanism that a line makes possible is announced, and lets in whom it should and nobody else.
func TestVerify(t *testing.T) {
	f, _ := open(t, "# the users", "", line(t, "ann", "s3cret wörd"), "  "+line(t, "bob@example.com", "other"))
	v := f.Verifier()
	want := []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"}
	if got := v.Mechanisms(sasl.Channel{}); !slices.Equal(got, want) {
		t.Errorf("offered are %q, want %q", got, want)
	}
	for _, m := range want {
		for _, c := range []struct {
			user, password string
			right          bool
		}{
			{"ann", "s3cret wörd", true}, {"bob@example.com", "other", true}, {"ann", "other", false}, {"ann", "", false}, {"eve", "other", false}, {"Ann", "s3cret wörd", false},
		} {
			if err := authenticate(t, v, m, c.user, c.password); (err == nil) != c.right {
				t.Errorf("%s: %s with %q: got %v, want it to be right: %v", m, c.user, c.password, err, c.right)
			} else if err != nil && !errors.Is(err, sasl.ErrRefused) && c.password != "" {
				t.Errorf("%s: %s with %q: got %v, want ErrRefused", m, c.user, c.password, err)
			}
		}
	}
}

// What cannot be verified for each user is not announced.
func TestOnlyWhatCanBeVerified(t *testing.T) {
	hash, _, _ := strings.Cut(line(t, "ann", "x"), " ")
	f, _ := open(t, hash)
	if got := f.Verifier().Mechanisms(sasl.Channel{}); !slices.Equal(got, []string{"PLAIN", "LOGIN"}) {
		t.Errorf("offered are %q", got)
	}
	f, _ = open(t, line(t, "bob", "x"), hash)
	if got := f.Verifier().Mechanisms(sasl.Channel{}); !slices.Equal(got, []string{"PLAIN", "LOGIN"}) {
		t.Errorf("offered are %q, though one user has no keys", got)
	}
}

// A user who does not exist looks like one who does, after a restart too.
func TestUnknownUser(t *testing.T) {
	lines := []string{line(t, "ann", "x"), line(t, "bob", "y")}
	first := func() string {
		f, _ := open(t, lines...)
		s := f.Verifier().Server(t.Context(), "SCRAM-SHA-256", sasl.Channel{})
		challenge, _, err := s.Next([]byte("n,,n=eve,r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, salt, _ := strings.Cut(string(challenge), ",s=")
		return salt
	}
	if a, b := first(), first(); a != b || !strings.HasSuffix(a, ",i=4096") {
		t.Errorf("eve's salt and iterations are %q, then %q", a, b)
	}
	// The same work for both: the argon2id hash is made whoever it is. Allocated memory tells, time is too noisy.
	f, _ := open(t, lines...)
	work := func(user string) float64 {
		return float64(testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Password(b.Context(), user, "wrong"); !errors.Is(err, sasl.ErrRefused) {
					b.Fatal(err)
				}
			}
		}).AllocedBytesPerOp())
	}
	if there, not := work("ann"), work("eve"); not < there*0.9 || not > there*1.1 {
		t.Errorf("a wrong password costs %.0f octets, an unknown user %.0f", there, not)
	}
}

func TestReload(t *testing.T) {
	f, path := open(t, line(t, "ann", "old"))
	v := f.Verifier()
	write(t, path, line(t, "ann", "new"), line(t, "bob", "his"))
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256"} {
		if authenticate(t, v, m, "ann", "new") != nil || authenticate(t, v, m, "bob", "his") != nil || authenticate(t, v, m, "ann", "old") == nil {
			t.Errorf("%s: the file was read again, and the users are not its", m)
		}
	}
	hash, _, _ := strings.Cut(line(t, "ann", "newest"), " ")
	for _, c := range []struct{ text, want string }{
		{"ann", "line 1"}, {hash, "not every user has what SCRAM-SHA-512 needs"}, {"# nobody", "there are no users"},
	} {
		write(t, path, c.text)
		if err := f.Reload(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if authenticate(t, v, "PLAIN", "ann", "new") != nil {
			t.Error("a file that cannot be used took the users away")
		}
	}
}

// A line that is wrong is told by its number, and not repeated.
func TestOpenRefuses(t *testing.T) {
	good := line(t, "ann", "x")
	for _, c := range []struct{ text, want string }{
		{"", "no users"}, {"ann", "line 1: there is no colon"}, {"\n:x", "line 2: the user's name"}, {"ann:", "no argon2id hash"},
		{good + "\n" + good, `line 2: the user "ann" is there already`}, {"ann:secret", "the SCRAM keys"}, {"ann:$argon2id$v=19$m=1$x$y", "the argon2id hash"},
		{strings.Replace(good, "m=19456", "m=999999999", 1), "costs"}, {strings.Replace(good, "t=2", "t=02", 1), "the argon2id hash"}, {strings.Replace(good, "p=1", "p=0", 1), "costs"},
		{strings.Replace(good, "SCRAM-SHA-1$4096", "SCRAM-SHA-1$1", 1), "the SCRAM keys"}, {strings.Replace(good, "SCRAM-SHA-1$", "SCRAM-MD5$", 1), "the SCRAM keys"},
		{strings.Repeat("x", 20<<10), "line 1"},
	} {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, c.text)
		_, err := users.Open(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "$argon2id") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.40q: got %v, want %q and nothing of the line", c.text, err, c.want)
		}
	}
	if _, err := users.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// What a hash or keys cost, and how long their parts are, is bounded on both sides: a slip in the file takes neither the
// machine's memory nor what a password is worth. The last value on each side is taken.
func TestBounds(t *testing.T) {
	octets := func(n int) []byte { return bytes.Repeat([]byte{7}, n) }
	hash := func(memory, time, threads, salt, sum int) string {
		raw := base64.RawStdEncoding.EncodeToString
		return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", memory, time, threads, raw(octets(salt)), raw(octets(sum)))
	}
	good := hash(19456, 2, 1, 16, 32)
	keys := func(mechanism string, iterations, salt, stored, server int) string {
		std := base64.StdEncoding.EncodeToString
		return fmt.Sprintf("%s %s$%d:%s$%s:%s", good, mechanism, iterations, std(octets(salt)), std(octets(stored)), std(octets(server)))
	}
	scram := keys("SCRAM-SHA-256", 4096, 16, 32, 32)
	for _, c := range []struct{ line, want string }{ // want "" is taken
		{hash(8, 1, 1, 16, 32), ""}, {hash(7, 1, 1, 16, 32), "costs"}, {hash(16, 1, 2, 16, 32), ""}, {hash(15, 1, 2, 16, 32), "costs"},
		{hash(1<<20, 1, 1, 16, 32), ""}, {hash(1<<20+1, 1, 1, 16, 32), "costs"},
		{hash(64, 0, 1, 16, 32), "costs"}, {hash(64, 100, 1, 16, 32), ""}, {hash(64, 101, 1, 16, 32), "costs"}, {hash(64, 1, 0, 16, 32), "costs"},
		{hash(64, 1, 1, 8, 32), ""}, {hash(64, 1, 1, 7, 32), "argon2id"}, {hash(64, 1, 1, 64, 32), ""}, {hash(64, 1, 1, 65, 32), "argon2id"},
		{hash(64, 1, 1, 16, 16), ""}, {hash(64, 1, 1, 16, 15), "argon2id"}, {hash(64, 1, 1, 16, 64), ""}, {hash(64, 1, 1, 16, 65), "argon2id"},
		{good + "!", "argon2id"}, {strings.Replace(good, "p=1$", "p=1$!", 1), "argon2id"}, {strings.Replace(good, "m=", "m=+", 1), "argon2id"},
		{scram, ""}, {keys("SCRAM-SHA-1", 4096, 1, 20, 20), ""}, {keys("SCRAM-SHA-512", 4096, 1, 64, 64), ""},
		{keys("SCRAM-SHA-256", 4095, 16, 32, 32), "SCRAM"}, {keys("SCRAM-SHA-256", 1<<22, 16, 32, 32), ""}, {keys("SCRAM-SHA-256", 1<<22+1, 16, 32, 32), "SCRAM"},
		{keys("SCRAM-SHA-256", 4096, 0, 32, 32), "SCRAM"}, {keys("SCRAM-SHA-256", 4096, 16, 31, 32), "SCRAM"}, {keys("SCRAM-SHA-256", 4096, 16, 32, 33), "SCRAM"},
		{keys("SCRAM-SHA-1", 4096, 16, 32, 32), "SCRAM"}, {scram + "!", "SCRAM"}, {strings.Replace(scram, "4096", "4096x", 1), "SCRAM"}, {strings.Replace(scram, "4096:", "4096:!", 1), "SCRAM"},
		{good + strings.Repeat(" ", 15<<10), ""}, {good + strings.Repeat(" ", 17<<10), "line 1: "},
	} {
		path := filepath.Join(t.TempDir(), "users")
		write(t, path, "ann:"+c.line)
		if _, err := users.Open(path); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.150q: got %v, want %q", c.line, err, c.want)
		}
	}
}

func TestLineRefuses(t *testing.T) {
	for _, c := range [][2]string{{"", "x"}, {"a:b", "x"}, {"a\nb", "x"}, {" a", "x"}, {"#a", "x"}, {"a", ""}, {"a\x00", "x"}, {"a", "x\x00"}} {
		if l, err := users.Line(c[0], c[1]); err == nil {
			t.Errorf("%q: got %q", c, l)
		}
	}
}

func TestGuard(t *testing.T) {
	f, path := open(t, line(t, "ann", "s3cret"))
	h := f.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	ask := func(method, target, user, password string) int {
		r, w := httptest.NewRequest(method, target, nil), httptest.NewRecorder()
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		h.ServeHTTP(w, r)
		if asks := w.Header().Get("WWW-Authenticate") != ""; asks != (w.Code == http.StatusUnauthorized) {
			t.Errorf("%s: WWW-Authenticate is there: %v, and the status %d", target, asks, w.Code)
		}
		// A refusal that is kept would be shown to who has the password by then.
		if keeps := w.Header().Get("Cache-Control") != "no-store"; keeps != (w.Code != http.StatusUnauthorized) {
			t.Errorf("%s: Cache-Control is %q, and the status %d", target, w.Header().Get("Cache-Control"), w.Code)
		}
		if json := strings.HasPrefix(w.Body.String(), `{"error":"`) && w.Header().Get("Content-Type") == "application/json"; w.Code == http.StatusUnauthorized && json != strings.Contains(target, "/api/") {
			t.Errorf("%s: it is told in %s: %s", target, w.Header().Get("Content-Type"), w.Body)
		}
		return w.Code
	}
	for _, c := range []struct {
		method, target, user, password string
		want                           int
	}{
		{"GET", "/", "", "", 401}, {"GET", "/", "ann", "wrong", 401}, {"GET", "/", "eve", "s3cret", 401}, {"GET", "/", "ann", "s3cret", 418}, {"GET", "/", "ann", "s3cret", 418},
		{"GET", "/healthz", "", "", 418}, {"GET", "/readyz", "", "", 418}, {"HEAD", "/readyz", "", "", 418}, {"HEAD", "/", "", "", 401}, {"POST", "/healthz", "", "", 401}, {"GET", "/healthz/", "", "", 401}, {"GET", "/", "ann", "", 401},
		{"GET", "/api/v1/messages", "", "", 401}, {"DELETE", "/mail/api/v1/messages", "ann", "wrong", 401}, {"GET", "/api/v1/messages", "ann", "s3cret", 418},
	} {
		if got := ask(c.method, c.target, c.user, c.password); got != c.want {
			t.Errorf("%s %s by %s: got %d, want %d", c.method, c.target, c.user, got, c.want)
		}
	}
	// A page asks for many things: what was right is not hashed again, what is wrong is each time. Memory tells, and the
	// clock does not: a hash takes 19 MiB.
	cost := func(password string) int64 {
		return testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask("GET", "/", "ann", password)
			}
		}).AllocedBytesPerOp()
	}
	if right, wrong := cost("s3cret"), cost("wrong"); right > 1<<20 || wrong < 19<<20 {
		t.Errorf("a password that was right before takes %d octets, a wrong one %d", right, wrong)
	}
	// A password that was remembered is forgotten with the file.
	write(t, path, line(t, "ann", "new"))
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := ask("GET", "/", "ann", "s3cret"); got != 401 {
		t.Errorf("the old password: got %d, want 401", got)
	}
}

// Whatever a file is, it is read or refused with a line.
func FuzzOpen(f *testing.F) {
	f.Add(line(f, "ann", "x"))
	f.Add("a:$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc$MDEyMzQ1Njc4OWFiY2RlZg SCRAM-SHA-1$4096:eA==$eA==:eA==")
	f.Add("a:b\n#\n\nc:d")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "users")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := users.Open(path)
		if err != nil {
			if !strings.Contains(err.Error(), "line ") && !strings.Contains(err.Error(), "no users") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if got := file.Verifier().Mechanisms(sasl.Channel{}); !slices.Contains(got, "PLAIN") {
			t.Errorf("%q: offered are %q", text, got)
		}
	})
}
