package sasl_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/postrider/postrider/sasl"
)

var ctx = context.Background()

// A server that keeps no passwords, only what SCRAM needs to verify them, and both
// sides of an exchange.
func ExampleVerifier() {
	keys, err := sasl.NewKeys("SCRAM-SHA-256", "secret", 4096)
	if err != nil {
		panic(err)
	}
	users := &sasl.Verifier{Keys: func(_ context.Context, user, mechanism string) (sasl.Keys, error) {
		if user != "ann" || mechanism != "SCRAM-SHA-256" {
			return sasl.Keys{}, sasl.ErrRefused
		}
		return keys, nil
	}, Only: []string{"SCRAM-SHA-256"}}
	var here sasl.Channel

	for _, password := range []string{"secret", "guessed"} {
		client, err := sasl.Password("ann", password).Exchange(ctx, sasl.Offer{Mechanisms: users.Mechanisms(here)})
		if err != nil {
			panic(err)
		}
		server := users.Server(ctx, client.Mechanism(), here)
		var challenge []byte
		for done := false; !done && err == nil; {
			var response []byte
			if response, err = client.Next(challenge); err == nil {
				challenge, done, err = server.Next(response)
			}
		}
		fmt.Println(client.Mechanism(), server.User(), err)
	}
	// Output:
	// SCRAM-SHA-256 ann <nil>
	// SCRAM-SHA-256  authentication failed
}

// A program that logs in as itself, not as a person (RFC 6749, 4.4), as Microsoft's
// servers want it. A person's token comes from the TokenSource of an oauth2.Config in
// the same way.
func ExampleToken() {
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"eyJ0","token_type":"Bearer","expires_in":3600}`)
	}))
	defer issuer.Close()

	app := &clientcredentials.Config{ClientID: "app", ClientSecret: "secret", TokenURL: issuer.URL, Scopes: []string{"https://outlook.office365.com/.default"}}
	credential := sasl.Token("ann@example.com", func(ctx context.Context) (string, time.Time, error) {
		token, err := app.Token(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		return token.AccessToken, token.Expiry, nil
	})
	// A smtp.Dialer does the rest: Dialer{Auth: credential}.
	exchange, err := credential.Exchange(ctx, sasl.Offer{Mechanisms: []string{"XOAUTH2"}})
	if err != nil {
		panic(err)
	}
	response, err := exchange.Next(nil)
	fmt.Printf("%s %q %v\n", exchange.Mechanism(), response, err)
	// Output: XOAUTH2 "user=ann@example.com\x01auth=Bearer eyJ0\x01\x01" <nil>
}

// Only keeps a credential to what one trusts.
func ExampleOnly() {
	c := sasl.Only(sasl.Password("ann", "secret"), "SCRAM-SHA-256")
	_, err := c.Exchange(ctx, sasl.Offer{Mechanisms: []string{"PLAIN", "LOGIN"}})
	fmt.Println(err)
	// Output: sasl: no usable authentication mechanism: the credential, as it is restricted, works with SCRAM-SHA-256; the server offers "PLAIN LOGIN"
}
