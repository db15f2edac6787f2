package postrider_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the compiler does not hold for us: who may import whom, what a library may link, how large a file may grow, and
// that the table of RFCs is true. The module itself is read, so that a rule needs no upkeep when a package is added.

const modulePath = "github.com/postrider/postrider"

// floors says what a package may import: only packages of lower floors. Tests' imports do not count. docs/design.md
// explains it; bench and tools are modules of their own.
const floors = `
8  cmd/postrider
7  store/sqlite   store/postgres
6  store/storetest
5  inbox     inbox/client
4  .(postrider)   outbox   mx   msgauth   conform
3  mail/dsn  mail/template  smtp/smtptest  local  internal/mailjson  msgauth/dkim  msgauth/spf  msgauth/dmarc  msgauth/arc
2  mail      smtp
1  mail/transfer  sasl
0  internal/...  (addresses, wire, dialogue, …)
`

// forTests are packages that only tests and test runs use. They are on no floor, and nothing but tests imports them.
var forTests = []string{"internal/growth", "internal/interop", "internal/peers", "internal/testsum"}

// light are the packages that a program links when it only sends or receives. They and the packages below them link the
// standard library, golang.org/x/... and what small lists.
var light = []string{"./mail/...", "./smtp/...", "./sasl/..."}

// small are modules with one purpose and nothing behind them, which a light package may link.
var small = []string{
	"github.com/segmentio/asm",     // base64 by SIMD
	"github.com/xdg-go/scram",      // SCRAM
	"github.com/xdg-go/stringprep", // SASLprep, which SCRAM needs
	"github.com/xdg-go/pbkdf2",     // the same
}

const (
	maxFileLines = 700 // 500 is the aim
	maxFuncLines = 100 // 60 is the aim
)

// listed is what go list tells of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	GoFiles    []string
}

// goList runs go list -json with args.
func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Standard,Imports,GoFiles"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// inModule returns importPath below the module's path, "." for the root, and false if it lies elsewhere.
func inModule(importPath string) (string, bool) {
	if importPath == modulePath {
		return ".", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

// floorTable reads floors into a map from package to floor.
func floorTable(t *testing.T) map[string]int {
	t.Helper()
	table := map[string]int{}
	for line := range strings.Lines(strings.TrimSpace(floors)) {
		var floor int
		if _, err := fmt.Sscan(line, &floor); err != nil {
			t.Fatalf("floors: %q: %v", line, err)
		}
		line, _, _ = strings.Cut(line, "  (")
		for _, name := range strings.Fields(line)[1:] {
			if strings.HasPrefix(name, ".(") {
				name = "."
			}
			table[name] = floor
		}
	}
	return table
}

// floorOf returns the floor of a package. Packages below cmd/postrider are parts of the program; those below internal
// are on the floor of internal/... unless they have one of their own.
func floorOf(table map[string]int, name string) (int, bool) {
	if floor, ok := table[name]; ok {
		return floor, true
	}
	if strings.HasPrefix(name, "cmd/postrider/") {
		return table["cmd/postrider"], true
	}
	floor, ok := table["internal/..."]
	return floor, ok && strings.HasPrefix(name, "internal/")
}

func TestFloors(t *testing.T) {
	table := floorTable(t)
	for _, p := range goList(t, "./...") {
		from, _ := inModule(p.ImportPath)
		if slices.Contains(forTests, from) || len(p.GoFiles) == 0 {
			continue
		}
		floor, ok := floorOf(table, from)
		if !ok {
			t.Errorf("%s is on no floor: give it one in DESIGN's words, in arch_test.go and docs/design.md", from)
			continue
		}
		for _, imported := range p.Imports {
			to, ok := inModule(imported)
			if !ok || strings.HasPrefix(from, "cmd/postrider") && strings.HasPrefix(to, "cmd/postrider") {
				continue
			}
			if slices.Contains(forTests, to) {
				t.Errorf("%s imports %s, which is for tests only", from, to)
			} else if below, ok := floorOf(table, to); ok && below >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d): only lower floors may be imported", from, floor, to, below)
			}
		}
	}
}

