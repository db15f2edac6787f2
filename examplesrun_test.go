package postrider_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

// The examples are run as they stand, as programs of their own; only the server's address is replaced.

// exampleText gives the statement of an example, without the check of its error.
func exampleText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)func ` + name + `\(\) \{\n(.*?)\tif err != nil`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("example_test.go has no %s", name)
	}
	return strings.ReplaceAll(string(m[1]), "\n\t", "\n")[1:]
}

// runExample builds a program out of an example and starts it in a folder with minutes.pdf.
func runExample(t *testing.T, text, old, new string, env ...string) *exec.Cmd {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in\n%s", old, text)
	}
	dir := t.TempDir()
	imports := []string{"context", "fmt", "os", "github.com/postrider/postrider"}
	if strings.Contains(text, "mail.") {
		imports = append(imports, "github.com/postrider/postrider/mail")
	}
	program := fmt.Sprintf("package main\n\nimport (\n\t%q\n)\n\nfunc main() {\n\tctx := context.Background()\n%s\n\tif err != nil {\n\t\tfmt.Fprintln(os.Stderr, err)\n\t\tos.Exit(1)\n\t}\n}\n",
		imports, strings.Replace(text, old, new, 1))
	program = strings.NewReplacer("\t[", "\t", "\"]\n", "\"\n", "\" \"", "\"\n\t\"").Replace(program)
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "example")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "minutes.pdf"), []byte("%PDF-1.7 minutes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, program)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	return cmd
}

func TestExampleSendRuns(t *testing.T) {
	cert, key, ca := certificate(t)
	got := make(chan kept, 1)
	addr := serve(t, postrider.Config{Addr: postrider.Off, TLSAddr: "127.0.0.1:0", CertFile: cert, KeyFile: key}, postrider.Handlers{
		OnMail: keep(got),
		OnAuth: func(_ context.Context, user, password string) error {
			if user != "ann" || password != "secret" {
				return smtp.Errorf(535, "5.7.8", "wrong")
			}
			return nil
		},
	})[0]
	cmd := runExample(t, exampleText(t, "ExampleSend"), "smtp.example.com", addr, "SSL_CERT_FILE="+ca)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k := <-got
	if k.subject != "Minutes" || k.text != "Attached." || k.files["minutes.pdf"] != "%PDF-1.7 minutes" || k.received.User != "ann" {
		t.Errorf("got %+v", k)
	}
}

func TestExampleServeRuns(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := runExample(t, exampleText(t, "ExampleServe"), "postrider.Config{}", fmt.Sprintf("postrider.Config{Addr: %q}", addr))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	// It takes a moment to listen: a connection that is refused is tried again.
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err = postrider.Send(t.Context(), "smtp://"+addr, message())
		if err == nil {
			break
		}
		if !errors.Is(err, smtp.ErrTemporary) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	line := make([]byte, 100)
	n, _ := out.Read(line)
	if got, want := string(line[:n]), "ann@example.com Grüße\n"; got != want {
		t.Errorf("it printed %q, want %q", got, want)
	}
}

// What the README shows in Go is in the examples, but for how its lines are broken.
func TestReadmeExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no README.md yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	// gofmt may have broken a line that the README keeps short with a semicolon.
	plain := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, ";", " ")), " ") }
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		if !strings.Contains(plain(string(examples)), plain(block[1])) {
			t.Errorf("this is in README.md and in no example:\n%s", block[1])
		}
	}
}
