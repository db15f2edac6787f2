package interop

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// Real clients, as their users call them. Each is given the samples in files and sends them to two recipients.

// client is a foreign client.
type client struct {
	name string
	peer peers.Peer
	// tls says how it does TLS: STARTTLS, implicit, or not at all.
	tls tlsKind
	// send delivers the messages in files; ca is the file of the certificate to believe, or empty for no TLS.
	send func(t *testing.T, addr, ca string, files []string)
	// edit is what the client wants done to a message before; nil: nothing.
	edit func([]byte) []byte
	// adds is what the client puts at the end of each message by itself.
	adds string
	// leaves are samples that the client cannot send, each with the reason.
	leaves map[string]string
}

type tlsKind int

const (
	noTLS tlsKind = iota
	startTLS
	implicitTLS
)

var clients = []client{
	// swaks ends the last line of its data, whether that has an end or not.
	{name: "swaks", peer: peers.Swaks, tls: startTLS, send: sendSwaks, edit: openEnd,
		leaves: map[string]string{
			"dot at the end": "swaks takes a last line of one dot for the end of the data",
			"empty":          "swaks adds a second empty line to a message without a body",
		}},
	{name: "curl", peer: peers.Curl, tls: startTLS, send: sendCurl},
	{name: "smtplib", peer: peers.Smtplib, tls: startTLS, send: script(peers.Smtplib, "send_smtplib.py")},
	// smtp-source has no TLS. It reads lines that end in LF, ends each in CRLF, and adds an empty one.
	{name: "smtp-source", peer: peers.SMTPSource, send: sendSMTPSource, edit: lineFeeds, adds: "\r\n"},
	// LuaSocket knows TLS from the first octet only, by LuaSec. It ends the last line as swaks does.
	{name: "LuaSocket", peer: peers.LuaSocket, tls: implicitTLS, send: script(peers.LuaSocket, "send_luasocket.lua"), edit: openEnd},
	{name: "Racket", peer: peers.Racket, tls: startTLS, send: script(peers.Racket, "send_racket.rkt")},
	{name: "Racket by SSL", peer: peers.Racket, tls: implicitTLS, send: sendRacketSSL},
	{name: "Nodemailer", peer: peers.Nodemailer, tls: startTLS, send: script(peers.Nodemailer, "send_nodemailer.js")},
	{name: "aiosmtplib", peer: peers.Aiosmtplib, tls: startTLS, send: script(peers.Aiosmtplib, "send_aiosmtplib.py")},
	// Net::SMTP takes lines that end in LF, as Perl's own do.
	{name: "Net-SMTP", peer: peers.NetSMTP, tls: startTLS, send: script(peers.NetSMTP, "send_netsmtp.pl"), edit: lineFeeds},
	// net/smtp makes line ends CRLF by itself, as Ruby's own are LF.
	{name: "Ruby", peer: peers.Ruby, tls: startTLS, send: script(peers.Ruby, "send_ruby.rb"), edit: lineFeeds},
	{name: "msmtp", peer: peers.Msmtp, tls: startTLS, send: sendMsmtp, edit: lineFeeds},
}

// deliver has c send all the samples that it can send to addr, and returns them as they must arrive.
func (c client) deliver(t *testing.T, addr, ca string) []sample {
	t.Helper()
	var list []sample
	for _, s := range samples() {
		if c.leaves[s.name] == "" {
			list = append(list, s)
		}
	}
	c.send(t, addr, ca, files(t, list, c.edit))
	for i := range list {
		list[i].raw = append(ended(list[i].raw), c.adds...)
	}
	return list
}

// TestClientsAlone has each client deliver to the recorder. It holds what this table says of the clients against what
// they do, so that a difference in the other tests is our server's.
func TestClientsAlone(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, c.peer)
			r := newRecorder(t)
			sent := c.deliver(t, r.addr, "")
			compare(t, r.messages(), sent)
		})
	}
}

// run runs cmd to its end; the test fails with its output if it does not succeed.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// sendRacketSSL gives Racket a connection that is TLS already.
func sendRacketSSL(t *testing.T, addr, ca string, files []string) {
	t.Helper()
	if ca != "" {
		ca = "tls:" + ca
	}
	script(peers.Racket, "send_racket.rkt")(t, addr, ca, files)
}

// script returns a send that runs a script of testdata, which takes all files at once: starting an interpreter takes
// longer than sending them.
func script(p peers.Peer, name string) func(*testing.T, string, string, []string) {
	return func(t *testing.T, addr, ca string, files []string) {
		t.Helper()
		if ca == "" {
			ca = "-"
		}
		args := append([]string{filepath.Join("testdata", name), addr, ca, sender, one + "," + two}, files...)
		run(t, peers.Command(t, p, args...))
	}
}

func sendSwaks(t *testing.T, addr, ca string, files []string) {
	t.Helper()
	for _, file := range files {
		args := []string{"--server", addr, "--from", sender, "--to", one + "," + two, "--data", "@" + file}
		if ca != "" {
			args = append(args, "-tls", "--tls-verify", "--tls-ca-path", ca)
		}
		run(t, peers.Command(t, peers.Swaks, args...))
	}
}

func sendCurl(t *testing.T, addr, ca string, files []string) {
	t.Helper()
	for _, file := range files {
		args := []string{"--silent", "--show-error", "--url", "smtp://" + addr + "/client.example.com",
			"--mail-from", sender, "--mail-rcpt", one, "--mail-rcpt", two, "--upload-file", file}
		if ca != "" {
			args = append(args, "--ssl-reqd", "--cacert", ca)
		}
		run(t, peers.Command(t, peers.Curl, args...))
	}
}

func sendSMTPSource(t *testing.T, addr, _ string, files []string) {
	t.Helper()
	for _, file := range files {
		// -r appends a number to the recipient's local part for each further recipient, so the names are its own.
		run(t, peers.Command(t, peers.SMTPSource, "-f", sender, "-t", one, "-F", file, addr))
	}
}

func sendMsmtp(t *testing.T, addr, ca string, files []string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		// An empty file of settings keeps the user's own away.
		args := []string{"--file=/dev/null", "--host=" + host, "--port=" + port, "--from=" + sender, "--tls=off"}
		if ca != "" {
			args = append(args[:4], "--tls=on", "--tls-starttls=on", "--tls-trust-file="+ca)
		}
		cmd := peers.Command(t, peers.Msmtp, append(args, "--", one, two)...)
		if cmd.Stdin, err = os.Open(file); err != nil {
			t.Fatal(err)
		}
		run(t, cmd)
	}
}

// openEnd takes the end from the last line.
func openEnd(raw []byte) []byte { return bytes.TrimSuffix(raw, []byte("\r\n")) }

func lineFeeds(raw []byte) []byte { return bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")) }
