package sasl

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Bearer tokens (RFC 6750) on the client's side: OAUTHBEARER (RFC 7628), and
// XOAUTH2, which Google and Microsoft had before it.

// A TokenSource gets an access token. expiry is when it ends; zero: it is not
// known, and the token is used until the server refuses it. Its error becomes
// ErrNoToken. It is not called by two goroutines at once.
type TokenSource func(ctx context.Context) (token string, expiry time.Time, err error)

// Token returns the credential of a user with access tokens, for OAUTHBEARER and
// XOAUTH2. A token is kept for all connections until a minute before it expires.
// If the server refuses one that was kept, the exchange ends in ErrStale, and the
// next one asks source again: a smtp.Client does so once by itself.
func Token(user string, source TokenSource) Credential {
	return &bearer{user: user, source: source, busy: make(chan struct{}, 1)}
}

// early is how long before its expiry a token is no longer used.
const early = time.Minute

type bearer struct {
	user   string
	source TokenSource
	busy   chan struct{} // holds one while source is asked: a lock that a context can leave

	mu     sync.Mutex
	kept   string // "": none
	expiry time.Time
}

// String keeps the token out of logs.
func (b *bearer) String() string { return "token of " + b.user }

// GoString keeps it out of %#v too.
func (b *bearer) GoString() string { return b.String() }

func (b *bearer) Exchange(ctx context.Context, o Offer) (Exchange, error) {
	mechanism, err := o.first("a token", "OAUTHBEARER", "XOAUTH2")
	if err != nil {
		return nil, err
	}
	if b.user != "" && !visible(b.user) {
		return nil, fmt.Errorf("sasl: a control character in the user name")
	}
	token, fresh, err := b.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("sasl: %w: %w", ErrNoToken, err)
	}
	return &tokenExchange{named: named(mechanism), bearer: b, token: token, fresh: fresh, host: o.Host}, nil
}

// token returns the one that is kept or else gets one, which is fresh.
func (b *bearer) token(ctx context.Context) (token string, fresh bool, err error) {
	select {
	case b.busy <- struct{}{}:
		defer func() { <-b.busy }()
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	b.mu.Lock()
	token, expiry := b.kept, b.expiry
	b.mu.Unlock()
	if token != "" && (expiry.IsZero() || time.Until(expiry) > early) {
		return token, false, nil
	}
	if token, expiry, err = b.source(ctx); err != nil {
		return "", false, err
	}
	// RFC 6750, 2.1: visible ASCII. Anything else could end a field here.
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", false, fmt.Errorf("the source gave what is no token: it is empty, or holds something else than visible ASCII")
	}
	b.mu.Lock()
	b.kept, b.expiry = token, expiry
	b.mu.Unlock()
	return token, true, nil
}

// forget drops token, unless another one has been got already.
func (b *bearer) forget(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept == token {
		b.kept = ""
	}
}

type tokenExchange struct {
	named
	*bearer
	token string
	fresh bool // asked for by this exchange
	host  string
	said  bool
	told  string // what the server says is wrong
}

func (x *tokenExchange) Next(challenge []byte) ([]byte, error) {
	switch {
	case !x.said && len(challenge) == 0:
		x.said = true
		return []byte(x.initial()), nil
	case x.said && x.told == "" && len(challenge) > 0:
		// The server tells what is wrong, and refuses when it has been answered
		// (RFC 7628, 3.2.3; XOAUTH2 wants nothing in the answer).
		x.told = x.reason(challenge)
		if x.named == "XOAUTH2" {
			return []byte{}, nil
		}
		return []byte{1}, nil
	}
	return nil, x.unexpected()
}

func (x *tokenExchange) initial() string {
	if x.named == "XOAUTH2" {
		return "user=" + x.user + "\x01auth=Bearer " + x.token + "\x01\x01"
	}
	s := "n,"
	if x.user != "" {
		s += "a=" + escapeName(x.user)
	}
	s += ",\x01"
	if x.host != "" {
		s += "host=" + x.host + "\x01"
	}
	return s + "auth=Bearer " + x.token + "\x01\x01"
}

// End adds what the server told. A token that had been kept is forgotten.
func (x *tokenExchange) End(refusal error) error {
	if refusal == nil {
		return nil
	}
	x.forget(x.token)
	if x.told != "" {
		refusal = fmt.Errorf("%w (%s)", refusal, x.told)
	}
	if !x.fresh {
		return &staleError{refusal}
	}
	return refusal
}

// A staleError is the refusal of a token that had been kept.
type staleError struct{ refusal error }

func (e *staleError) Error() string        { return e.refusal.Error() }
func (e *staleError) Unwrap() error        { return e.refusal }
func (e *staleError) Is(target error) bool { return target == ErrStale }

// reason reads the server's JSON (RFC 7628, 3.2.2). Whatever it holds, the token
// is not repeated, and nothing in it can break a line.
func (x *tokenExchange) reason(challenge []byte) string {
	var told struct {
		Status      string `json:"status"`
		Scope       string `json:"scope"`
		Description string `json:"error_description"`
	}
	show := func(s string) string {
		return fmt.Sprintf("%.200q", strings.ReplaceAll(s, x.token, "***"))
	}
	if err := json.Unmarshal(challenge, &told); err != nil || told.Status == "" {
		return "the server told " + show(string(challenge))
	}
	s := "status " + show(told.Status)
	if told.Scope != "" {
		s += ", scope " + show(told.Scope)
	}
	if told.Description != "" {
		s += ", " + show(told.Description)
	}
	return s
}

// escapeName writes a saslname (RFC 5801, 4).
func escapeName(s string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s)
}

// unescapeName reads a saslname.
func unescapeName(s string) (string, bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), true
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		s = after[2:]
	}
}