func TestLightPackagesLinkLittle(t *testing.T) {
	for _, p := range goList(t, append([]string{"-deps"}, light...)...) {
		// A pattern under which there is no package yet comes back as it is.
		if strings.HasPrefix(p.ImportPath, "./") {
			continue
		}
		_, ours := inModule(p.ImportPath)
		allowed := p.Standard || ours || strings.HasPrefix(p.ImportPath, "golang.org/x/") ||
			slices.ContainsFunc(small, func(module string) bool {
				return p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
			})
		if !allowed {
			t.Errorf("mail, smtp or sasl links %s: a program that only sends would link it too", p.ImportPath)
		}
	}
}

// source is one parsed Go file of the module.
type source struct {
	name  string // its path, with slashes
	text  string
	file  *ast.File
	lines func(n ast.Node) int // how many lines n spans
}

func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// sources parses every Go file below the module's root, those of bench and tools too.
func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	fset := token.NewFileSet()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		list = append(list, source{name, string(text), file, func(n ast.Node) int {
			return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1
		}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestOnePackageComment(t *testing.T) {
	comments := map[string][]string{}
	for _, s := range sources(t) {
		// A folder that holds tests alone has its comment where it is wanted, or none.
		if s.test() {
			continue
		}
		dir := path.Dir(s.name)
		comments[dir] = append(comments[dir], nil...)
		if s.file.Doc != nil {
			comments[dir] = append(comments[dir], s.name)
		}
	}
	for dir, in := range comments {
		if len(in) != 1 {
			t.Errorf("%s: got %d package comments %v, want exactly one", dir, len(in), in)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if n := strings.Count(s.text, "\n"); n > maxFileLines {
			t.Errorf("%s: %d lines, at most %d are allowed: find the second idea in it", s.name, n, maxFileLines)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && s.lines(f) > maxFuncLines {
				t.Errorf("%s: func %s has %d lines, at most %d are allowed: find the second idea in it", s.name, f.Name.Name, s.lines(f), maxFuncLines)
			}
		}
	}
}

// unfinished matches the marks of work put off. They are spelt so that this file does not match.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

func TestNothingPutOffNothingHidden(t *testing.T) {
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			if mark := unfinished.FindString(group.Text()); mark != "" {
				t.Errorf("%s: a comment says %s: do it, or open an issue", s.name, mark)
			}
		}
		for _, decl := range s.file.Decls {
			// What runs before main is seen by nobody who reads main.
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: say it where it is needed", s.name)
			}
		}
	}
}

var (
	rfcInCode = regexp.MustCompile(`\bRFC[ -]?([0-9]{3,5})\b`)
	rfcRow    = regexp.MustCompile(`(?m)^\| *([0-9]{3,5}) *\|[^|]*\|[^|]*\| *([a-z]+) *\|`)
)

func TestRFCs(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("docs", "rfcs.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range rfcRow.FindAllStringSubmatch(string(doc), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("docs/rfcs.md: RFC %s has two rows", m[1])
		}
		if !slices.Contains([]string{"yes", "partly", "planned"}, m[2]) {
			t.Errorf("docs/rfcs.md: RFC %s: got %q, want yes, partly or planned", m[1], m[2])
		}
		rows[m[1]] = m[2]
	}
	cited := map[string]bool{}
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, m := range rfcInCode.FindAllStringSubmatch(s.text, -1) {
			if !cited[m[1]] && rows[m[1]] == "" {
				t.Errorf("%s: RFC %s is no row of docs/rfcs.md", s.name, m[1])
			}
			cited[m[1]] = true
		}
	}
	for rfc, state := range rows {
		if state != "planned" && !cited[rfc] {
			t.Errorf("docs/rfcs.md: RFC %s is marked %s, but no code says that it follows it", rfc, state)
		}
	}
}
