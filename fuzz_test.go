package postrider_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/smtp"
)

// Whatever the configuration, it is read or refused in one line.
func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{"port = 2525\nlocal = true\n", "[x]\ny=z", "port=1\ntls_port=2\ntls_crt=a\ntls_key=b", "a\\\nb", "port = \"\"\"x\ny\"\"\"", "local=no"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := postrider.ParseConfig(strings.NewReader(s))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "postrider: ") {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if c.Addr == "" || (c.CertFile == "") != (c.KeyFile == "") {
			t.Errorf("%q is read as %+v", s, c)
		}
	})
}

// No error repeats a password, wherever it stands.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{"smtp://ann:%s@host", "smtps://%s:x@host:1", "%s://host", "smtp://host/%s", "smtp://ann:%s@", "smtp://host?tls=none", "lmtp://host#%s", "smtp://[%s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, form string) {
		const secret = "geheim-7f3a"
		if strings.Contains(form, "?") {
			return // a parameter is no place for a password; its name and value are told
		}
		url := strings.Replace(form, "%s", secret, 1)
		s, err := postrider.Open(url)
		if err == nil {
			if tr := s.(*smtp.Transport); tr.Addr == "" || tr.Dialer == nil {
				t.Errorf("%q is opened as %+v", url, tr)
			}
			return
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the error tells it: %v", url, err)
		}
	})
}
