//go:build linux

package interop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// TestEximExternal authenticates to Exim by EXTERNAL (RFC 4422, appendix A): a name in the certificate must be that of the
// user, and who shows none is not let in.
func TestEximExternal(t *testing.T) {
	peers.NeedRoot(t, "mail servers change their user")
	peers.Find(t, peers.Exim)
	id := newIdentity(t)
	own := readableBy(t, id, "nobody") // Exim reads the key as the user that it has become
	cert, key := own.certFile, own.keyFile
	addr := startExim(t, fmt.Sprintf(`tls_advertise_hosts = *
tls_certificate = %[1]s
tls_privatekey = %[2]s
tls_verify_certificates = %[1]s
tls_try_verify_hosts = *
acl_smtp_rcpt = who
begin acl
who:
  accept authenticated = *
  deny message = authenticate first
begin routers
none:
  driver = redirect
  data = :blackhole:
begin authenticators
certificate:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${certextract {subj_altname,dns}{$tls_in_peercert}}
  server_condition = ${if eq {$auth1}{$auth2}}
  server_set_id = $auth1
`, cert, key))
	message := files(t, samples()[:1], nil)[0]
	for _, c := range []struct {
		name string
		args []string
		want string // "" for success
	}{
		{"the certificate's name", []string{"--user", "localhost", "--auth", "EXTERNAL", "--cert-file", cert, "--key-file", key}, ""},
		{"another name", []string{"--user", "eve", "--auth", "EXTERNAL", "--cert-file", cert, "--key-file", key}, "535"},
		{"no certificate", []string{"--user", "localhost", "--auth", "EXTERNAL"}, "EXTERNAL"},
		{"nobody", nil, "550"},
	} {
		out, err := sendCommand(t, addr, &id, append(c.args, "--to", one, "--eml", message)...).CombinedOutput()
		if (err == nil) != (c.want == "") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: got %v, want %q:\n%s", c.name, err, c.want, out)
		}
	}
}
