package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// What a message is read as: fields, texts, parts, defects, limits.

func parse(t *testing.T, lines ...string) *Message {
	t.Helper()
	raw := strings.Join(lines, "\r\n")
	return parseBoth(t, raw, []byte(raw))
}

func TestParseFields(t *testing.T) {
	m := parse(t, "From: Ann <a@b>", "Sender: s@t", "Reply-To: r@s", "To: b@c, d@e", "Cc: f@g", "Bcc: h@i", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Date: Tue, 1 Jul 2003 10:52:37 +0200",
		"Message-ID: <1@b>", "In-Reply-To: <0@b> (x)", "References: <a@b>", " <c@d><e@f>", "X-Own: =?utf-8?q?=C3=A4?= x", "", "text")
	if fmt.Sprint(m.From, m.Sender, m.ReplyTo, m.To, m.Cc, m.Bcc) != "[Ann <a@b>] s@t [r@s] [b@c d@e] [f@g] [h@i]" {
		t.Errorf("addresses: got %v %v %v %v %v %v", m.From, m.Sender, m.ReplyTo, m.To, m.Cc, m.Bcc)
	}
	if m.Subject != "Grüße" || m.ID != "1@b" || !slices.Equal(m.InReplyTo, []string{"0@b"}) || !slices.Equal(m.References, []string{"a@b", "c@d", "e@f"}) || m.Text != "text" {
		t.Errorf("got %q %q %q %q %q", m.Subject, m.ID, m.InReplyTo, m.References, m.Text)
	}
	if want := time.Date(2003, 7, 1, 8, 52, 37, 0, time.UTC); !m.Date.Equal(want) {
		t.Errorf("date: got %v", m.Date)
	}
	if v := m.Header.Value("x-own"); v != "=?utf-8?q?=C3=A4?= x" || m.Header.Text("X-OWN") != "ä x" {
		t.Errorf("X-Own: got %q and %q", v, m.Header.Text("X-Own"))
	}
	if len(m.Defects) > 0 {
		t.Errorf("defects: %v", m.Defects)
	}
}

