package smtp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/internal/dialogue"
	"github.com/postrider/postrider/sasl"
)

// Every dialogue is played against our server, its S: lines against our client,
// and both again a byte at a time.

func TestDialogues(t *testing.T) {
	scripts, err := dialogue.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 60 {
		t.Fatalf("got %d dialogues, want at least 60", len(scripts))
	}
	cert := testCertificate(t)
	played := map[string]int{}
	for _, s := range scripts {
		for _, split := range []bool{false, true} {
			if split && s.Set["split"] == "no" {
				continue
			}
			how := map[bool]string{false: "whole", true: "split"}[split]
			for side, play := range map[string]func(*testing.T, *dialogue.Script, tls.Certificate, bool){
				"server": playServer, "client": playClient, "send": playSend,
			} {
				if s.Plays(side) {
					played[side]++
					t.Run(s.Name+"/"+side+"/"+how, func(t *testing.T) {
						t.Parallel()
						play(t, s, cert, split)
					})
				}
			}
		}
	}
	t.Logf("%d dialogues: %v", len(scripts), played)
}

// testHandler is what the dialogues' servers do with mail.
type testHandler struct {
	offers    []string
	mu        sync.Mutex
	delivered []string
}

func (h *testHandler) Offers() []string { return h.offers }

func (h *testHandler) Mail(_ context.Context, _ *Conn, from string, _ *MailOptions) (Transaction, error) {
	if from == "refused@example.com" {
		return nil, fmt.Errorf("wrapped: %w", Errorf(550, "5.7.1", "not you"))
	}
	return &testTransaction{h: h, from: from}, nil
}

type testTransaction struct {
	h    *testHandler
	from string
	full []error
	ok   int
}

func (x *testTransaction) Rcpt(_ context.Context, to string, _ *RcptOptions) error {
	switch local, _, _ := strings.Cut(to, "@"); local {
	case "nobody":
		return Errorf(550, "5.1.1", "no such user")
	case "later":
		return Errorf(450, "4.2.1", "not now")
	case "panic":
		panic("handler")
	case "fault":
		return errors.New("the database at 10.0.0.7 does not answer")
	case "full":
		x.full = append(x.full, &RcptError{to, Errorf(452, "4.2.2", "mailbox full")})
	default:
		x.ok++
	}
	return nil
}

