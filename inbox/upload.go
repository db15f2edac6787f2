package inbox

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/postrider/postrider/internal/mailjson"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// Messages that come by HTTP: to be kept, or to be sent.

// apiInject keeps a message that did not come by SMTP: message/rfc822 as it is,
// or one composed from JSON.
func (in *Inbox) apiInject(w http.ResponseWriter, r *http.Request) error {
	a, msg, err := in.upload(w, r)
	if err != nil {
		return err
	}
	// keep tells Run; the client may ask for the message at once.
	id, err := in.keep(r.Context(), a, msg)
	if err != nil {
		return err
	}
	w.Header().Set("Location", apiPath+"messages/"+id)
	answer(w, http.StatusCreated, map[string]string{"id": id})
	return nil
}

// upload reads the message of a request, with an envelope for it.
func (in *Inbox) upload(w http.ResponseWriter, r *http.Request) (*Arrival, io.Reader, error) {
	limit := in.MaxUpload
	if limit == 0 {
		limit = maxUpload
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	// A type that cannot be read is one of those that are not taken.
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var a Arrival
	var msg io.Reader
	var err error
	switch media {
	case "message/rfc822":
		msg, err = rawUpload(&a, body)
	case "application/json":
		msg, err = jsonUpload(&a, body)
	default:
		err = refuse(http.StatusUnsupportedMediaType, "the body must be message/rfc822 or application/json")
	}
	return &a, msg, err
}

// rawUpload takes the envelope from the fields at the beginning of a message.
func rawUpload(a *Arrival, body io.Reader) (io.Reader, error) {
	head, err := io.ReadAll(io.LimitReader(body, maxHead))
	if err != nil {
		return nil, err
	}
	if len(head) == 0 {
		return nil, refuse(http.StatusBadRequest, "the message is empty")
	}
	m, err := mail.Parse(bytes.NewReader(head))
	if err != nil {
		return nil, err
	}
	a.Envelope = envelopeOf(m)
	return io.MultiReader(bytes.NewReader(head), body), nil
}

// jsonUpload composes a message.
func jsonUpload(a *Arrival, body io.Reader) (io.Reader, error) {
	j, err := mailjson.Read(body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		return nil, refuse(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "mailjson: "))
	}
	var out bytes.Buffer
	m, err := j.Compose()
	if err == nil {
		_, err = m.WriteTo(&out)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	a.Envelope = envelopeOf(m)
	if e := j.Envelope; e != nil && e.Sender != "" {
		a.Envelope.From = e.Sender
	}
	if e := j.Envelope; e != nil && len(e.Recipients) > 0 {
		a.Envelope.To = smtp.NewEnvelope("", e.Recipients...).To
	}
	return &out, nil
}

// envelopeOf takes an envelope from what a message says of itself, Bcc included.
func envelopeOf(m *mail.Message) smtp.Envelope {
	from := ""
	if len(m.From) > 0 {
		from = m.From[0].Address
	}
	return *smtp.NewEnvelope(from, m.Recipients()...)
}
