package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// Other people's clients deliver to the program, as it is installed: built once, started with its flags, and asked over
// HTTP for what it has.

// binDir is where the program is built, if a test needs it.
var binDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "postrider-interop-")
	if err != nil {
		panic(err)
	}
	binDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build builds the program, once for all tests, and returns its path.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binDir, "postrider")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.Command("go", "build", "-o", path, "github.com/postrider/postrider/cmd/postrider")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
})

// program returns a command that runs the program without settings from the environment.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("go build: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = peers.Env("")
	return cmd
}

// inbox is a running postrider serve.
type inbox struct {
	smtp, smtps, web string // host:port, and the page's URL without its last slash
}

func startInbox(t *testing.T, id identity) inbox {
	t.Helper()
	loopback := "127.0.0.1:0"
	p := peers.Start(t, program(t, "serve", "--smtp", loopback, "--smtps", loopback, "--web", loopback, "--data", t.TempDir(),
		"--tls-cert", id.certFile, "--tls-key", id.keyFile))
	in := inbox{web: strings.TrimSuffix(p.Line("Web page"), "/")}
	in.smtp = p.Line("SMTP       smtp://")
	in.smtps = p.Line("SMTP, TLS  smtps://")
	return in
}

// get fetches a path of the HTTP interface.
func (in inbox) get(t *testing.T, path string) []byte {
	t.Helper()
	res, err := http.Get(in.web + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got %s and %v, want 200:\n%s", path, res.Status, err, body)
	}
	return body
}

// summary is what the list of messages tells of one, as far as it is compared.
type summary struct {
	ID, Sender, Subject string
	Recipients          []string
	Size                int
}

// list returns what the inbox has. It does not wait: a message that has had its 250 is there.
func (in inbox) list(t *testing.T) []summary {
	t.Helper()
	var answer struct {
		Messages []summary
		Total    int
	}
	if err := json.Unmarshal(in.get(t, "/api/v1/messages?limit=100"), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Total != len(answer.Messages) {
		t.Errorf("the list has %d messages and says that they are %d", len(answer.Messages), answer.Total)
	}
	return answer.Messages
}

// compare holds what the inbox has against what was sent to it.
func (in inbox) compare(t *testing.T, sent []sample, to []string) {
	t.Helper()
	var raw [][]byte
	for _, m := range in.list(t) {
		body := in.get(t, "/api/v1/messages/"+m.ID+"/raw")
		raw = append(raw, body)
		if m.Sender != sender || !slices.Equal(m.Recipients, to) || m.Size != len(body) || m.Subject != subject(body) {
			t.Errorf("the list says %+v of a message of %d octets, want from %s to %q, subject %q", m, len(body), sender, to, subject(body))
		}
	}
	compare(t, raw, sent)
}

func TestInboxReceives(t *testing.T) {
	id := newIdentity(t)
	for _, c := range clients {
		for _, secure := range []bool{false, true} {
			name := c.name
			if secure {
				name += " with TLS"
			}
			if secure && c.tls == noTLS {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				peers.Find(t, c.peer)
				in := startInbox(t, id)
				addr, ca := in.smtp, ""
				if secure {
					ca = id.certFile
				}
				if secure && c.tls == implicitTLS {
					addr = in.smtps
				}
				sent := c.deliver(t, addr, ca)
				in.compare(t, sent, c.recipients())
			})
		}
	}
}
