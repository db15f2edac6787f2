// Package peers finds the foreign programs and corpora that tests use, and runs servers for the length of a test.
//
// Tests only: nothing that is not a test imports it. What is absent makes a test skip with one line that says what to
// install; under POSTRIDER_PEERS=require it makes the test fail instead, so that CI cannot pass by having nothing.
package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Nothing here starts a service of the machine's, reads its configuration or changes it. A program is looked for in
// PATH, in the system's own program folders (root's PATH is not everybody's), then where scripts/peers unpacks those
// that exclude each other.

// Dir returns the folder into which scripts/peers unpacks what apt cannot install side by side.
func Dir() string {
	if dir := os.Getenv("POSTRIDER_PEERS_DIR"); dir != "" {
		return dir
	}
	return "/opt/postrider-peers"
}

// Required reports whether an absent peer is a failure.
func Required() bool { return os.Getenv("POSTRIDER_PEERS") == "require" }

// Find returns the path of p's program. If p is absent the test is skipped, or fails where peers are required.
//
// For a module of a language the program is that language's interpreter, and the module has been seen to load.
func Find(t testing.TB, p Peer) string {
	t.Helper()
	path, err := look(p)
	if err != nil {
		absent(t, err.Error())
	}
	return path
}

// Command returns a command that runs p with args, in the environment that p needs. It is killed when the test ends,
// should it still run then. Like Find it skips where p is absent.
func Command(t testing.TB, p Peer, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Find(t, p), args...)
	cmd.Env = Env(p)
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	return cmd
}

// Env returns the environment to run p in: this process's, without what would change the language of messages or what
// a program reads at its start, and with the folder of p's modules.
func Env(p Peer) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "LC_"), strings.HasPrefix(name, "POSTRIDER_"), strings.HasPrefix(name, "PYTHON"),
			name == "LANG", name == "LANGUAGE", name == "NODE_PATH", name == "NODE_OPTIONS", name == "http_proxy", name == "all_proxy":
		default:
			env = append(env, kv)
		}
	}
	env = append(env, "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", "NODE_NO_WARNINGS=1")
	if table[p].node {
		env = append(env, "NODE_PATH="+NodeModules())
	}
	return env
}

// NodeModules returns the folder of the modules from npm. A module that cannot be required can be imported by its path
// in there.
func NodeModules() string { return filepath.Join(Dir(), "npm", "node_modules") }

// NeedRoot skips the test unless it runs as root, which a server that changes its user must. In CI it does.
func NeedRoot(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		absent(t, "this test must run as root: "+why)
	}
}

// absent ends the test: skipped on a developer's machine, failed where everything must be there.
func absent(t testing.TB, line string) {
	t.Helper()
	if Required() {
		t.Fatal(line)
	}
	t.Skip(line)
}

// found remembers what look has answered: starting an interpreter to see whether a module loads takes up to half a
// second, and every test of a package asks.
var found sync.Map // of Peer to func() (string, error)

func look(p Peer) (string, error) {
	once, _ := found.LoadOrStore(p, sync.OnceValues(func() (string, error) { return search(p) }))
	return once.(func() (string, error))()
}

func search(p Peer) (string, error) {
	row, ok := table[p]
	if !ok {
		return "", &absentError{p, "it is no row of the table in internal/peers"}
	}
	return find(p, row)
}

// find returns the first program that is there and can do what row asks for.
func find(p Peer, row row) (string, error) {
	for _, path := range candidates(row) {
		if !executable(path) || !there(row.file) || !loads(p, path, row.probe) {
			continue
		}
		return path, nil
	}
	return "", &absentError{p, row.install()}
}

// candidates returns every place where row's program may be, in the order in which they are tried.
func candidates(row row) []string {
	var paths []string
	if filepath.IsAbs(row.program) {
		paths = append(paths, filepath.FromSlash(row.program))
	}
	name := filepath.Base(row.program)
	if row.beside == "" && !row.only {
		if path, err := exec.LookPath(name); err == nil {
			paths = append(paths, path)
		}
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	if row.beside != "" {
		for _, dir := range []string{"usr/sbin", "usr/bin"} {
			paths = append(paths, filepath.Join(Dir(), row.beside, filepath.FromSlash(dir), name))
		}
	}
	return paths
}

func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}

// there tells whether the file is there. No file: nothing is missing.
func there(file string) bool {
	_, err := os.Stat(file)
	return file == "" || err == nil
}

// loads runs the probe that tells whether the interpreter at path has the module wanted. No probe: it has.
func loads(p Peer, path string, probe []string) bool {
	if len(probe) == 0 {
		return true
	}
	cmd := exec.Command(path, probe...)
	cmd.Env = Env(p)
	return cmd.Run() == nil
}

type absentError struct {
	peer    Peer
	install string
}

func (e *absentError) Error() string { return string(e.peer) + " is not installed: " + e.install }
