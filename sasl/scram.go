package sasl

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
	"github.com/xdg-go/stringprep"
)

// SCRAM (RFC 5802, 7677): both sides prove that they know the password, and
// neither shows it. The messages and proofs are package scram's; what is here is
// which hash and which channel binding, and bounds.

// A scramHash is a SCRAM mechanism without its -PLUS form.
type scramHash struct {
	mechanism string
	hash      scram.HashGeneratorFcn
}

const plus = "-PLUS"

// scramHashes returns the hashes, the strongest first.
func scramHashes() []scramHash {
	return []scramHash{{"SCRAM-SHA-512", scram.SHA512}, {"SCRAM-SHA-256", scram.SHA256}, {"SCRAM-SHA-1", scram.SHA1}}
}

// Iterations that a client will do. RFC 7677, 4 asks for 4096 at least; above
// the other bound a server would only waste the client's time.
const (
	minIterations = 4096
	maxIterations = 4 << 20
)

// scram begins an exchange by the strongest form that is offered and possible,
// nil if none is.
func (c credential) scram(o Offer) Exchange {
	binding, bound := clientBinding(o.TLS)
	announced := slices.ContainsFunc(o.Mechanisms, func(m string) bool {
		return strings.HasPrefix(m, "SCRAM-") && strings.HasSuffix(m, plus)
	})
	for _, suffix := range []string{plus, ""} {
		for _, h := range scramHashes() {
			mechanism := h.mechanism + suffix
			if !o.has(mechanism) || suffix == plus && !bound {
				continue
			}
			client, err := h.hash.NewClient(c.user, c.password, c.identity)
			if err != nil {
				return nil
			}
			var talk *scram.ClientConversation
			switch {
			case suffix == plus:
				talk = client.NewConversationWithChannelBinding(binding)
			case bound && !announced:
				// Tells a server that does have -PLUS that somebody took it out
				// of the announcement (RFC 5802, 6).
				talk = client.NewConversationAdvertisingChannelBinding()
			default:
				talk = client.NewConversation()
			}
			return &scramClient{named: named(mechanism), talk: talk}
		}
	}
	return nil
}

// clientBinding returns the binding to use in a connection: tls-exporter (RFC
// 9266), or before TLS 1.3, where it is not safe everywhere, the server's
// certificate (RFC 5929, 4). There is none outside TLS or with a TLS of the
// caller's own.
func clientBinding(state *tls.ConnectionState) (scram.ChannelBinding, bool) {
	if state == nil || state.Version < tls.VersionTLS13 {
		b, err := scram.NewTLSServerEndpointBinding(state)
		return b, err == nil
	}
	b, err := scram.NewTLSExporterBinding(state)
	return b, err == nil
}

type scramClient struct {
	named
	talk *scram.ClientConversation
	step int
}

func (x *scramClient) Next(challenge []byte) ([]byte, error) {
	x.step++
	message := string(challenge)
	if x.step == 2 {
		if err := checkIterations(message); err != nil {
			return nil, fmt.Errorf("sasl: %s: %w", x.named, err)
		}
	}
	response, err := x.talk.Step(message)
	if err != nil && x.step == 3 && strings.HasPrefix(message, "v=") {
		err = ErrUnproven
	}
	if err != nil {
		return nil, fmt.Errorf("sasl: %s: %w", x.named, err)
	}
	return []byte(response), nil
}

// End accepts only a server that has proved itself.
func (x *scramClient) End(refusal error) error {
	if refusal == nil && !x.talk.Valid() {
		return fmt.Errorf("sasl: %s: %w", x.named, ErrUnproven)
	}
	return refusal
}

// checkIterations looks for the count in the server's first message, before the
// work that it asks for is done.
func checkIterations(message string) error {
	for field := range strings.SplitSeq(message, ",") {
		if count, ok := strings.CutPrefix(field, "i="); ok {
			n, err := strconv.Atoi(count)
			if err != nil || n < minIterations || n > maxIterations {
				return fmt.Errorf("the server asks for %.20q iterations; %d to %d are accepted", count, minIterations, maxIterations)
			}
			return nil
		}
	}
	return errors.New("the server's first message has no iteration count")
}

// Keys are what a server keeps of a password to check SCRAM: who steals them
// cannot log in elsewhere, but can pose as this server (RFC 5802, 9).
type Keys struct {
	Salt       []byte // 16 octets by NewKeys
	Iterations int    // 4096 or more
	StoredKey  []byte // as long as the hash
	ServerKey  []byte // as long as the hash
}

// String keeps the keys out of logs.
func (Keys) String() string { return "SCRAM keys" }

// GoString keeps them out of %#v too.
func (k Keys) GoString() string { return k.String() }

// NewKeys makes the keys of a password for one mechanism, such as SCRAM-SHA-256,
// with a random salt. 0 iterations are 4096. It is an error if SASLprep forbids
// the password, or if the mechanism is none of ours.
func NewKeys(mechanism, password string, iterations int) (Keys, error) {
	if iterations == 0 {
		iterations = minIterations
	}
	if iterations < minIterations || iterations > maxIterations {
		return Keys{}, fmt.Errorf("sasl: %d iterations; %d to %d are accepted", iterations, minIterations, maxIterations)
	}
	for _, h := range scramHashes() {
		if h.mechanism != mechanism {
			continue
		}
		client, err := h.hash.NewClient("", password, "")
		if err != nil {
			return Keys{}, fmt.Errorf("sasl: the password cannot be used with SCRAM: %w", err)
		}
		salt := make([]byte, 16)
		rand.Read(salt) // never fails
		stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
		return Keys{salt, iterations, stored.StoredKey, stored.ServerKey}, err
	}
	return Keys{}, fmt.Errorf("sasl: %q: keys are for SCRAM-SHA-512, SCRAM-SHA-256 and SCRAM-SHA-1", mechanism)
}

// prepare is SASLprep (RFC 4013) of a name.
func prepare(name string) (string, error) { return stringprep.SASLprep.Prepare(name) }

// endPoint is the binding to a server's own certificate.
func endPoint(cert *x509.Certificate) (scram.ChannelBinding, error) {
	return scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
}
