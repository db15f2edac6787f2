package mailjson

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// What comes over HTTP is read or refused; what is read makes a message that is written or refused, and never one with
// fields that nobody gave.
func FuzzRead(f *testing.F) {
	for _, s := range []string{`{}`, `{"from":"a@b.c","to":["d@e.f"],"subject":"s","text":"t"}`, `{"headers":[["X","y\r\nZ: w"]]}`, `{"attachments":[{"name":"a","content":"YWJj","cid":"x"}]}`, `[`, `{"from":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := Read(bytes.NewReader(b))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "mailjson: ") {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		m, err := j.Compose()
		if err != nil {
			return
		}
		var out bytes.Buffer
		if _, err := m.WriteTo(&out); err != nil {
			return
		}
		back, err := mail.Parse(&out)
		if err != nil || back.Header.Len() > 16+len(j.Headers) {
			t.Errorf("%s: %v, %d fields", b, err, back.Header.Len())
		}
	})
}

// The JSON of any message is JSON, and is read again.
func FuzzNew(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("Subject: \xff\n\n\x00\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := mail.Parse(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		j, err := New(m, Options{Content: true})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(io.LimitReader(bytes.NewReader(b), maxJSON)); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	})
}
