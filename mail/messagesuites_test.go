package mail_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/mail/dsn"
)

// The suites of whole messages, with what other parsers agree that they hold, and of reports.

// messageSuites are two for each corpus: what the messages consist of, and what their fields say.
func messageSuites() []suite {
	var out []suite
	for _, c := range []struct {
		name, dir string
		reasons   []reason
	}{
		{"SpamAssassin", "realmail/spamassassin/messages", []reason{
			{"raw 8-bit text in fields is read in the charset of the message's text, not as Windows-1252", []string{"nice/cjk/"}},
			{"of two From fields the first one counts", []string{"spam/008"}},
		}},
		{"CPython", "mime/cpython-test_email/messages", []reason{
			{"a message/external-body is one part: what is in it is elsewhere", []string{"msg_36.txt"}},
		}},
		{"enmime", "mime/enmime/messages", nil},
		{"MimeKit", "mime/mimekit/messages", nil},
		{"mime4j", "mime/mime4j-testmsgs/messages", nil},
	} {
		out = append(out, suite{c.name + ": messages", "parts, their types, names and decoded content", messageSuite(c.dir, structure), keep(c.reasons, "msg_36")},
			suite{c.name + ": fields", "addresses, subject, date, identifier", messageSuite(c.dir, fields), keep(c.reasons, "nice/cjk/", "spam/008")})
	}
	return out
}

// keep gives the reasons for some cases alone.
func keep(list []reason, cases ...string) []reason {
	var out []reason
	for _, r := range list {
		if slices.ContainsFunc(cases, func(c string) bool { return strings.HasPrefix(r.cases[0], c) }) {
			out = append(out, r)
		}
	}
	return out
}

// A reference is what the other parsers found in a message.
type reference struct {
	File      string                     `json:"file"`
	Headers   map[string]json.RawMessage `json:"headers"`
	Graded    []string                   `json:"graded_headers"`
	Structure bool                       `json:"graded_structure"`
	Leaves    []referenceLeaf            `json:"leaves"`
}

type referenceLeaf struct {
	Filename *string `json:"filename"`
	Len      int     `json:"len"`
	SHA      string  `json:"sha"`
	Type     string  `json:"type"`
}

// messageSuite compares the messages of a folder with their references.
func messageSuite(folder string, compare func(t *testing.T, s *scores, m *mail.Message, ref reference)) func(t *testing.T, dir string, s *scores) {
	return func(t *testing.T, dir string, s *scores) {
		var refs []reference
		readJSON(t, filepath.Join(dir, folder, "reference.json"), &refs)
		for _, ref := range refs {
			compare(t, s, parsed(t, string(readFile(t, dir, folder, ref.File))), ref)
		}
	}
}

// structure compares the parts of a message, if the references agree about them.
func structure(t *testing.T, s *scores, m *mail.Message, ref reference) {
	if !ref.Structure {
		return
	}
	got := leaves(t, m.Body)
	if len(got) != len(ref.Leaves) {
		s.check(ref.File, fmt.Sprintf("%d leaves, want %d", len(got), len(ref.Leaves)))
		return
	}
	how := ""
	for i := range got {
		if how == "" {
			how = differs(t, got[i], ref.Leaves[i])
		}
	}
	s.check(ref.File, how)
}

// leaves gives the leaves below a part, those of messages in it among them, which is how the references count.
func leaves(t *testing.T, p *mail.Part) []*mail.Part {
	var out []*mail.Part
	for _, one := range p.Walk() {
		switch {
		case one.IsMultipart():
		case one.Type() == "message/rfc822" && one.RawSize() > 0 && one.Encoding() == "7bit":
			out = append(out, leaves(t, parsed(t, contentOf(t, one)).Body)...)
		default:
			out = append(out, one)
		}
	}
	return out
}

