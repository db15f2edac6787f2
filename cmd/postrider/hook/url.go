package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// URLs. A question is a POST, signed as Standard Webhooks has it, so that whoever is asked can tell our questions from
// others' with a library that is there for most languages: webhook-id, webhook-timestamp, and in webhook-signature
// "v1," with the HMAC-SHA256 of "ID.TIMESTAMP.BODY" in base64. The id stays the same when a question is asked again.

// attempts is how often a question is asked.
const attempts = 3

// errAgain says that asking again may help.
var errAgain = errors.New("the service failed")

// Secret reads a secret as it is handed around: "whsec_" and base64, or any text.
func Secret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	encoded, ok := strings.CutPrefix(text, "whsec_")
	if !ok {
		return []byte(text), nil
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("what follows whsec_ is not base64")
	}
	return b, nil
}

// post asks a URL, again if the connection fails or the service is at fault.
func (h *Hook) post(ctx context.Context, body []byte) error {
	// The prefix is the one that Standard Webhooks recommends: it shows in a log what the id is of.
	id, pause := "msg_"+rand.Text(), h.pause
	for n := 1; ; n++ {
		err := h.postOnce(ctx, id, body)
		if n == attempts || !errors.Is(err, errAgain) {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 4
		case <-ctx.Done():
			return err
		}
	}
}

func (h *Hook) postOnce(ctx context.Context, id string, body []byte) error {
	// A third of the time for each, so that one that hangs leaves time for another.
	ctx, cancel := context.WithTimeout(ctx, h.timeout/attempts)
	defer cancel()
	// The body is the same for each try, and its id too: a service can tell a repetition (Standard Webhooks).
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	// The time is signed with the body, so that a service can refuse an old question that somebody has recorded.
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, h.secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "postrider", "Webhook-Id": id, "Webhook-Timestamp": stamp,
		"Webhook-Signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), "Postrider-Hook": string(h.kind),
	} {
		req.Header.Set(name, value)
	}
	// A redirection is not followed: the answer is that of the URL that the user named.
	// Connections are those of the default transport, which keeps them for the next question.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		// The URL is not repeated in a log: it may have a token in it.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	defer resp.Body.Close()
	return h.answer(resp)
}

// answer reads a response: 2xx accepts; 403, 404, 410 and 422 refuse; anything else is a fault.
func (h *Hook) answer(resp *http.Response) error {
	var text string
	// A web server's own page is not for a client of ours to read.
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/plain" {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxOutput))
		if err != nil {
			return fmt.Errorf("%w: %w", errAgain, err)
		}
		text = string(b)
	}
	// 403 and 422 are about the mail, 404 and 410 about who it is for; 401 is about us, and a fault.
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusNotFound || code == http.StatusGone:
		return h.refusal(550, "5.1.1", text)
	case code == http.StatusForbidden:
		return h.refusal(550, "5.7.1", text)
	case code == http.StatusUnprocessableEntity:
		return h.refusal(554, "5.6.0", text)
	// What a service says of itself, and not of the mail: it may be right in a moment.
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("%w: %s", errAgain, resp.Status)
	}
	return fmt.Errorf("the service answers %s", resp.Status)
}
