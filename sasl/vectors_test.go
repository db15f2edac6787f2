package sasl_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/sasl"
)

// The examples of the RFCs, tokens, and what a client must not say.

// RFC 2195, 2.
func TestCramMD5Vector(t *testing.T) {
	x, err := sasl.Password("tim", "tanstaaftanstaaf").Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"CRAM-MD5"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.Next(nil); got != nil || err != nil {
		t.Fatalf("initial response: got %q, %v; want none", got, err)
	}
	got, err := x.Next([]byte("<1896.697170952@postoffice.reston.mci.net>"))
	if want := "tim b913a602c7eda7a495b4e6e7334d3890"; string(got) != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if got, err := x.Next([]byte("<2@example.net>")); err == nil {
		t.Errorf("a second challenge: got %q", got)
	}
}

// RFC 7628, 4.1 and 4.3, and Google's example of XOAUTH2.
func TestTokenVectors(t *testing.T) {
	source := func(context.Context) (string, time.Time, error) {
		return "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", time.Time{}, nil
	}
	for mechanism, want := range map[string]string{
		"OAUTHBEARER": "n,a=user@example.com,\x01host=server.example.com\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
		"XOAUTH2":     "user=user@example.com\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
	} {
		x, err := sasl.Token("user@example.com", source).Exchange(t.Context(), sasl.Offer{Host: "server.example.com", Mechanisms: []string{mechanism}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.Next(nil); string(got) != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", mechanism, got, err, want)
		}
		told, err := base64.StdEncoding.DecodeString("eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIn0=")
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Next(told)
		if wantDummy := map[string]string{"OAUTHBEARER": "\x01"}[mechanism]; string(got) != wantDummy || err != nil {
			t.Errorf("%s, refused: got %q, %v; want %q", mechanism, got, err, wantDummy)
		}
		if err := x.End(errors.New("535")); !strings.Contains(err.Error(), "invalid_token") || !strings.Contains(err.Error(), "example_scope") {
			t.Errorf("%s: got %v, want what the server told", mechanism, err)
		}
		if _, err := x.Next([]byte("more")); err == nil {
			t.Errorf("%s: goes on after the refusal", mechanism)
		}
	}
}

// What a server tells of a token never holds the token, nor breaks a line.
func TestTokenIsNotRepeated(t *testing.T) {
	for _, told := range []string{
		"hunter2\r\n535 fake", `{"status":"hunter2","error_description":"a hunter2\nb"}`, strings.Repeat("x", 1<<16),
	} {
		x, err := sasl.Token("ann", func(context.Context) (string, time.Time, error) { return "hunter2", time.Time{}, nil }).
			Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"XOAUTH2"}})
		if err != nil {
			t.Fatal(err)
		}
		x.Next(nil)
		x.Next([]byte(told))
		if s := x.End(errors.New("535")).Error(); strings.Contains(s, "hunter2") || strings.ContainsAny(s, "\r\n") || len(s) > 1000 {
			t.Errorf("got %q", s)
		}
	}
}

// A token is asked for once for all who wait, kept until a minute before its end,
// and forgotten when it is refused.
func TestTokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		c := sasl.Token("ann", func(context.Context) (string, time.Time, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return "good", time.Now().Add(time.Hour), nil
		})
		offer := sasl.Offer{Mechanisms: []string{"XOAUTH2"}}
		begin := func() sasl.Exchange {
			x, err := c.Exchange(t.Context(), offer)
			if err != nil {
				t.Error(err)
			}
			return x
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { begin() })
		}
		wg.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("ten at once: asked %d times, want 1", n)
		}
		time.Sleep(58 * time.Minute)
		begin()
		if n := asked.Load(); n != 1 {
			t.Errorf("before the end: asked %d times, want 1", n)
		}
		time.Sleep(2 * time.Minute)
		if x := begin(); asked.Load() != 2 {
			t.Errorf("at the end: asked %d times, want 2", asked.Load())
		} else if err := x.End(errors.New("535")); errors.Is(err, sasl.ErrStale) {
			t.Errorf("a fresh token: got %v, want no ErrStale", err)
		}
		begin()
		if x := begin(); !errors.Is(x.End(errors.New("535")), sasl.ErrStale) {
			t.Error("a kept token: got no ErrStale")
		}
		begin()
		if n := asked.Load(); n != 4 {
			t.Errorf("after a refusal each: asked %d times, want 4", n)
		}
		// Who waits for somebody else's question can leave.
		x := begin()
		x.End(errors.New("535"))
		go begin()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Exchange(ctx, offer); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: got %v", err)
		}
		time.Sleep(time.Minute)

		// A token whose end is not told is kept until it is refused.
		asked.Store(0)
		c = sasl.Token("ann", func(context.Context) (string, time.Time, error) { asked.Add(1); return "good", time.Time{}, nil })
		if err := begin().End(nil); err != nil {
			t.Errorf("accepted: got %v", err)
		}
		time.Sleep(1000 * time.Hour)
		if begin(); asked.Load() != 1 {
			t.Errorf("without an end: asked %d times, want 1", asked.Load())
		}
	})
}

