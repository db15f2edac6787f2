package postrider_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
)

// The documents that could say something else than the program does.

var update = flag.Bool("update", false, "rewrite docs/cli.md from the program's help")

// cliHead opens docs/cli.md; the rest of it is what the program says.
const cliHead = `# The command line

What ` + "`postrider COMMAND --help`" + ` says, for each command. A test rewrites this page: ` + "`go test . -update`" + `.
`

// inHelp matches a command in the help of all, inReadme one in the README's table.
var (
	inHelp   = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`)
	inReadme = regexp.MustCompile("(?m)^\\| `postrider ([a-z]+)")
)

func TestDocumentsAgreeWithHelp(t *testing.T) {
	program := filepath.Join(t.TempDir(), "postrider.exe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/postrider")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	help := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), program, append(args, "--help")...).Output()
		if err != nil {
			t.Fatalf("postrider %v --help: %v", args, err)
		}
		return strings.ReplaceAll(string(out), "\r\n", "\n")
	}

	_, list, _ := strings.Cut(help(), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var page strings.Builder
	page.WriteString(cliHead)
	var commands []string
	for _, m := range inHelp.FindAllStringSubmatch(list, -1) {
		// How help works is told everywhere in it.
		if name := m[1]; name != "help" {
			commands = append(commands, name)
			page.WriteString("\n## postrider " + name + "\n\n```\n" + strings.TrimRight(help(name), "\n") + "\n```\n")
		}
	}
	if len(commands) == 0 {
		t.Fatalf("postrider --help lists no commands:\n%s", help())
	}

	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range inReadme.FindAllStringSubmatch(string(readme), -1) {
		told = append(told, m[1])
	}
	slices.Sort(told)
	if !slices.Equal(told, commands) {
		t.Errorf("README.md has the commands %q, the program %q", told, commands)
	}

	path := filepath.Join("docs", "cli.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(written), "\r\n", "\n") != page.String() {
		t.Errorf("%s is not what the program says: go test . -update", path)
	}
}

// link matches a link of a document to a file here, codeBlock what is no text of it.
var (
	link      = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)|src(?:set)?="([^":]+)"`)
	codeBlock = regexp.MustCompile("(?s)```.*?```")
)

func TestLinksLeadSomewhere(t *testing.T) {
	documents := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
	more, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range slices.Concat(documents, more, decisions) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		// In code a bracket before a parenthesis is an instance of a generic function.
		for _, m := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), filepath.FromSlash(m[1]+m[2]))); err != nil {
				t.Errorf("%s: a link leads nowhere: %s", doc, m[1]+m[2])
			}
		}
	}
}

// goBlock matches a block of Go in a document.
var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// Whoever comes from elsewhere copies what is written there: it must be a piece of an Example, which compiles and runs.
func TestBlocksAreExamples(t *testing.T) {
	var examples strings.Builder
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		examples.Write(text) // types and methods stand outside of functions
		for line := range strings.Lines(string(text)) {
			examples.WriteString(strings.TrimPrefix(line, "\t"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("docs", "coming-from.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := goBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Error("docs/coming-from.md has no block of Go")
	}
	for _, m := range blocks {
		if !strings.Contains(examples.String(), m[1]) {
			t.Errorf("docs/coming-from.md: this is in no Example:\n%s", m[1])
		}
		if strings.Contains(m[1], "// Output:") {
			t.Errorf("docs/coming-from.md: this is what an Example prints, and not what it does:\n%s", m[1])
		}
	}
}

// What the guide for users of Mailpit names on our side exists: flags, requests and queries.
func TestGuideToInbox(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, guide, _ := strings.Cut(read("docs/coming-from.md"), "## In short: Mailpit, MailHog\n")
	cli, interfaces := read("docs/cli.md"), read("docs/http.md")
	named := 0
	for line := range strings.Lines(guide) {
		cells := strings.Split(line, " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[len(cells)-1], -1) {
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[1], -1) {
				named++
				if !strings.Contains(cli, "      "+flag+" ") {
					t.Errorf("there is no flag %s:\n%s", flag, line)
				}
			}
			if regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) [a-z]`).MatchString(m[1]) {
				named++
				if !strings.Contains(interfaces, "| `"+m[1]+"` |") {
					t.Errorf("there is no request %s:\n%s", m[1], line)
				}
			}
			if regexp.MustCompile(`^(subject|from|header|id|tag|is|has|after|larger):[^ ]`).MatchString(m[1]) {
				named++
				if _, err := inbox.ParseQuery(m[1], time.Now()); err != nil {
					t.Errorf("%s cannot be read: %v", m[1], err)
				}
			}
			if fault := regexp.MustCompile(`^(?:--fault ')?((?:MAIL|RCPT|CONNECT) .*?)'?$`).FindStringSubmatch(m[1]); fault != nil {
				named++
				if _, err := inbox.ParseFault(fault[1]); err != nil {
					t.Errorf("%s is no rule: %v", fault[1], err)
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d flags, requests, queries and rules were looked at", named)
	}
}
