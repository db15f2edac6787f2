package users

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Hashes of passwords that were sent: argon2id in the form that other programs write too,
// $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH.

// argon2id begins a hash; the version is the only one there is.
const argon2id = "$argon2id$v=19$"

// A hash is what is kept of a password.
type hash struct {
	memory, time uint32 // KiB, passes
	threads      uint8
	salt, sum    []byte
}

// newHash hashes a password with a salt of its own. The costs are those that OWASP recommends: 19 MiB, two passes.
func newHash(password string) hash {
	// They stand in the line, so that others can be chosen later without making old lines invalid.
	h := hash{memory: 19 << 10, time: 2, threads: 1, salt: make([]byte, 16)}
	rand.Read(h.salt) // never fails
	h.sum = h.of(password, 32)
	return h
}

func (h *hash) of(password string, size int) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(size))
}

// matches takes the same time whatever the password is.
func (h *hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password, len(h.sum)), h.sum) == 1
}

func (h hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%sm=%d,t=%d,p=%d$%s$%s", argon2id, h.memory, h.time, h.threads, b64(h.salt), b64(h.sum))
}

// parseHash reads a hash. Its costs are bounded, so that a slip in the file does not take the machine's memory: 1 GiB, 100
// passes.
func parseHash(field string) (h hash, err error) {
	bad := errors.New("the argon2id hash is not in the form that postrider passwd writes")
	parts := strings.Split(strings.TrimPrefix(field, argon2id), "$")
	if len(parts) != 3 {
		return h, bad
	}
	// What Sscanf passes over would be written differently than it was read.
	n, err := fmt.Sscanf(parts[0], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads)
	if n != 3 || err != nil || fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.time, h.threads) != parts[0] {
		return h, bad
	}
	if h.threads < 1 || h.time < 1 || h.time > 100 || h.memory < 8*uint32(h.threads) || h.memory > 1<<20 {
		return h, errors.New("the argon2id hash has costs that nobody can pay, or none")
	}
	b64 := base64.RawStdEncoding.Strict()
	salt, saltErr := b64.DecodeString(parts[1])
	sum, sumErr := b64.DecodeString(parts[2])
	if saltErr != nil || sumErr != nil || len(salt) < 8 || len(salt) > 64 || len(sum) < 16 || len(sum) > 64 {
		return h, bad
	}
	h.salt, h.sum = salt, sum
	return h, nil
}

// hashers is how many passwords are hashed at a time.
func hashers() int { return max(2, runtime.GOMAXPROCS(0)) }
