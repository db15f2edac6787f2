package inbox

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

// A part that is opened is closed, and of one that cannot be opened nothing has been
// answered yet when that is known.
func TestWritePart(t *testing.T) {
	content := &closing{Reader: strings.NewReader("PNG")}
	w := httptest.NewRecorder()
	if err := writePart(w, &mail.Part{Open: func() (io.ReadCloser, error) { return content, nil }}, "2", "inline", "image/png"); err != nil || content.closed != 1 {
		t.Errorf("error %v; closed %d times, want once", err, content.closed)
	}
	if got := w.Header().Get("Content-Disposition") + " " + w.Body.String(); got != "inline; filename=part-2.png PNG" {
		t.Errorf("the answer is %q", got)
	}
	gone := errors.New("gone")
	w = httptest.NewRecorder()
	if err := writePart(w, &mail.Part{Open: func() (io.ReadCloser, error) { return nil, gone }}, "2", "inline", "image/png"); !errors.Is(err, gone) || len(w.Header()) > 0 {
		t.Errorf("error %v, want %v; fields %v, want none", err, gone, w.Header())
	}
}
