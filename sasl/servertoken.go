package sasl

import (
	"errors"
	"strings"
)

// Bearer tokens on a server: OAUTHBEARER (RFC 7628) and XOAUTH2.
//
// Both are one message and a verdict, but for a refusal: the server tells why as JSON in a
// challenge of its own, and refuses when that was answered, with whatever (3.2.3). Who the
// token is for its issuer says and not the client, whose claim is only handed on.

type tokenServer struct {
	*exchange
	parse   func(message string) (user, token string, ok bool)
	refused bool
}

func (s *tokenServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case s.refused: // whatever the client answers to what it was told
		return nil, false, ErrRefused
	case response == nil:
		return []byte{}, false, nil
	}
	claimed, token, ok := s.parse(string(response))
	if !ok || claimed != "" && !visible(claimed) {
		return nil, false, ErrSyntax
	}
	// An empty token asks what is wanted (RFC 7628, 4.3).
	user, err := "", ErrRefused
	if token != "" {
		user, err = s.Token(s.ctx, claimed, token)
	}
	switch {
	case errors.Is(err, ErrRefused):
		s.refused = true
		return []byte(`{"status":"invalid_token","schemes":"bearer"}`), false, nil
	case err != nil:
		return nil, false, err
	}
	return s.accept(user, "")
}

// parseBearer reads a gs2 header and key=value pairs, each ended by ^A (RFC 7628,
// 3.1).
func parseBearer(message string) (user, token string, ok bool) {
	header, pairs, _ := strings.Cut(message, "\x01")
	parts := strings.Split(header, ",")
	// There is no channel to bind to: p= is refused.
	if len(parts) != 3 || parts[0] != "n" && parts[0] != "y" || parts[2] != "" {
		return "", "", false
	}
	if parts[1] != "" {
		name, found := strings.CutPrefix(parts[1], "a=")
		if user, ok = unescapeName(name); !found || !ok {
			return "", "", false
		}
	}
	token, ok = bearerOf(pairs)
	return user, token, ok
}

// parseXOAUTH2 reads user= and auth=, each ended by ^A.
func parseXOAUTH2(message string) (user, token string, ok bool) {
	head, pairs, _ := strings.Cut(message, "\x01")
	user, ok = strings.CutPrefix(head, "user=")
	if !ok {
		return "", "", false
	}
	token, ok = bearerOf(pairs)
	return user, token, ok
}

// bearerOf finds the token in pairs, which end in an empty one.
func bearerOf(pairs string) (token string, ok bool) {
	pairs, ok = strings.CutSuffix(pairs, "\x01\x01")
	if !ok {
		return "", false
	}
	found := false
	for pair := range strings.SplitSeq(pairs, "\x01") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return "", false
		}
		if name != "auth" {
			continue // host and port, and what may come
		}
		scheme, rest, _ := strings.Cut(value, " ")
		if found || value != "" && !strings.EqualFold(scheme, "Bearer") {
			return "", false
		}
		token, found = strings.TrimLeft(rest, " "), true
	}
	return token, found
}
