package inbox

import (
	"fmt"
	"io"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// What a recipient's server said to RCPT is no reply to the message: of one whose fate is
// not known, or whose connection failed, the error is told.
func TestFates(t *testing.T) {
	ok := smtp.Reply{Code: 250, Enhanced: "2.1.5", Text: "recipient ok"}
	for _, c := range []struct {
		err  error
		want fate
	}{
		{nil, fate{Fate: "accepted", Code: 250, Enhanced: "2.1.5", Text: "recipient ok"}},
		{fmt.Errorf("%w: %w", smtp.ErrUnknown, io.ErrUnexpectedEOF), fate{Fate: "unknown", Text: smtp.ErrUnknown.Error() + ": unexpected EOF"}},
		{fmt.Errorf("%w: no route", smtp.ErrTemporary), fate{Fate: "deferred", Text: smtp.ErrTemporary.Error() + ": no route"}},
		{smtp.Errorf(450, "4.2.1", "busy"), fate{Fate: "deferred", Code: 450, Enhanced: "4.2.1", Text: "busy"}},
		{smtp.Errorf(550, "5.1.1", "nobody"), fate{Fate: "refused", Code: 550, Enhanced: "5.1.1", Text: "nobody"}},
		{io.ErrShortWrite, fate{Fate: "refused", Text: "short write"}},
	} {
		if got := fates([]smtp.Result{{Reply: ok, Err: c.err}}); got[0] != c.want {
			t.Errorf("%v: %+v, want %+v", c.err, got[0], c.want)
		}
	}
}
