// Package mailini reads a mail.ini strictly: keys without sections, each of them known and there once. A key that nobody
// knows is most likely one that is spelt wrong, and a server that starts without its certificate because of that is
// found out too late.
package mailini

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/ini.v1"
)

// Line and key are what an error is about: who reads it has the file open in an editor. The library that splits the lines
// knows neither, so they are found a second time here; where the two disagree the line is left out of the error.
//
// The file is Axiom's mail.ini, and ours: whoever comes from there starts with the file that they have.

// maxSize is how much configuration is read. A file that is longer is some other file, and is not read into memory.
const maxSize = 1 << 20

// A File is a mail.ini that was read. It keeps the lines because the parser forgets on which one a key was.
type File struct {
	values map[string]string
	lines  map[string]int
}

// Library returns the keys that a server in Go has too: Axiom's and ours. Each call makes a list of its own, which the caller
// may change.
func Library() []string {
	return []string{"port", "local", "tls_port", "tls_crt", "tls_key", "hostname", "max_size"}
}

// Program returns the keys of the program alone, which are flags of serve, with _ for -. sendmail has relay too.
func Program() []string {
	return []string{
		"accept", "acme", "acme_http", "acme_url", "data", "fault", "hook_limit", "hook_secret_file", "hook_timeout", "inboxes", "keep",
		"on_auth", "on_mail", "on_rcpt", "open", "print", "relay", "users", "verbose", "web", "web_auth",
		"web_host", "web_path",
	}
}

// Parse reads a file of at most 1 MiB. An error names the line where there is one to name.
func Parse(r io.Reader) (*File, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("the configuration is longer than %d octets", maxSize)
	}
	// What each line is about is found first: the library says of a line without a key not which it is, and of a key that is
	// there twice it keeps one of the two and says nothing.
	f := &File{values: map[string]string{}, lines: map[string]int{}}
	if err := f.locate(text); err != nil {
		return nil, err
	}
	// One line is one key, so that a line can be told. A value may have # and ; in it unless a blank is before them.
	file, err := ini.LoadSources(ini.LoadOptions{IgnoreContinuation: true, SpaceBeforeInlineComment: true}, text)
	if err != nil {
		return nil, fmt.Errorf("configuration: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	known := slices.Concat(Library(), Program())
	slices.Sort(known)
	for _, s := range file.Sections() {
		if s.Name() != ini.DefaultSection {
			return nil, f.Wrong("["+s.Name()+"]", "there are no sections")
		}
		for _, k := range s.Keys() {
			if !slices.Contains(known, k.Name()) {
				return nil, f.Wrong(k.Name(), "unknown; there are "+strings.Join(known, ", "))
			}
			// Not String, which puts other keys in for %(key)s: two that name each other would never end.
			f.values[k.Name()] = strings.TrimSpace(k.Value())
		}
	}
	return f, nil
}

// locate finds the lines of keys and sections, and refuses a key that is there twice: of two ports one would be
// forgotten without a word.
func (f *File) locate(text []byte) error {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		name := strings.TrimSpace(string(line))
		if name == "" || name[0] == '#' || name[0] == ';' {
			continue
		}
		// Both marks of the format count, and the quotes that a key may stand in, or "port" and port would be two keys.
		if name[0] != '[' {
			end := strings.IndexAny(name, "=:")
			if end <= 0 {
				return fmt.Errorf("configuration, line %d: %.40q is neither KEY = VALUE nor a comment", n, name)
			}
			name = name[:end]
			name = strings.Trim(strings.TrimSpace(name), "\"`'")
		}
		if before, twice := f.lines[name]; twice {
			return fmt.Errorf("configuration, line %d: %s: it is in line %d already", n, name, before)
		}
		f.lines[name] = n
	}
	return nil
}

// Value returns the value of a key; "" if it is not there or empty, which is the same to us.
func (f *File) Value(key string) string { return f.values[key] }

// Has tells whether a key is there, empty or not.
func (f *File) Has(key string) bool { _, ok := f.values[key]; return ok }

// Number reads a number from 1 to most; 0 if the key is not there. A key that is there and empty is an error: a port that
// somebody has taken away is commented out.
func (f *File) Number(key string, most int64) (int64, error) {
	if !f.Has(key) {
		return 0, nil
	}
	n, err := strconv.ParseInt(f.Value(key), 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, f.Wrong(key, fmt.Sprintf("it is a number from 1 to %d", most))
	}
	return n, nil
}

// Bool reads true or false, in the words of [strconv.ParseBool]; absent is what a key says that is not there, or empty.
func (f *File) Bool(key string, absent bool) (bool, error) {
	if f.Value(key) == "" {
		return absent, nil
	}
	v, err := strconv.ParseBool(f.Value(key))
	if err != nil {
		return false, f.Wrong(key, "it is true or false")
	}
	return v, nil
}

// Wrong makes an error about a key or a section, with its line.
func (f *File) Wrong(name, why string) error { return errors.New(f.At(name) + ": " + why) }

// At says where a key or a section is, as errors begin. A line that the parser understood in another way than we do is
// left out rather than guessed.
func (f *File) At(name string) string {
	if n, ok := f.lines[name]; ok {
		return fmt.Sprintf("configuration, line %d: %s", n, name)
	}
	return "configuration: " + strconv.Quote(name)
}