func (x *testTransaction) Data(_ context.Context, r io.Reader) (string, error) {
	switch x.from {
	case "early@example.com":
		return "", Errorf(550, "5.7.1", "too early")
	case "careless@example.com":
		return "", nil
	case "panicdata@example.com":
		panic("handler")
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	if bytes.HasPrefix(b, []byte("X-Reject")) {
		return "", Errorf(554, "5.7.1", "no spam here")
	}
	if x.ok > 0 {
		x.h.mu.Lock()
		x.h.delivered = append(x.h.delivered, string(b))
		x.h.mu.Unlock()
	}
	return "Q1", errors.Join(x.full...)
}

// testServer is the server that a script wants.
func testServer(t *testing.T, s *dialogue.Script, cert tls.Certificate) (*Server, *testHandler, Policy) {
	h := new(testHandler)
	srv := &Server{Hostname: "mx.example.com", Handler: h, Logger: slog.New(slog.DiscardHandler)}
	number := func(feature string, set func(int)) {
		if v, ok := s.Has(feature); ok {
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatal(err)
			}
			set(n)
		}
	}
	number("size", func(n int) { srv.MaxSize = int64(n) })
	number("line", func(n int) { srv.MaxLine = n })
	number("rcpts", func(n int) { srv.MaxRecipients = n })
	number("hops", func(n int) { srv.MaxHops = n })
	number("errors", func(n int) { srv.MaxErrors = n })
	number("commands", func(n int) { srv.MaxCommands = n })
	number("auth-errors", func(n int) { srv.MaxAuthErrors = n })
	number("noops", func(n int) { srv.MaxNoops = n })
	if v, ok := s.Has("offers"); ok {
		h.offers = strings.Split(strings.ReplaceAll(v, "_", " "), ",")
	}
	if _, ok := s.Has("tls"); ok {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	_, auth := s.Has("auth")
	_, authInTLS := s.Has("auth-in-tls")
	if auth || authInTLS {
		srv.AllowInsecureAuth = auth
		srv.OnAuth = func(_ context.Context, _ *Conn, user, password string) error {
			switch {
			case user == "panic":
				panic("OnAuth")
			case user == "fault":
				return errors.New("the user list cannot be read")
			case user != "ann" || password != "secret":
				return Errorf(535, "5.7.8", "wrong user name or password")
			}
			return nil
		}
	}
	testQueries(s, srv)
	var p Policy
	_, p.LMTP = s.Has("lmtp")
	_, p.RequireTLS = s.Has("require-tls")
	_, p.RequireAuth = s.Has("require-auth")
	_, p.WildPaths = s.Has("wild")
	_, p.RefuseEarly = s.Has("early")
	if _, ok := s.Has("trusted"); ok {
		p.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	if _, ok := s.Has("normalize"); ok {
		p.Profile = Normalize
	}
	return srv, h, p
}

// testQueries sets what answers commands that are not about mail.
func testQueries(s *dialogue.Script, srv *Server) {
	if _, ok := s.Has("verify"); ok {
		srv.OnVerify = func(_ context.Context, _ *Conn, name string) (string, error) {
			switch name {
			case "ann":
				return "Ann <ann@example.com>", nil
			case "jörg":
				return "Jörg <jörg@example.com>", nil
			case "smith":
				return "", Errorf(553, "5.1.4", "ambiguous\n<ann.smith@example.com>\n<bob.smith@example.com>")
			case "nobody":
				return "", Errorf(550, "5.1.1", "no such user")
			case "fault":
				return "", errors.New("the user list cannot be read")
			case "panic":
				panic("OnVerify")
			}
			return "", nil
		}
	}
	if _, ok := s.Has("expand"); ok {
		srv.OnExpand = func(_ context.Context, _ *Conn, list string) ([]string, error) {
			switch list {
			case "staff":
				return []string{"Ann <ann@example.com>", "<bob@example.com>"}, nil
			case "empty":
				return nil, nil
			}
			return nil, Errorf(550, "5.1.1", "no such list")
		}
	}
	if _, ok := s.Has("command"); ok {
		srv.OnCommand = func(_ context.Context, _ *Conn, verb, arg string) error {
			switch {
			case verb == "BDAT":
				return Errorf(452, "4.3.1", "no chunks now")
			case arg == "no":
				return Errorf(450, "4.3.0", "no to %s", verb)
			}
			return nil
		}
	}
}

func playServer(t *testing.T, s *dialogue.Script, cert tls.Certificate, split bool) {
	srv, h, policy := testServer(t, s, cert)
	here, there := Connection(t)
	done := make(chan struct{})
	go func() { defer close(done); srv.ServeConn(there, policy) }()
	player := &dialogue.Player{Role: 'C', Conn: here, Split: split}
	if srv.TLSConfig != nil {
		player.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	if err := player.Play(s); err != nil {
		t.Error(err)
	}
	<-done
	if want, ok := s.Set["delivers"]; ok && strconv.Itoa(len(h.delivered)) != want {
		t.Errorf("delivered %d messages, want %s: %q", len(h.delivered), want, h.delivered)
	}
	for _, m := range h.delivered {
		if strings.HasPrefix(s.Name, "smuggle") && strings.Contains(m, "\r\n.\r\n") {
			t.Errorf("delivered %q, which holds an end of data", m)
		}
	}
}

func playClient(t *testing.T, s *dialogue.Script, cert tls.Certificate, split bool) {
	here, there := Connection(t)
	player := &dialogue.Player{Role: 'S', Conn: there, Split: split}
	dialer := &Dialer{}
	if _, ok := s.Has("tls"); ok {
		player.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	_, dialer.LMTP = s.Has("lmtp")
	done := make(chan error, 1)
	go func() { done <- player.Play(s) }()
	d := &driver{t: t, c: newClient(dialer, here, ""), steps: s.Steps, name: s.Name}
	d.drive()
	d.c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A driver makes a Client say what a script's C: lines say, verb by verb.
type driver struct {
	t     *testing.T
	c     *Client
	steps []dialogue.Step
	name  string
}

func (d *driver) drive() {
	ctx := d.t.Context()
	r, err := d.c.Greeting(ctx)
	d.check("greeting", r, err)
	if again, _ := d.c.Greeting(ctx); err == nil && again != r { // it is not read twice
		d.t.Errorf("the greeting, asked for again: got %v, want %v", again, r)
	}
	for len(d.steps) > 0 && !d.t.Failed() {
		step := d.steps[0]
		d.steps = d.steps[1:]
		if step.Who != 'C' || step.Text == dialogue.TLS {
			continue
		}
		r, err := d.say(ctx, step.Text)
		d.check(step.Text, r, err)
	}
}

// take returns the C: steps that follow.
func (d *driver) take() (texts []dialogue.Step) {
	for len(d.steps) > 0 && d.steps[0].Who == 'C' {
		texts = append(texts, d.steps[0])
		d.steps = d.steps[1:]
	}
	return texts
}

func (d *driver) say(ctx context.Context, line string) (Reply, error) {
	verb, arg, _ := strings.Cut(line, " ")
	all := func(string) bool { return true }
	switch verb {
	case "EHLO":
		if len(d.steps) > 1 && strings.HasPrefix(d.steps[1].Text, "HELO") {
			d.steps = d.steps[2:] // a Client says it by itself
		}
		return d.c.Hello(ctx, arg)
	case "MAIL":
		var o MailOptions
		from, rest, err := address.ParsePath(strings.TrimPrefix(arg, "FROM:"))
		if err == nil && parseParams(&o, rest, mailParams, all) == nil {
			return d.c.Mail(ctx, from, &o)
		}
	case "RCPT":
		var o RcptOptions
		to, rest, err := address.ParsePath(strings.TrimPrefix(arg, "TO:"))
		if err == nil && parseParams(&o, rest, rcptParams, all) == nil {
			return d.c.Rcpt(ctx, to, &o)
		}
	case "DATA":
		if arg == "" {
			return d.data(ctx)
		}
	case "BDAT":
		size, last, ok := parseBdat(arg)
		var chunk strings.Builder
		for _, s := range d.take() {
			chunk.WriteString(s.Text)
		}
		if ok && int(size) == len(chunk.String()) {
			return d.c.Bdat(ctx, []byte(chunk.String()), last)
		}
		d.t.Fatalf("%s: a chunk of %d octets after %q", d.name, len(chunk.String()), line)
	case "STARTTLS":
		if arg == "" {
			return d.c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true})
		}
	case "AUTH":
		if arg == "PLAIN AGFubgBzZWNyZXQ=" && d.c.has("AUTH") {
			return d.c.Auth(ctx, sasl.Password("ann", "secret"))
		}
	case "RSET":
		if arg == "" {
			return d.c.Reset(ctx)
		}
	case "VRFY":
		return d.c.Verify(ctx, strings.TrimSuffix(arg, " SMTPUTF8"))
	case "EXPN":
		return d.c.Expand(ctx, strings.TrimSuffix(arg, " SMTPUTF8"))
	case "HELP":
		return d.c.Help(ctx, arg)
	case "QUIT":
		if arg == "" {
			return d.c.Quit(ctx)
		}
	}
	return d.c.Command(ctx, line)
}

// data says DATA and, when it may, the message.
func (d *driver) data(ctx context.Context) (Reply, error) {
	w, err := d.c.Data(ctx)
	if err != nil {
		r := Reply{}
		if e := findError(err); e != nil {
			r = Reply{e.Code, e.Enhanced, e.Text}
		}
		return r, err
	}
	d.steps = d.steps[1:] // the 354
	for _, s := range d.take() {
		if s.Text == "." {
			break
		}
		io.WriteString(w, strings.TrimPrefix(s.Text, ".")+"\r\n")
	}
	err = w.Close()
	if len(w.Replies()) == 0 {
		return Reply{}, err
	}
	return w.Replies()[0], err
}

// check compares what the Client returned with the S: and E: lines that follow.
func (d *driver) check(what string, r Reply, err error) {
	var want string
	for len(d.steps) > 0 && d.steps[0].Who != 'C' {
		step := d.steps[0]
		d.steps = d.steps[1:]
		switch {
		case step.Who == 'E':
			if err == nil || !strings.Contains(err.Error(), step.Text) {
				d.t.Errorf("%s: %s: got error %v, want one with %q", d.name, what, err, step.Text)
			}
			return
		case step.Text != dialogue.Close && step.Text != dialogue.Any:
			want = step.Text
		}
	}
	if len(want) < 3 {
		return
	}
	if strconv.Itoa(r.Code) != want[:3] {
		d.t.Errorf("%s: %s: got %v (%v), want %q", d.name, what, r, err, want)
	}
	refused := want[0] == '4' || want[0] == '5'
	if (findError(err) != nil) != refused {
		d.t.Errorf("%s: %s: got error %v for %q", d.name, what, err, want)
	}
}

// playSend makes Send say a whole transaction; R: lines tell what must come of it.
func playSend(t *testing.T, s *dialogue.Script, _ tls.Certificate, split bool) {
	here, there := Connection(t)
	player := &dialogue.Player{Role: 'S', Conn: there, Split: split}
	done := make(chan error, 1)
	go func() { done <- player.Play(s) }()
	dialer := &Dialer{Hostname: "client.example.org", TLS: TLSNone}
	_, dialer.LMTP = s.Has("lmtp")
	c, err := dialer.Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	env := &Envelope{From: "ann@example.com"}
	var fates []string
	for _, step := range s.Steps {
		if step.Who == 'R' {
			addr, fate := splitFate(step.Text)
			env.To = append(env.To, Recipient{Address: addr})
			fates = append(fates, fate)
		}
	}
	results, err := c.Send(t.Context(), env, strings.NewReader(sentMessage(s.Steps)))
	if len(results) != len(env.To) {
		t.Fatalf("got %d results, want %d", len(results), len(env.To))
	}
	for i, r := range results {
		got := "accepted " + r.ID
		for class, name := range map[error]string{ErrTemporary: "temporary", ErrPermanent: "permanent", ErrUnknown: "unknown"} {
			if errors.Is(r.Err, class) {
				got = name
			}
		}
		if strings.TrimSpace(got) != fates[i] || r.Rcpt != env.To[i].Address {
			t.Errorf("%s: got %s (%v), want %s", r.Rcpt, got, r.Err, fates[i])
		}
	}
	var all *SendError
	if good := !strings.Contains(strings.Join(fates, " "), "t ") && err == nil; !good && !errors.As(err, &all) {
		t.Errorf("got error %v, want a SendError", err)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// splitFate parts "address fate", where the address may hold anything.
func splitFate(s string) (addr, fate string) {
	for _, word := range []string{" accepted", " temporary", " permanent", " unknown"} {
		if i := strings.LastIndex(s, word); i >= 0 {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// sentMessage is the message that a script's client sends.
func sentMessage(steps []dialogue.Step) string {
	var b strings.Builder
	in, chunk := false, false
	for _, s := range steps {
		switch {
		case s.Who != 'C' && !strings.HasPrefix(s.Text, "354"):
			in = in && !chunk
		case s.Who == 'S', s.Who == 'C' && strings.HasPrefix(s.Text, "BDAT"):
			in, chunk = true, s.Who == 'C'
		case in && s.Text == "." && !chunk:
			return b.String()
		case in && chunk:
			b.WriteString(s.Text + "\r\n")
		case in:
			b.WriteString(strings.TrimPrefix(s.Text, ".") + "\r\n")
		}
	}
	if b.Len() == 0 {
		return "Subject: x\r\n"
	}
	return b.String()
}

// Connection is a real connection on loopback, both ends.
func Connection(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.com", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
