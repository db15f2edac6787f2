// Package users is the users file: who may authenticate, and what is kept of their passwords.
//
// A line is a user: the name, a colon, and with blanks between them an argon2id hash (RFC 9106), for mechanisms that send
// the password, and the keys of each SCRAM mechanism (RFC 5803), for those that do not. Postrider passwd writes it.
// Empty lines and those that begin with # are passed over.
//
//	ann:$argon2id$v=19$m=19456,t=2,p=1$… SCRAM-SHA-512$4096:…$…:… SCRAM-SHA-256$… SCRAM-SHA-1$…
package users

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/xdg-go/stringprep"

	"github.com/postrider/postrider/sasl"
)

// The file is read whole and kept as a table that does not change; reading it again makes another table, which takes the
// first one's place at once (atomic.Pointer). A session that has begun to verify goes on with the table that it has.
//
// Two things must not be learnt by asking: whether a user exists, and what is in the file. So a user who does not exist
// costs the same work and gets the same kind of answer as one who does, and no error repeats a line.

// An entry is one user.
type entry struct {
	name string
	hash hash
	keys map[string]sasl.Keys // by mechanism
}

// A table is a file that was read; it does not change.
type table struct {
	users map[string]*entry // by prepared name
	first *entry            // its costs are those of users who do not exist
	known sync.Map          // passwords that were right, hashed with a key of this process; Guard's
	count atomic.Int32      // of known
}

// A File is a users file in use. Its methods may be called by many sessions at once.
type File struct {
	path  string
	table atomic.Pointer[table]
	offer []string      // the mechanisms that all users had when it was opened
	slots chan struct{} // one is taken while a password is hashed: each takes memory and a processor
	key   []byte        // for table.known
}

// Open reads a users file. Errors name the file and the line.
func Open(path string) (*File, error) {
	t, err := load(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, slots: make(chan struct{}, hashers()), key: []byte(rand.Text())}
	f.offer = t.mechanisms()
	f.table.Store(t)
	return f, nil
}

// Reload reads the file again. After an error the users are those of before. A line must have what the others had when
// the file was opened: what a server announces does not change while it runs.
func (f *File) Reload() error {
	t, err := load(f.path)
	if err != nil {
		return err
	}
	// A client that has read EHLO may say any mechanism of it for as long as its session lasts.
	has := t.mechanisms()
	for _, m := range f.offer {
		if !slices.Contains(has, m) {
			return fmt.Errorf("%s: not every user has what %s needs: make the lines anew with postrider passwd", f.path, m)
		}
	}
	f.table.Store(t)
	return nil
}

