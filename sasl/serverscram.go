package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/xdg-go/scram"
)

// SCRAM on a server (RFC 5802). A user who does not exist goes the whole way with
// made up keys, and fails where a wrong password fails.
//
// The proofs are a library's (docs/decisions/024), which is handed one user's keys at a
// time; what it does not decide is here: which binding a client may ask for, and that what
// went wrong on this side (no database) is not told to the client as a wrong password.

type scramServer struct {
	*exchange
	talk   *scram.ServerConversation
	proved bool
	fault  error // what Keys returned, unless it was ErrRefused
}

func (s *scramServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case s.talk == nil && response == nil:
		return []byte{}, false, nil
	case s.talk == nil:
		return s.first(string(response))
	case !s.proved:
		verifier, err := s.talk.Step(string(response))
		if err != nil {
			return nil, false, ErrRefused
		}
		s.proved = true
		return []byte(verifier), false, nil
	case len(response) > 0: // the client has only to say that it has heard
		return nil, false, ErrSyntax
	}
	name, err := prepare(s.talk.Username())
	if err != nil {
		return nil, false, ErrSyntax
	}
	return s.accept(name, s.talk.AuthzID())
}

// first answers the client's first message with salt and iterations.
func (s *scramServer) first(message string) ([]byte, bool, error) {
	name, bind := strings.CutSuffix(s.mechanism, plus)
	kind, asked := strings.CutPrefix(message, "p=")
	if asked != bind {
		return nil, false, ErrSyntax
	}
	for _, h := range scramHashes() {
		if h.mechanism != name {
			continue
		}
		server, err := h.hash.NewServer(s.lookup(h))
		if err != nil {
			return nil, false, err
		}
		s.talk = s.conversation(server, kind, bind)
	}
	challenge, err := s.talk.Step(message)
	switch {
	case s.fault != nil:
		return nil, false, s.fault
	case strings.Contains(challenge, "channel-binding"):
		return nil, false, ErrRefused
	case err != nil:
		return nil, false, ErrSyntax
	}
	return []byte(challenge), false, nil
}

// conversation binds to the connection as the client asks. Without -PLUS a client
// that says that it saw none is refused if there was one to see (RFC 5802, 6).
func (s *scramServer) conversation(server *scram.Server, kind string, bind bool) *scram.ServerConversation {
	if !bind && !s.offersPlus() {
		return server.NewConversation()
	}
	if !bind {
		return server.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: []byte{0}})
	}
	var binding scram.ChannelBinding
	kind, _, _ = strings.Cut(kind, ",")
	switch {
	case kind == string(scram.ChannelBindingTLSExporter):
		binding, _ = scram.NewTLSExporterBinding(s.channel.TLS)
	case kind == string(scram.ChannelBindingTLSServerEndpoint) && s.channel.Certificate != nil:
		binding, _ = endPoint(s.channel.Certificate)
	}
	// A binding that cannot be had is empty, and refused as not supported.
	return server.NewConversationWithChannelBindingRequired(binding)
}

func (s *scramServer) offersPlus() bool {
	for _, m := range s.Mechanisms(s.channel) {
		if strings.HasSuffix(m, plus) {
			return true
		}
	}
	return false
}

// lookup asks Keys, and makes keys up for a user who has none.
func (s *scramServer) lookup(h scramHash) scram.CredentialLookup {
	return func(user string) (scram.StoredCredentials, error) {
		name, err := prepare(user)
		if err != nil || !visible(name) {
			return scram.StoredCredentials{}, ErrSyntax
		}
		keys, err := s.Keys(s.ctx, name, h.mechanism)
		size := h.hash().Size()
		switch {
		case errors.Is(err, ErrRefused):
			keys = s.madeUp(name, h.mechanism, size)
		case err != nil:
			s.fault = err
		case len(keys.StoredKey) != size || len(keys.ServerKey) != size || len(keys.Salt) == 0 || keys.Iterations < 1:
			s.fault = fmt.Errorf("sasl: the keys of a user are not those of %s", h.mechanism)
		}
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
			StoredKey:  keys.StoredKey, ServerKey: keys.ServerKey,
		}, s.fault
	}
}

// madeUp returns keys that no password has, with the same salt each time.
func (s *scramServer) madeUp(user, mechanism string, size int) Keys {
	key := s.SaltKey
	if key == nil {
		key = processKey()
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(mechanism + "\x00" + user))
	keys := Keys{Salt: mac.Sum(nil)[:16], Iterations: s.Iterations, StoredKey: make([]byte, size), ServerKey: make([]byte, size)}
	rand.Read(keys.StoredKey) // never fails
	if keys.Iterations == 0 {
		keys.Iterations = minIterations
	}
	return keys
}

// processKey is the SaltKey of Verifiers that have none.
var processKey = sync.OnceValue(func() []byte { return []byte(rand.Text()) })
