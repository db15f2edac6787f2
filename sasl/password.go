package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
)

// Passwords on the client's side. What the server learns decides the order: SCRAM
// shows it nothing that it does not have, and with channel binding nobody between
// the two can take part. Inside TLS PLAIN comes next, as every server can check
// it. Outside, CRAM-MD5 goes before what shows the password as it is.

// Password returns the credential of a user with a password. It is used with the
// first of these that the server offers: SCRAM-SHA-512-PLUS, -256-PLUS, -1-PLUS,
// SCRAM-SHA-512, -256, -1; then PLAIN, LOGIN and CRAM-MD5 inside TLS, and
// CRAM-MD5, PLAIN and LOGIN outside. PLAIN and LOGIN send the password as it is;
// Only leaves them out.
//
// SCRAM is passed over for a password that SASLprep (RFC 4013) forbids, such as
// one with an emoji, because the server cannot have keys of it.
func Password(user, password string) Credential { return PasswordAs("", user, password) }

// PasswordAs is Password for a user who wants to act as identity, the
// authorization identity of RFC 4422. "" is the user's own. LOGIN and CRAM-MD5
// have none and are used only without.
func PasswordAs(identity, user, password string) Credential {
	return credential{identity, user, password}
}

type credential struct{ identity, user, password string }

// String keeps the password out of logs.
func (c credential) String() string { return "password of " + c.user }

// GoString keeps it out of %#v too.
func (c credential) GoString() string { return c.String() }

func (c credential) Exchange(_ context.Context, o Offer) (Exchange, error) {
	for _, v := range [][2]string{{"identity", c.identity}, {"user name", c.user}, {"password", c.password}} {
		if err := clean(v[0], v[1]); err != nil {
			return nil, err
		}
	}
	if x := c.scram(o); x != nil {
		return x, nil
	}
	order := []string{"PLAIN", "LOGIN", "CRAM-MD5"}
	switch {
	case c.identity != "":
		order = order[:1]
	case o.TLS == nil:
		order = []string{"CRAM-MD5", "PLAIN", "LOGIN"}
	}
	mechanism, err := o.first("a password", order...)
	switch mechanism {
	case "PLAIN":
		return &onceExchange{named(mechanism), c.identity + "\x00" + c.user + "\x00" + c.password}, nil // RFC 4616, 2
	case "LOGIN":
		return &login{named: named(mechanism), credential: c}, nil
	case "CRAM-MD5":
		return &cramMD5{named: named(mechanism), credential: c}, nil
	}
	return nil, err
}

// login answers two questions, whatever their wording. It was never
// standardised; QUIRK: some servers offer nothing else.
type login struct {
	named
	credential
	step int
}

func (l *login) Next(challenge []byte) ([]byte, error) {
	if challenge == nil {
		return nil, nil
	}
	l.step++
	switch l.step {
	case 1:
		return []byte(l.user), nil
	case 2:
		return []byte(l.password), nil
	}
	return nil, l.unexpected()
}

// cramMD5 keys a hash of the challenge with the password (RFC 2195, 2; RFC 2104).
type cramMD5 struct {
	named
	credential
	answered bool
}

func (x *cramMD5) Next(challenge []byte) ([]byte, error) {
	switch {
	case challenge == nil:
		return nil, nil
	case len(challenge) == 0 || x.answered:
		// A digest of nothing would be worth as much tomorrow.
		return nil, x.unexpected()
	}
	x.answered = true
	return []byte(x.user + " " + digestMD5(x.password, challenge)), nil
}

func digestMD5(secret string, challenge []byte) string {
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write(challenge)
	return hex.EncodeToString(mac.Sum(nil))
}
