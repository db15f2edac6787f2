package sasl_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/postrider/sasl"
)

// run lets both sides of a mechanism talk until the server is done.
func run(t *testing.T, c sasl.Credential, mechanism string, verify sasl.Verify) error {
	t.Helper()
	x, err := c.Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"X-OTHER", mechanism}})
	if err != nil {
		return err
	}
	if x.Mechanism() != mechanism {
		t.Fatalf("got mechanism %s, want %s", x.Mechanism(), mechanism)
	}
	server := sasl.NewServer(strings.ToLower(mechanism), verify)
	response, err := x.Next(nil)
	for range 10 {
		if err != nil {
			return err
		}
		challenge, done, err2 := server.Next(response)
		if done || err2 != nil {
			return err2
		}
		response, err = x.Next(challenge)
	}
	t.Fatal("the exchange does not end")
	return nil
}

func TestPassword(t *testing.T) {
	wrong := errors.New("wrong")
	verify := func(user, password string) error {
		if user == "ann é" && password == "s3 cret" {
			return nil
		}
		return wrong
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		if err := run(t, sasl.Password("ann é", "s3 cret"), mechanism, verify); err != nil {
			t.Errorf("%s: got %v", mechanism, err)
		}
		if err := run(t, sasl.Password("ann é", ""), mechanism, verify); !errors.Is(err, wrong) {
			t.Errorf("%s: wrong password: got %v", mechanism, err)
		}
	}
	if err := run(t, sasl.Password("a", "b"), "GSSAPI", verify); !errors.Is(err, sasl.ErrNoMechanism) {
		t.Errorf("got %v, want ErrNoMechanism", err)
	}
	if err := run(t, sasl.Password("a\x00b", "c"), "PLAIN", verify); err == nil {
		t.Error("a NUL in the user name was sent")
	}
	if sasl.NewServer("CRAM-MD5", verify) != nil {
		t.Error("a mechanism that is not there")
	}
}

// A credential never shows its password.
func TestPasswordIsNotPrinted(t *testing.T) {
	c := sasl.Password("ann", "hunter2")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, c); strings.Contains(s, "hunter2") {
			t.Errorf("%s: got %s", format, s)
		}
	}
}

func TestPlainServerSyntax(t *testing.T) {
	for in, ok := range map[string]bool{
		"\x00ann\x00secret": true, "ann\x00ann\x00secret": true, "bob\x00ann\x00secret": false,
		"": false, "ann": false, "\x00\x00secret": false, "\x00a\x00b\x00c": false,
	} {
		_, done, err := sasl.NewServer("PLAIN", func(string, string) error { return nil }).Next([]byte(in))
		if done != ok || ok != (err == nil) || !ok && !errors.Is(err, sasl.ErrSyntax) {
			t.Errorf("%q: got done %v, %v", in, done, err)
		}
	}
}

func FuzzServer(f *testing.F) {
	f.Add("PLAIN", "\x00a\x00b", "")
	f.Add("LOGIN", "a", "b")
	f.Fuzz(func(t *testing.T, mechanism, first, second string) {
		s := sasl.NewServer(mechanism, func(string, string) error { return nil })
		if s == nil {
			return
		}
		if _, done, err := s.Next([]byte(first)); !done && err == nil {
			s.Next([]byte(second))
		}
	})
}