// Responses that are none are refused as such by every mechanism.
func TestServerSyntax(t *testing.T) {
	v := users(t)
	v.Password = func(context.Context, string, string) error { return nil }
	for in, ok := range map[string]bool{
		"PLAIN \x00ann\x00secret": true, "PLAIN ann\x00ann\x00secret": true, "PLAIN sales\x00ann\x00secret": true,
		"PLAIN ": false, "PLAIN ann": false, "PLAIN \x00\x00secret": false, "PLAIN \x00a\x00b\x00c": false, "PLAIN \x00a\nb\x00c": false, "PLAIN \x00\xff\x00c": false,
		"CRAM-MD5 initial": false, "ANONYMOUS a\nb": false, "ANONYMOUS " + strings.Repeat("é", 256): false, "ANONYMOUS " + strings.Repeat("é", 255): true,
		"OAUTHBEARER n,,\x01auth=Bearer good\x01\x01": true, "OAUTHBEARER n,a=ann,\x01host=h\x01port=1\x01auth=bearer good\x01\x01": true,
		"OAUTHBEARER p=x,,\x01auth=Bearer good\x01\x01": false, "OAUTHBEARER n,ann,\x01auth=Bearer good\x01\x01": false, "OAUTHBEARER n,a=a=b,\x01auth=Bearer good\x01\x01": false,
		"OAUTHBEARER n,a=ann\x01auth=Bearer good\x01\x01": false, "OAUTHBEARER n,,x\x01auth=Bearer good\x01\x01": false, "OAUTHBEARER n,,,\x01auth=Bearer good\x01\x01": false,
		"OAUTHBEARER n,,\x01auth=Bearer good": false, "OAUTHBEARER n,,\x01auth=Basic good\x01\x01": false, "OAUTHBEARER n,,\x01auth=Bearer good\x01auth=Bearer good\x01\x01": false,
		"XOAUTH2 user=ann\x01auth=Bearer good\x01\x01": true, "XOAUTH2 ann\x01auth=Bearer good\x01\x01": false, "XOAUTH2 user=a\nb\x01auth=Bearer good\x01\x01": false,
		"SCRAM-SHA-256 hello": false, "SCRAM-SHA-256 p=tls-exporter,,n=ann,r=abc": false, "SCRAM-SHA-256 n,,n=a=b,r=abc": false,
	} {
		mechanism, response, _ := strings.Cut(in, " ")
		_, done, err := v.Server(t.Context(), mechanism, sasl.Channel{}).Next([]byte(response))
		if done != ok || ok != (err == nil) || !ok && !errors.Is(err, sasl.ErrSyntax) {
			t.Errorf("%q: got done %v, %v; want %v", in, done, err, ok)
		}
	}
}

// Whatever a client says, nobody gets in who does not know the password, and
// nothing that a name can hold reaches further than it should.
func FuzzServer(f *testing.F) {
	f.Add("PLAIN", "\x00ann\x00x", "", "")
	f.Add("LOGIN", "ann", "x", "")
	f.Add("CRAM-MD5", "", "ann 0123", "")
	f.Add("SCRAM-SHA-256", "n,,n=ann,r=abc", "c=biws,r=abc,p=AAAA", "")
	f.Add("SCRAM-SHA-1", "y,a=boss,n=ann,r=abc", "c=biws,r=abc,p=AAAA", "")
	f.Add("OAUTHBEARER", "n,a=ann,\x01auth=Bearer x\x01\x01", "\x01", "")
	f.Add("XOAUTH2", "user=ann\x01auth=Bearer x\x01\x01", "", "")
	v := users(f)
	f.Fuzz(func(t *testing.T, mechanism, first, second, third string) {
		s := v.Server(t.Context(), mechanism, sasl.Channel{})
		if s == nil || strings.EqualFold(mechanism, "ANONYMOUS") {
			return
		}
		for _, response := range []string{first, second, third} {
			if strings.Contains(response, "s3 cret") || strings.Contains(response, "good") {
				return
			}
			_, done, err := s.Next([]byte(response))
			if done {
				t.Fatalf("%s lets in %q", mechanism, s.User())
			}
			if err != nil {
				return
			}
		}
	})
}

// Whatever a server says, a client neither panics nor takes it for one that knows
// the password.
func FuzzClient(f *testing.F) {
	f.Add("SCRAM-SHA-256", "r=x,s=c2FsdA==,i=4096", "v=AAAA")
	f.Add("LOGIN", "Username:", "Password:")
	f.Add("CRAM-MD5", "<1@example.com>", "")
	f.Fuzz(func(t *testing.T, mechanism, first, second string) {
		x, err := sasl.Password("ann", "secret").Exchange(t.Context(), sasl.Offer{Mechanisms: []string{mechanism}})
		if err != nil {
			return
		}
		_, err = x.Next(nil)
		for _, challenge := range []string{first, second, second} {
			if err == nil {
				_, err = x.Next([]byte(challenge))
			}
		}
		if strings.HasPrefix(mechanism, "SCRAM-") && x.End(nil) == nil {
			t.Fatalf("%q, %q: a server is believed", first, second)
		}
	})
}

// Keys can be kept as JSON, and are then what they were.
func TestKeysAsJSON(t *testing.T) {
	k, err := sasl.NewKeys("SCRAM-SHA-256", "pencil", 8192)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var back sasl.Keys
	if err := json.Unmarshal(b, &back); err != nil || string(back.StoredKey) != string(k.StoredKey) || string(back.Salt) != string(k.Salt) || back.Iterations != 8192 || len(back.ServerKey) != 32 {
		t.Errorf("got %s, %v", b, err)
	}
}