// load reads a file.
func load(path string) (*table, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	t, err := parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// maxLine is the longest line that is read; those of passwd have some 600 octets.
const maxLine = 16 << 10

// parse reads the lines. A file without users is an error: nobody could get in, which nobody wants.
func parse(r io.Reader) (*table, error) {
	t := &table{users: map[string]*entry{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 1
	for ; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		e, err := parseEntry(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		// Of two lines one would be a password that nobody knows to be good.
		if t.users[e.name] != nil {
			return nil, fmt.Errorf("line %d: the user %q is there already", n, e.name)
		}
		t.users[e.name] = e
		if t.first == nil {
			t.first = e
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n, err)
	}
	if t.first == nil {
		return nil, errors.New("there are no users in it; postrider passwd adds one")
	}
	return t, nil
}

// parseEntry reads a line. Its errors do not repeat it, as it is a secret.
func parseEntry(line string) (*entry, error) {
	name, rest, ok := strings.Cut(line, ":")
	if !ok {
		return nil, errors.New("there is no colon after the user's name")
	}
	// SASLprep, as clients prepare what they send: else a name in another Unicode form would be another user.
	name, err := prepare(name)
	if err != nil {
		return nil, err
	}
	e := &entry{name: name, keys: map[string]sasl.Keys{}}
	hashed := false
	for field := range strings.FieldsSeq(rest) {
		if strings.HasPrefix(field, argon2id) {
			if e.hash, err = parseHash(field); err != nil {
				return nil, err
			}
			hashed = true
			continue
		}
		mechanism, keys, err := parseKeys(field)
		if err != nil {
			return nil, err
		}
		e.keys[mechanism] = keys
	}
	if !hashed {
		return nil, errors.New("there is no argon2id hash; postrider passwd writes such lines")
	}
	return e, nil
}

// prepare brings a name into the one form that it is compared in (RFC 4013).
func prepare(name string) (string, error) {
	prepared, err := stringprep.SASLprep.Prepare(name)
	if err != nil || prepared == "" {
		return "", errors.New("the user's name is empty, or has characters that no name may have")
	}
	return prepared, nil
}

// scrams are the mechanisms that there are keys for.
func scrams() []string { return []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"} }

// mechanisms returns those that every user can be verified by.
func (t *table) mechanisms() []string {
	list := []string{"PLAIN", "LOGIN"}
	for _, m := range scrams() {
		all := true
		for _, e := range t.users {
			_, has := e.keys[m]
			all = all && has
		}
		if all {
			list = append(list, m, m+"-PLUS")
		}
	}
	return list
}

// parseKeys reads keys in the form of RFC 5803, 2, with one $ more before the rest than there.
func parseKeys(field string) (mechanism string, k sasl.Keys, err error) {
	bad := errors.New("the SCRAM keys are not in the form that postrider passwd writes")
	parts := strings.Split(field, "$")
	if len(parts) != 3 || !slices.Contains(scrams(), parts[0]) {
		return "", k, bad
	}
	iterations, salt, _ := strings.Cut(parts[1], ":")
	stored, server, _ := strings.Cut(parts[2], ":")
	// RFC 7677, 4: 4096 at least. Beyond 4 million a client would compute for minutes, which each of them does.
	if k.Iterations, err = strconv.Atoi(iterations); err != nil || k.Iterations < 4096 || k.Iterations > 1<<22 {
		return "", k, bad
	}
	size := map[string]int{"SCRAM-SHA-512": 64, "SCRAM-SHA-256": 32, "SCRAM-SHA-1": 20}[parts[0]]
	for _, part := range []struct {
		to   *[]byte
		text string
		size int
	}{{&k.Salt, salt, 0}, {&k.StoredKey, stored, size}, {&k.ServerKey, server, size}} {
		*part.to, err = base64.StdEncoding.Strict().DecodeString(part.text)
		if err != nil || len(*part.to) == 0 || part.size != 0 && len(*part.to) != part.size {
			return "", k, bad
		}
	}
	return parts[0], k, nil
}

// formatKeys is parseKeys the other way round.
func formatKeys(mechanism string, k sasl.Keys) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", mechanism, k.Iterations, b64(k.Salt), b64(k.StoredKey), b64(k.ServerKey))
}

// Line makes the line of a user, without a line end.
func Line(user, password string) (string, error) {
	name, err := prepare(user)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(user, ":\r\n") || strings.HasPrefix(name, "#") || strings.TrimSpace(user) != user {
		return "", errors.New("a user's name has no colon, and no # or blank at its beginning")
	}
	if password == "" {
		return "", errors.New("the password is empty")
	}
	// All that this version can verify: what is not written now could be made only from the password.
	fields := []string{newHash(password).String()}
	for _, m := range scrams() {
		keys, err := sasl.NewKeys(m, password, 0)
		if err != nil {
			return "", err
		}
		fields = append(fields, formatKeys(m, keys))
	}
	return name + ":" + strings.Join(fields, " "), nil
}

// Verifier returns what a server is told of the users.
func (f *File) Verifier() *sasl.Verifier {
	v := &sasl.Verifier{Password: f.Password, Only: f.offer}
	first := f.table.Load().first
	for _, m := range scrams() {
		keys, ok := first.keys[m]
		if !ok || !slices.Contains(f.offer, m) {
			continue
		}
		v.Keys, v.Iterations = f.keys, keys.Iterations
		// Who does not exist has the same salt after a restart as before, as everybody else has, or the difference
		// would tell. What it is made of nobody knows who has not read the file.
		mac := hmac.New(sha256.New, keys.ServerKey)
		mac.Write([]byte("salts of those who do not exist"))
		v.SaltKey = mac.Sum(nil)
	}
	return v
}

// keys looks up SCRAM keys; user has been prepared.
func (f *File) keys(_ context.Context, user, mechanism string) (sasl.Keys, error) {
	if e := f.table.Load().users[user]; e != nil {
		if keys, ok := e.keys[mechanism]; ok {
			return keys, nil
		}
	}
	return sasl.Keys{}, sasl.ErrRefused
}

// Password returns nil if password is user's, and sasl.ErrRefused if not. It takes as long for a user who does not exist.
func (f *File) Password(ctx context.Context, user, password string) error {
	select {
	// A flood of guesses waits for its turn here; without turns each would take 19 MiB at the same time.
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	t := f.table.Load()
	e, there := t.first, false
	if name, err := prepare(user); err == nil && t.users[name] != nil {
		e, there = t.users[name], true
	}
	if right := e.hash.matches(password); !right || !there {
		return sasl.ErrRefused
	}
	return nil
}