// contentOf reads a part.
func contentOf(t *testing.T, p *mail.Part) string {
	t.Helper()
	rc, err := p.Reader()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// differs compares a leaf's type, file name and decoded content.
func differs(t *testing.T, p *mail.Part, want referenceLeaf) string {
	if p.Type() != want.Type {
		return fmt.Sprintf("type %s, want %s", p.Type(), want.Type)
	}
	if want.Filename != nil && p.Name() != *want.Filename {
		return fmt.Sprintf("name %q, want %q", p.Name(), *want.Filename)
	}
	hash := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	// The references count line ends as LF, and not those at the end.
	b := []byte(contentOf(t, p))
	plain := bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	if hash(b) != want.SHA && hash(plain) != want.SHA && hash(bytes.TrimRight(plain, "\n")) != want.SHA {
		return fmt.Sprintf("%s of %d octets, want %d, that differ", p.Type(), len(b), want.Len)
	}
	return ""
}

// fields compares the fields that the references agree about.
func fields(t *testing.T, s *scores, m *mail.Message, ref reference) {
	text := func(v string, ok bool) *string { // nil where there is none, as in the references
		if !ok {
			return nil
		}
		v = strings.Join(strings.Fields(v), " ")
		return &v
	}
	for _, name := range ref.Graded {
		what := ref.File + " " + name
		if list, ok := map[string][]mail.Address{"from": m.From, "to": m.To, "cc": m.Cc, "reply-to": m.ReplyTo}[name]; ok {
			var want []mail.Address
			var pairs [][2]string
			if err := json.Unmarshal(ref.Headers[name], &pairs); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for _, p := range pairs {
				want = append(want, mail.Address{Name: p[0], Address: p[1]})
			}
			s.equal(what, list, want)
			continue
		}
		var got, want *string
		switch name {
		case "subject":
			got = text(m.Subject, m.Header.Has("Subject"))
		case "message-id":
			got = text(m.Header.Value("Message-ID"), m.Header.Has("Message-ID"))
		case "date":
			got = text(m.Date.UTC().Format(time.RFC3339), !m.Date.IsZero())
		}
		if err := json.Unmarshal(ref.Headers[name], &want); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if want != nil {
			want = text(*want, true)
		}
		show := func(p *string) string {
			if p == nil {
				return "nothing"
			}
			return *p
		}
		s.equal(what, show(got), show(want))
	}
}

// decodedSuite compares parts with files that hold what they decode to. Their names end in the part's place: 1 is the message,
// 1_2 its second part, and a message in a part is one level more.
func decodedSuite(t *testing.T, dir string, s *scores) {
	files, err := filepath.Glob(filepath.Join(dir, "mime", "mime4j-testmsgs", "messages", "*_decoded_1*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		message, place, _ := strings.Cut(name, "_decoded_1")
		m := parsed(t, string(readFile(t, message+".msg")))
		place, _, _ = strings.Cut(place, ".")
		p := at(t, m.Body, strings.Split(strings.Trim(place, "_"), "_"))
		if p == nil {
			s.check(filepath.Base(name), "there is no such part")
			continue
		}
		// Line ends are told from each other by other suites.
		plain := func(v string) string { return strings.TrimRight(strings.ReplaceAll(v, "\r\n", "\n"), "\n") }
		how := ""
		if got, want := plain(contentOf(t, p)), plain(string(readFile(t, name))); got != want {
			how = fmt.Sprintf("got %d octets, want %d: %.60q, %.60q", len(got), len(want), got, want)
		}
		s.check(filepath.Base(name), how)
	}
}

// at goes to a place below a part.
func at(t *testing.T, p *mail.Part, place []string) *mail.Part {
	if len(place) == 0 || place[0] == "" {
		return p
	}
	if p.Type() == "message/rfc822" {
		return at(t, parsed(t, contentOf(t, p)).Body, place[1:])
	}
	n, err := strconv.Atoi(place[0])
	if err != nil || n < 1 || n > len(p.Parts) {
		return nil
	}
	return at(t, p.Parts[n-1], place[1:])
}

func partialSuite(t *testing.T, dir string, s *scores) {
	dir = filepath.Join(dir, "mime", "mimekit", "partial")
	for _, one := range []struct {
		name string
		n    int
	}{{"rfc2046", 2}, {"message-partial", 3}} {
		var pieces []*mail.Message
		for i := range one.n {
			pieces = append(pieces, parsed(t, string(readFile(t, dir, fmt.Sprintf("%s.%d.eml", one.name, i)))))
		}
		slices.Reverse(pieces)
		got, err := mail.JoinPartial(pieces...)
		if err != nil {
			s.check(one.name, err.Error())
			continue
		}
		want := parsed(t, string(readFile(t, dir, one.name+".eml")))
		tell := func(m *mail.Message) []any { return []any{m.From, m.Subject, m.ID, m.Text, len(m.Attachments)} }
		s.equal(one.name, tell(got), tell(want))
	}
}

// reportSuites are those of bounces and complaints.
var reportSuites = []suite{
	{"set-of-emails: reports", "the fields of each recipient (RFC 3464)", reportSuite, []reason{
		{"a report in a message in another message: somebody has forwarded it, and it is not about that message", []string{"lhost-x5-01"}},
		{"the report has more than was expected of it: recipients, or what follows a broken line", moreThanExpected},
	}},
	{"set-of-emails: other bounces", "status of each recipient, out of text for people", bounceSuite, []reason{
		{"the text names no recipient in a way that could not mean something else: nothing is guessed", []string{"no report"}},
		{"the status that others derive from words is not guessed, or is another in the text", []string{"got ["}},
	}},
	{"enmime: reports", "that each has recipients, actions and statuses", enmimeReports, nil},
	{"mail-auth: feedback", "the fields of a complaint (RFC 5965)", feedbackSuite, nil},
}

// moreThanExpected are bounces that are not graded, for other parsers disagree about them.
var moreThanExpected = []string{"got ["}

// expected is what other programs read in a bounce that somebody got.
type expected struct {
	File   string
	Fields *struct {
		MTA        string `json:"reporting_mta"`
		ENVID      string `json:"original_envelope_id"`
		Recipients []struct {
			Original   string `json:"original_recipient"`
			Final      string `json:"final_recipient"`
			Action     string
			Status     string
			Remote     string `json:"remote_mta"`
			Diagnostic string `json:"diagnostic_code"`
		}
	} `json:"rfc3464"`
	Bounce []struct{ Status string } `json:"bounce_expectation"`
	Graded bool
}

// bounces walks over the bounces that have such fields, or have not.
func bounces(t *testing.T, dir string, withFields bool, do func(c expected, r *dsn.Report, err error)) {
	dir = filepath.Join(dir, "dsn", "sisimai")
	var table struct{ Cases []expected }
	readJSON(t, filepath.Join(dir, "cases.json"), &table)
	for _, c := range table.Cases {
		if (c.Fields != nil) != withFields {
			continue
		}
		r, err := dsn.Parse(parsed(t, string(readFile(t, dir, c.File))))
		if err != nil && !errors.Is(err, dsn.ErrNoReport) {
			t.Fatalf("%s: %v", c.File, err)
		}
		do(c, r, err)
	}
}

// valueOf gives the text of a field without its type, as reports are read.
func valueOf(s string) string {
	if _, after, ok := strings.Cut(s, ";"); ok {
		s = after
	}
	return bare(strings.Join(strings.Fields(s), " "))
}

// bare drops angle brackets around s, and controls.
func bare(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if inner, ok := strings.CutPrefix(strings.TrimSpace(s), "<"); ok {
		inner, _, _ = strings.Cut(inner, ">")
		return inner
	}
	return strings.TrimSpace(s)
}

func reportSuite(t *testing.T, dir string, s *scores) {
	bounces(t, dir, true, func(c expected, r *dsn.Report, err error) {
		if err != nil {
			s.check(c.File, err.Error())
			return
		}
		got, want := []string{}, []string{}
		add := func(g, w string) { got, want = append(got, g), append(want, w) }
		if c.Fields.MTA != "" {
			add(r.ReportingMTA.Text, valueOf(c.Fields.MTA))
		}
		if c.Fields.ENVID != "" {
			add(r.EnvelopeID, c.Fields.ENVID)
		}
		add(fmt.Sprint(len(r.Recipients)), fmt.Sprint(len(c.Fields.Recipients)))
		for i, w := range c.Fields.Recipients[:min(len(r.Recipients), len(c.Fields.Recipients))] {
			g := r.Recipients[i]
			status, _, _ := strings.Cut(w.Status, " ")
			add(g.Final.Text, valueOf(w.Final))
			if w.Original != "" {
				add(g.Original.Text, valueOf(w.Original))
			}
			add(string(g.Action), strings.ToLower(w.Action))
			add(g.Status, status)
			add(bare(g.RemoteMTA.Text), valueOf(w.Remote))
			add(bare(g.Diagnostic.Text), valueOf(w.Diagnostic))
		}
		s.equal(c.File, got, want)
		if c.Graded && !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q, which all agree about", c.File, got, want)
		}
	})
}

func bounceSuite(t *testing.T, dir string, s *scores) {
	bounces(t, dir, false, func(c expected, r *dsn.Report, err error) {
		if err != nil {
			s.check(c.File, "no report")
			return
		}
		var got, want []string
		for i := range r.Recipients {
			got = append(got, r.Recipients[i].Status)
		}
		for _, one := range c.Bounce {
			want = append(want, one.Status)
		}
		s.equal(c.File, got, want)
	})
}

func enmimeReports(t *testing.T, dir string, s *scores) {
	files, err := filepath.Glob(filepath.Join(dir, "dsn", "enmime", "*.raw"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		r, err := dsn.Parse(parsed(t, string(readFile(t, name))))
		how := ""
		if err != nil || len(r.Recipients) == 0 || r.Recipients[0].Action == "" || r.Recipients[0].Status == "" {
			how = fmt.Sprintf("got %+v, %v", r, err)
		}
		s.check(filepath.Base(name), how)
	}
}

func feedbackSuite(t *testing.T, dir string, s *scores) {
	files, err := filepath.Glob(filepath.Join(dir, "reports", "arf", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	words := func(list []string) string { return strings.Join(strings.Fields(strings.Join(list, " ")), " ") }
	for _, name := range files {
		var want struct {
			Type     string   `json:"feedback_type"`
			Arrival  int64    `json:"arrival_date"`
			Results  []string `json:"authentication_results"`
			N        int      `json:"incidents"`
			ENVID    string   `json:"original_envelope_id"`
			From     string   `json:"original_mail_from"`
			To       string   `json:"original_rcpt_to"`
			Domains  []string `json:"reported_domain"`
			URIs     []string `json:"reported_uri"`
			IP       string   `json:"source_ip"`
			Agent    string   `json:"user_agent"`
			Failure  string   `json:"auth_failure"`
			Selector string   `json:"dkim_selector"`
		}
		readJSON(t, strings.TrimSuffix(name, ".eml")+".json", &want)
		f, err := dsn.ParseFeedback(parsed(t, string(readFile(t, name))))
		if err != nil {
			s.check(filepath.Base(name), err.Error())
			continue
		}
		ip, arrival := "", int64(0)
		if f.SourceIP.IsValid() {
			ip = f.SourceIP.String()
		}
		if !f.Arrival.IsZero() {
			arrival = f.Arrival.Unix()
		}
		s.equal(filepath.Base(name),
			[]any{strings.ReplaceAll(f.Type, "-", ""), arrival, words(f.Results), f.Incidents, f.EnvelopeID, f.From, words(f.Recipients), words(f.Domains), words(f.URIs), ip, f.UserAgent, f.Failure, f.Header.Value("DKIM-Selector"), true},
			[]any{strings.ToLower(want.Type), want.Arrival, words(want.Results), want.N, want.ENVID, bare(want.From), bare(want.To), words(want.Domains), words(want.URIs), want.IP, want.Agent, strings.Replace(strings.ToLower(want.Failure), "unspecified", "", 1), want.Selector, f.Original.Len() > 0})
	}
}