func TestEncodedWords(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"}, {"=?utf-8?q?a_b?=", "a b"}, {"=?UTF-8?B?w6Q=?=", "ä"}, {"=?utf-8?b?w6Q?=", "ä"}, {"=?iso-8859-1?q?=E4?=", "ä"}, {"=?iso-8859-1*de?q?=E4?=", "ä"},
		{"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"}, {"=?utf-8?q?a?=  \t =?utf-8?q?b?= c", "ab c"}, {"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"}, {"x =?utf-8?q?a?= y", "x a y"}, {"x=?utf-8?q?a?=y", "xay"},
		{"=?utf-8?q?a", "=?utf-8?q?a"}, {"=?utf-8?x?a?=", "=?utf-8?x?a?="}, {"=??q?a?=", "=??q?a?="}, {"=?utf-8?q??=", ""}, {"=?utf-8?q?a b?=", "a b"}, {"=?nope?q?=E4?=", "ä"},
		{"=?utf-8?q?broken =?utf-8?q?ok?=", "=?utf-8?q?broken ok"}, {"=?utf-8?q?=0D=0ABcc:_x?=", " Bcc: x"}, {"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"}, {"=?gb2312?b?1tDOxA==?=", "中文"},
		{"=?utf-7?q?+AOQ-?=", "ä"}, {"=?koi8-r?b?0NLJ18XU?=", "привет"}, {"=?utf-8?q?=zz=?=", "=zz="}, {"=?utf-8?b?####?=", ""}, {"a ? b =? c", "a ? b =? c"},
	} {
		if got := ParseHeader("X: " + c.in).Text("X"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCharsets(t *testing.T) {
	for _, c := range []struct{ label, in, want string }{
		{"utf-8", "\xc3\xa4", "ä"}, {"iso-8859-1", "\xe4", "ä"}, {"windows-1252", "\x80", "€"}, {"latin1", "\xe4", "ä"}, {"cp1251", "\xef", "п"}, {"cp-1251", "\xef", "п"},
		{"x-windows-1251", "\xef", "п"}, {"koi8-r", "\xd0", "п"}, {"big5", "\xa4\xa4", "中"}, {"shift_jis", "\x93\xfa", "日"}, {"euc-kr", "\xc7\xd1", "한"}, {"gb18030", "\xd6\xd0", "中"},
		{"iso-2022-jp", "\x1b$BF|\x1b(B", "日"}, {"utf-16be", "\x00a", "a"}, {"ibm850", "\x84", "ä"}, {"utf-7", "+AOQ- a+-b", "ä a+b"}, {"", "\xe4", "ä"}, {"us-ascii", "\xc3\xa4", "ä"}, {"unknown", "a\xe4", "aä"},
		{"utf-8", "a\xff", "a\ufffd"}, {"iso-8859-15", "\xa4", "€"}, {"macintosh", "\x8a", "ä"},
		{"iso-2022-kr", "\x1b$)C\x0eGQ19>n\x0f abc\n\x0e5Q\x0f", "한국어 abc\n둘"}, {"iso-2022-kr", "\x0eGQ\x0f a", "\ufffd a"},
		{"ISO-2022-JP-2", "\x1b$BF|K\\\x1b.A\x1bNi\x1b(B \x1b.F\x1bNa\x1b(B \x1b$(CGQ\x1b(B \x1b$AVP\x1b(B.", "日本é α 한 中."},
		{"iso-2022-jp-1", "\x1b$(D0!\x1b(B x\x1b(I12\x1b(J.", "丂 xｱｲ."}, {"iso-2022-cn", "\x1b$)A\x0eVPND\x0f.\n\x1b$*H\x1bN!!", "中文.\n乂"},
		{"iso-2022-jp-3", "\x1b$(OF|\x1b\x1b(Ba\x80\x1b$", "日a\ufffd"}, {"hz-gb-2312", "~{VPND~}", "中文"}, {"utf-32be", "\x00\x00\x00x\x00\x00\x4e\x2d", "x中"},
		{"cp932", "\x93\xfa", "日"}, {"unknown-8bit", "\xc3\xa4", "ä"}, {"iso-8859-8-i", "\xe0", "א"}, {"windows-874", "\xa1", "ก"}, {"x-mac-cyrillic", "\x80", "А"},
	} {
		m := parse(t, "Content-Type: text/plain; charset="+c.label, "", c.in)
		if m.Text != c.want {
			t.Errorf("%s %q: got %q, want %q", c.label, c.in, m.Text, c.want)
		}
	}
	own := Parser{Charset: func(label string) encoding.Encoding {
		if label == "x-own" {
			return charmap.ISO8859_5
		}
		return nil
	}}
	m, _ := own.Parse(strings.NewReader("Content-Type: text/plain; charset=x-own\n\n\xd0"))
	if m.Text != "а" || len(m.Defects) > 0 {
		t.Errorf("a charset of the Parser's: got %q, %v", m.Text, m.Defects)
	}
}

// The labels of the WHATWG's Encoding Standard, all of them.
const labelsOfWHATWG = `
unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8 866 cp866 csibm866 ibm866 csisolatin2 iso-8859-2 iso-ir-101 iso8859-2
iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2 csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3 csisolatin4
iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4 csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595
iso_8859-5 iso_8859-5:1988 arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6
iso88596 iso_8859-6 iso_8859-6:1987 csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7 iso_8859-7:1987
sun_eu_greek csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 visual csiso88598i
iso-8859-8-i logical csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6 iso-8859-13 iso8859-13 iso885913 iso-8859-14 iso8859-14
iso885914 csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9 iso-8859-16 cskoi8r koi koi8 koi8-r koi8_r koi8-ru koi8-u csmacintosh mac
macintosh x-mac-roman dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874 cp1250 windows-1250 x-cp1250 cp1251 windows-1251 x-cp1251
ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii
windows-1252 x-cp1252 cp1253 windows-1253 x-cp1253 cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5
windows-1254 x-cp1254 cp1255 windows-1255 x-cp1255 cp1256 windows-1256 x-cp1256 cp1257 windows-1257 x-cp1257 cp1258 windows-1258 x-cp1258
x-mac-cyrillic x-mac-ukrainian chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030 big5 big5-hkscs cn-big5 csbig5
x-x-big5 cseucpkdfmtjapanese euc-jp x-euc-jp csiso2022jp iso-2022-jp csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis cseuckr
csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949 csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext
iso-2022-kr replacement unicodefffe utf-16be csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le x-user-defined
`

func TestLabels(t *testing.T) {
	for label := range strings.FieldsSeq(labelsOfWHATWG) {
		if label == "replacement" {
			continue // it stands for what nobody should read
		}
		in := "a"
		if strings.HasPrefix(label, "utf-16be") || strings.HasPrefix(label, "unicodefffe") {
			in = "\x00a"
		} else if wide := []string{"utf-16", "ucs-2", "unicode", "csunicode", "iso-10646-ucs-2", "utf-16le", "unicodefeff"}; slices.Contains(wide, label) {
			in = "a\x00"
		}
		for _, spelt := range []string{label, strings.ToUpper(label)} {
			if got, ok := new(Parser).convert(spelt, []byte(in)); got != "a" || !ok {
				t.Errorf("%s: got %q, known %v", spelt, got, ok)
			}
		}
	}
	// Of the IANA's names, those of charsets that were ever used in mail.
	for label := range strings.FieldsSeq("US-ASCII ISO-8859-1 ISO-8859-9 ISO_8859-15 ISO-8859-16 KOI8-U windows-1257 IBM437 IBM850 IBM852 IBM855 IBM858 IBM862 IBM865 IBM866 macintosh TIS-620 GBK GB2312 GB18030 Big5 Big5-HKSCS EUC-JP EUC-KR Shift_JIS Windows-31J ISO-2022-JP ISO-2022-JP-2 ISO-2022-KR ISO-2022-CN ISO-2022-CN-EXT HZ-GB-2312 UTF-8 UTF-7 csISO2022KR") {
		if got, ok := new(Parser).convert(label, []byte("a")); got != "a" || !ok {
			t.Errorf("%s: got %q, known %v", label, got, ok)
		}
	}
}

func TestDecoderOfOwn(t *testing.T) {
	p := Parser{Decoder: func(name string) transform.Transformer {
		if name == "x-rot" {
			return rot{}
		}
		return nil
	}}
	m, err := p.Parse(strings.NewReader("Content-Transfer-Encoding: x-rot\n\nb"))
	if err != nil || m.Text != "c" || len(m.Defects) > 0 {
		t.Errorf("got %q, %v, %v", m.Text, m.Defects, err)
	}
}

// A rot adds one to each octet.
type rot struct{ transform.NopResetter }

func (rot) Transform(dst, src []byte, _ bool) (int, int, error) {
	n := copy(dst, src)
	for i := range n {
		dst[i]++
	}
	if n < len(src) {
		return n, n, transform.ErrShortDst
	}
	return n, n, nil
}

func TestParameters(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a.txt", "a.txt"}, {`"a b.txt"`, "a b.txt"}, {`"a\"b"`, `a"b`}, {"a b.txt", "a b.txt"}, {"a b.txt; x=y", "a b.txt"}, {`"=?utf-8?q?=C3=A4?="`, "ä"}, {"=?utf-8?q?=C3=A4?=", "ä"},
		{`"C:\dir\a.txt"`, `C:\dir\a.txt`}, {`"unclosed`, "unclosed"}, {"", ""}, {"a.txt (comment)", "a.txt"}, {"\xe4.txt", "ä.txt"},
	} {
		m := parse(t, "Content-Disposition: attachment; filename="+c.in, "", "x")
		if got := m.Body.Name(); got != c.want {
			t.Errorf("filename=%s: got %q, want %q", c.in, got, c.want)
		}
	}
	for _, c := range []struct{ in, want string }{
		{"filename*=utf-8''%C3%A4", "ä"}, {"filename*0=a; filename*1=b", "ab"}, {"filename*1=b; filename*0=a", "ab"}, {"filename*0*=iso-8859-1''%E4; filename*1=%20; filename*2*=%E4", "ä%20ä"},
		{"filename*0*=utf-8''%C3; filename*1*=%A4", "ä"}, {"filename=plain; filename*=utf-8''%C3%A4", "ä"}, {"filename*=%41", "A"}, {"filename*=utf-8'%41", "A"}, {"filename*0=\"a;b\"; filename*1=\"c\"", "a;bc"},
		{"filename*=us-ascii'en'x", "x"}, {"filename*0=a; filename*0=z; filename*1=b", "ab"}, {"FILENAME*0=A; FileName*1=b", "Ab"}, {"filename*0*=utf-8''a; filename*1*=b'c'd", "ab'c'd"}, {"filename*x=c; filename*80=b; filename*0=a", "abc"}, {"filename*!=c; filename*300=b; filename*0=a", "abc"}, {"filename*=utf-8''a%0D%0Ab", "a b"},
	} {
		m := parse(t, "Content-Disposition: attachment; "+c.in, "", "x")
		if got := m.Body.Name(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParseDates(t *testing.T) {
	want := time.Date(2003, 7, 1, 8, 52, 37, 0, time.UTC)
	for _, s := range []string{
		"Tue, 1 Jul 2003 10:52:37 +0200", "1 Jul 2003 10:52:37 +0200", "Tue,1 Jul 2003 10:52:37 +0200", "Wed, 01 July 03 10:52:37 +0200 (CEST)", "Tue, 1 Jul 103 10:52:37 +0200", "Tue 1-Jul-2003 08:52:37 GMT",
		"Tue Jul  1 08:52:37 2003", "Tue Jul  1 10:52:37 CEST 2003", "Tue, 1 Jul 2003 04:52:37 EDT", "(x) Tue, (y) 1 Jul 2003 (z) 10:52:37 +0200 (w)", "Tue, 1 Jul 2003 08.52.37 UT", "Tue, 1 Jul 2003 10:52:37+0200",
		"Tue, 1 Jul 2003 08:52:37 -0000", "Tue, 1 Jul 2003 10:52:37 +02:00", "Tue, 1 Jul 2003\r\n 10:52:37 +0200", "tue, 1 jul 2003 08:52:37 z", "Tue, 1 Jul 2003 08:52:37",
	} {
		if got, err := ParseDate(s); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "yesterday", "32 Jul 2003 10:00:00 +0000", "31 Apr 2003 10:00:00 +0000", "1 Foo 2003 10:00:00", "1 Jul 2003", "1 Jul 2003 25:00:00 +0000", "1 Jul 2003 10:60:00 +0000", "1 Jul 2O03 10:00:00 +0000", "1 Jul 2003 1O:00:00 +0000", "1 Jul 2003 10:0/:00 +0000"} {
		if got, err := ParseDate(s); err == nil {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

func TestViews(t *testing.T) {
	multi := func(kind string, parts ...string) string {
		b := "B" + kind
		return "Content-Type: multipart/" + kind + "; boundary=" + b + "\r\n\r\n--" + b + "\r\n" + strings.Join(parts, "\r\n--"+b+"\r\n") + "\r\n--" + b + "--"
	}
	plain, html := "Content-Type: text/plain\r\n\r\nplain", "Content-Type: text/html\r\n\r\n<html>"
	image, file := "Content-Type: image/png\r\nContent-ID: <c>\r\n\r\nimage", "Content-Type: application/x\r\nContent-Disposition: attachment; filename=f\r\n\r\nfile"
	attached := "Content-Type: text/plain\r\nContent-Disposition: attachment; filename=t.txt\r\n\r\nattached"
	calendar := "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN"
	for _, c := range []struct{ name, raw, text, html, files string }{
		{"plain", plain, "plain", "", ""},
		{"html", html, "", "<html>", ""},
		{"alternative", multi("alternative", plain, html), "plain", "<html>", ""},
		{"mixed", multi("mixed", plain, file), "plain", "", "application/x"},
		{"related", multi("related", html, image), "", "<html>", "image/png"},
		{"everything", multi("mixed", multi("alternative", plain, multi("related", html, image)), file), "plain", "<html>", "image/png application/x"},
		{"footer", multi("mixed", plain, plain), "plain\nplain", "", ""},
		{"text file", multi("mixed", plain, attached), "plain", "", "text/plain"},
		{"picture between", multi("mixed", plain, image, plain), "plain\nplain", "", "image/png"},
		{"calendar", multi("alternative", plain, html, calendar), "plain", "<html>", "text/calendar"},
		{"file alone", file, "", "", "application/x"},
		{"message", multi("mixed", plain, "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny"), "plain", "", "message/rfc822"},
		{"digest", multi("digest", "\r\nSubject: x\r\n\r\ny"), "", "", "message/rfc822"},
		{"html and plain footer", multi("mixed", multi("alternative", plain, html), plain), "plain\nplain", "<html>", ""},
	} {
		m := parse(t, c.raw)
		var files []string
		for _, a := range m.Attachments {
			files = append(files, a.Type)
		}
		if m.Text != c.text || m.HTML != c.html || strings.Join(files, " ") != c.files {
			t.Errorf("%s: got text %q, HTML %q, files %q", c.name, m.Text, m.HTML, files)
		}
	}
}

func TestOddMessages(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		kind      DefectKind
		offset    int64
		text      string
	}{
		{"mbox", "From x y\nSubject: s\n\ntext", DefectHeader, 0, "text"},
		{"continuation first", " x\nSubject: s\n\ntext", DefectHeader, 0, "text"},
		{"no empty line", "Subject: s\ntext without a colon\nmore\n", DefectHeader, 11, "text without a colon\nmore\n"},
		{"garbage first", "garbage\nSubject: s\n\ntext", DefectHeader, 0, "garbage\nSubject: s\n\ntext"},
		{"a letter among fields", "Subject: s\nx\nX: y\n\ntext", DefectHeader, 11, "text"},
		{"garbage among fields", "Subject: s\ngarbage\nX: y\n\ntext", DefectHeader, 11, "text"},
		{"no boundary", "Content-Type: multipart/mixed\n\ntext", DefectBoundary, 31, "text"},
		{"boundary never comes", "Content-Type: multipart/mixed; boundary=b\n\ntext", DefectBoundary, 47, "text"},
		{"no last boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext", DefectBoundary, 52, "text"},
		{"a boundary within a line", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\na\n---b\nx---b\n", DefectBoundary, 61, "a\n---b\nx---b\n"},
		{"unknown encoding", "Content-Transfer-Encoding: x\n\ntext", DefectEncoding, 0, "text"},
		{"multipart in base64", "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n\ntext\n--b--\n", DefectEncoding, 77, "text"},
		{"bad type", "Content-Type: nonsense\n\ntext", DefectParameter, 0, "text"},
		{"bad date", "Date: yesterday\n\ntext", DefectDate, 5, "text"},
		{"two subjects", "Subject: a\nSubject: b\n\ntext", DefectDuplicate, 11, "text"},
		{"unknown charset", "Content-Type: text/plain; charset=x-no\n\nt\xe4xt", DefectCharset, 40, "täxt"},
	} {
		m := parseBoth(t, c.name, []byte(c.raw))
		if m.Text != c.text {
			t.Errorf("%s: got the text %q", c.name, m.Text)
		}
		if len(m.Defects) != 1 || m.Defects[0].Kind != c.kind || m.Defects[0].Offset != c.offset || m.Defects[0].Text == "" {
			t.Errorf("%s: got %v, want %s at %d", c.name, m.Defects, c.kind, c.offset)
		}
	}
}

func TestLimits(t *testing.T) {
	deep := nested(5)
	for _, c := range []struct {
		name string
		p    Parser
		raw  string
		ok   func(m *Message) bool
	}{
		{"Depth", Parser{Depth: 3}, deep, func(m *Message) bool { return m.Body.At("1.1.1") != nil && m.Body.At("1.1.1.1") == nil }},
		{"Parts", Parser{Parts: 3}, hostiles[2].make(10), func(m *Message) bool { return len(m.Body.Parts) == 2 }},
		{"HeaderFields", Parser{HeaderFields: 2}, "A: b\nB: c\nC: d\n\ntext", func(m *Message) bool { return m.Header.Len() == 2 && m.Text == "text" }},
		{"HeaderBytes", Parser{HeaderBytes: 10}, "A: b\nB: c\nC: d\n\ntext", func(m *Message) bool { return m.Header.Len() == 2 && m.Text == "text" }},
		{"LineBytes", Parser{LineBytes: 10}, "Subject: 0123456789\nX: y\n\ntext", func(m *Message) bool { return m.Subject == "0" && m.Header.Has("X") && m.Text == "text" }},
		{"TextBytes", Parser{TextBytes: 3}, "A: b\n\ntext", func(m *Message) bool { return m.Text == "tex" }},
		{"MessageBytes", Parser{MessageBytes: 8}, "A: b\n\ntext", func(m *Message) bool { return m.Text == "te" }},
	} {
		m, err := c.p.Parse(strings.NewReader(c.raw))
		if err != nil || !c.ok(m) {
			t.Errorf("%s: got %s, %v", c.name, describe(t, m), err)
			continue
		}
		if !slices.ContainsFunc(m.Defects, func(d Defect) bool { return d.Kind == DefectLimit }) {
			t.Errorf("%s: no defect tells: %v", c.name, m.Defects)
		}
	}
}

// A file is read through a window: wherever a boundary falls, it is found.
func TestWindow(t *testing.T) {
	for _, pad := range []int{0, 1, 2, 3, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72} {
		body := strings.Repeat("x", windowSize-150+pad)
		raw := "Content-Type: multipart/mixed; boundary=boundary\r\n\r\n--boundary\r\n\r\n" + body + "\r\n--boundary\r\nContent-Type: text/html\r\n\r\n" +
			strings.Repeat("- line -- with --boundary\r\n", 5000) + "\r\n--boundary--\r\n"
		m := parseBoth(t, fmt.Sprint("pad ", pad), []byte(raw))
		if len(m.Body.Parts) != 2 || m.Text != body || strings.Count(m.HTML, "\n") != 5000 {
			t.Errorf("pad %d: got %d parts, a text of %d, %d lines of HTML", pad, len(m.Body.Parts), len(m.Text), strings.Count(m.HTML, "\n"))
		}
	}
}

// An index is the same whatever pieces the reader gives.
func TestReaders(t *testing.T) {
	raw := []byte(strings.Repeat("X: y\r\n", 10) + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b--\r\n")
	want, _ := Parse(bytes.NewReader(raw))
	for _, r := range []io.Reader{iotest.OneByteReader(bytes.NewReader(raw)), iotest.HalfReader(bytes.NewReader(raw)), iotest.DataErrReader(bytes.NewReader(raw))} {
		got, err := Parse(r)
		if err != nil || describe(t, got) != describe(t, want) {
			t.Errorf("%T: got %v, %s", r, err, describe(t, got))
		}
	}
	failing := io.NewSectionReader(iotestReaderAt{raw}, 0, 200000)
	if _, err := ParseAt(failing, 200000); err == nil {
		t.Error("a file that cannot be read was parsed")
	}
}

// An iotestReaderAt fails behind its first octets.
type iotestReaderAt struct{ b []byte }

func (r iotestReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(r.b)) {
		return 0, io.ErrClosedPipe
	}
	return copy(p, r.b[off:]), io.ErrClosedPipe
}

func TestParts(t *testing.T) {
	m := parse(t, "Content-Type: multipart/mixed; boundary=b; x=y", "", "pre", "--b", "Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable", "", "gr=FC=DF", "--b",
		"Content-Type: Application/X-Own; NAME=n", "Content-Disposition: Inline", "Content-ID: <c@d>", "content-transfer-encoding: BASE64", "", "YWJj", "--b--", "post")
	first, second := m.Body.At("1"), m.Body.At("2")
	if s, err := first.Text(); s != "grüß" || err != nil {
		t.Errorf("text: got %q, %v", s, err)
	}
	if second.Type() != "application/x-own" || second.Name() != "n" || second.Disposition() != "inline" || second.CID() != "c@d" || second.Encoding() != "base64" || second.RawSize() != 4 {
		t.Errorf("got %q %q %q %q %q %d", second.Type(), second.Name(), second.Disposition(), second.CID(), second.Encoding(), second.RawSize())
	}
	if m.Body.Preamble != "pre" || m.Body.Epilogue != "post" || m.Body.Param("X") != "y" {
		t.Errorf("got %q %q %q", m.Body.Preamble, m.Body.Epilogue, m.Body.Param("X"))
	}
	var params []string
	for name, value := range m.Body.Params() {
		params = append(params, name+"="+value)
	}
	if strings.Join(params, " ") != "boundary=b x=y" {
		t.Errorf("parameters: got %q", params)
	}
	first.Open = FromBytes("", []byte("over")).Open
	if rc, err := first.Reader(); err != nil {
		t.Error(err)
	} else if b, _ := io.ReadAll(rc); string(b) != "over" {
		t.Errorf("Open does not override: got %q", b)
	}
	if m.Body.At("3") != nil || m.Body.At("1.1") != nil || (&Part{}).Type() != "text/plain" {
		t.Error("parts that are not there are found")
	}
}

func TestPreview(t *testing.T) {
	for _, c := range []struct{ text, html, want string }{
		{"", "", ""},
		{"Hello,\n\n  the minutes\tare attached.\n-- \nAnn\n", "", "Hello, the minutes are attached."},
		{"> quoted\n>> twice\nnew\n---\n> more\n", "", "new"},
		{"> quoted alone\n", "", "> quoted alone"},
		{" \n", "<head><title>no</title></head><p>Out of <b>HTML</b></p><p>two", "Out of HTML two"},
		{"a\u200b\u034f\u200b b\u202ec \u00ad \x07 d", "", "a bc d"},
		{strings.Repeat("ü", 300), "", strings.Repeat("ü", 256)},
		{strings.Repeat("x", 255) + " y z", "", strings.Repeat("x", 255)},
		{strings.Repeat("ab ", 200), "", strings.TrimSpace(strings.Repeat("ab ", 85) + "a")},
	} {
		if got := (&Message{Text: c.text, HTML: c.html}).Preview(); got != c.want {
			t.Errorf("%.60q, %.60q: got %q, want %q", c.text, c.html, got, c.want)
		}
	}
}

func TestReceived(t *testing.T) {
	r := ParseReceived("from mx.example.com (HELO mail.example.com) ([IPv6:2001:db8::1]) by in.example.net (Postfix (Debian/GNU)) via TCP\r\n\twith ESMTPS id 4Bx7 for <bob@example.net>; Sat, 21 Nov 2026 09:00:00 +0100 (CET)\r\n")
	want := Received{"mx.example.com", "mail.example.com", netip.MustParseAddr("2001:db8::1"), "in.example.net", "TCP", "ESMTPS", "4Bx7", "bob@example.net", time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	if when := r.Date; !when.Equal(want.Date) {
		t.Errorf("got the date %v", when)
	}
	if r.Date = want.Date; r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	for _, s := range []string{"", ";", "(", "from", "from (((", "from [", "from by with id for via", strings.Repeat("from (", 10000)} {
		_ = ParseReceived(s) // it does not fail
	}
	if r := ParseReceived("(qmail 1 invoked by uid 2); 21 Nov 2026 08:00:00 -0000"); !r.Date.Equal(want.Date) || r.From != "" {
		t.Errorf("qmail's: got %+v", r)
	}
	if r := ParseReceived(" (from ann@localhost) by in.example.net (8.12/Submit) id iBA; 21 Nov 2026 08:00:00 GMT"); r.From != "ann@localhost" || r.By != "in.example.net" || r.ID != "iBA" {
		t.Errorf("Sendmail's: got %+v", r)
	}
	if r := ParseReceived("(from host [192.0.2.1]) by in.example.net"); r.From != "host" || r.IP != netip.MustParseAddr("192.0.2.1") || r.By != "in.example.net" {
		t.Errorf("a host in a comment: got %+v", r)
	}
}

var errBroken = errors.New("broken")

// decoderOf finds a decoder that fails behind three octets.
func decoderOf(name string) transform.Transformer {
	if name != "x-broken" {
		return nil
	}
	return broken{}
}

type broken struct{ transform.NopResetter }

func (broken) Transform(dst, src []byte, _ bool) (int, int, error) {
	n := copy(dst, src[:min(3, len(src))])
	return n, n, errBroken
}
