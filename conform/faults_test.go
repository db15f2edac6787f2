package conform_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/conform"
)

// What the suite is worth: a copy of our server with a fault in it, one of many, must
// fail, and there is no case that no fault makes fail: it would be one that cannot. All
// faults are built into one program, which has the one that FAULT names.

// An edit replaces text that stands once in a file; FAULT in it becomes the test
// whether the fault is the one that is wanted.
type edit struct{ file, old, new string }

// A fault is found by each of the cases, whose names have blanks between.
type fault struct {
	cases string
	edits []edit
}

var faults = map[string]fault{
	"LF ends a line of a message": {"smuggle-lf-dot-crlf smuggle-lf-lf-dot-crlf", []edit{
		{"internal/wire/lines.go", "if i <= 0 || b[r.end+i-1] != '\\r' {", "if i < 0 || !FAULT && (i == 0 || b[r.end+i-1] != '\\r') {"},
		{"internal/wire/data.go", "case !clean, !ended", "case !clean && !FAULT, !ended"},
	}},
	"a dot and LF end a message": {"smuggle-crlf-dot-lf", []edit{{"internal/wire/data.go", "case b[0] != '.':\n", "case b[0] != '.':\n\tcase FAULT && len(b) > 1 && b[1] == '\\n':\n\t\td.src.Discard(2)\n\t\td.err = io.EOF\n\t\treturn false\n"}}},
	"a dot is lost": {"dot-text dot-two dot-four", []edit{{"internal/wire/data.go", "case b[1] != '\\r':\n\t\td.src.Discard(1)",
		"case b[1] != '\\r':\n\t\td.src.Discard(1)\n\t\tif FAULT && b[1] == '.' {\n\t\t\td.src.Discard(1)\n\t\t}"}}},
	"dots are left stuffed": {"dot-one", []edit{{"internal/wire/data.go", "case b[1] != '\\r':\n\t\td.src.Discard(1)", "case b[1] != '\\r':\n\t\tif !FAULT {\n\t\t\td.src.Discard(1)\n\t\t}"}}},
	"half a message is kept": {`
		cut-354 cut-header cut-body cut-crlf cut-dot cut-dot-cr cut-half cut-half-dot cut-half-dot-cr cut-short cut-short-dot`, []edit{{"internal/wire/data.go", "d.err = io.ErrUnexpectedEOF", "if d.err = io.ErrUnexpectedEOF; FAULT {\n\t\t\td.err = io.EOF\n\t\t}"}}},
	"the eighth bit is cut off":                    {"data-8bit", []edit{{"internal/wire/data.go", "	d.src.Discard(end)\n	return b[:end:end]\n}", "	for i := range b[:end] {\n\t\tif FAULT {\n\t\t\tb[i] &= 0x7f\n\t\t}\n\t}\n	d.src.Discard(end)\n	return b[:end:end]\n}"}}},
	"half a chunk is kept":                         {"cut-chunk cut-half-chunk", []edit{{"smtp/bdat.go", "\t\t\t\tk.err = io.ErrUnexpectedEOF\n\t\t\t}\n\t\t\treturn nil", "\t\t\t\tif k.err = io.ErrUnexpectedEOF; FAULT {\n\t\t\t\t\tk.err = io.EOF\n\t\t\t\t}\n\t\t\t}\n\t\t\treturn nil"}}},
	"a message over the limit goes on as commands": {"bdat-over-sum size-lie", []edit{{"smtp/receive.go", "case errors.Is(end, wire.ErrTooBig):", "case FAULT && errors.Is(end, wire.ErrTooBig):\n\t\tc.refuse(&Error{Code: 552, Text: \"too big\"})\n\tcase errors.Is(end, wire.ErrTooBig):"}}},
	"what follows STARTTLS is run inside TLS": {"starttls-injected starttls-injected-mail starttls-injected-auth", []edit{
		{"smtp/command.go", "case c.rd.Buffered() > 0:\n\t\tc.giveUp", "case c.rd.Buffered() > 0 && !FAULT:\n\t\tc.giveUp"},
		{"internal/wire/reader.go", "	r.Release()\n	r.src, r.r", "	if FAULT {\n\t\tr.src = src\n\t\treturn\n\t}\n	r.Release()\n	r.src, r.r"},
	}},
	"EHLO from before TLS counts":  {"starttls-forgets-hello", []edit{{"smtp/command.go", "c.hello, c.esmtp, c.user = \"\", false, \"\"", "if !FAULT {\n\t\tc.hello, c.esmtp, c.user = \"\", false, \"\"\n\t}"}}},
	"RSET forgets nothing":         {"rset-forgets-sender rset-keeps-hello pipelined-rset", []edit{{"smtp/command.go", "func (c *Conn) rset(string) {\n\tc.reset()", "func (c *Conn) rset(string) {\n\tif !FAULT {\n\t\tc.reset()\n\t}"}}},
	"EHLO forgets nothing":         {"ehlo-resets helo-resets", []edit{{"smtp/command.go", "	c.reset()\n	c.mu.Lock()", "	if !FAULT {\n\t\tc.reset()\n\t}\n	c.mu.Lock()"}}},
	"DATA needs no recipient":      {"data-before-rcpt rset-forgets-recipients rcpt-all-bad pipelined-no-rcpt", []edit{{"smtp/command.go", "case v.need&inRcpt != 0 &&", "case !FAULT && v.need&inRcpt != 0 &&"}}},
	"MAIL may be nested":           {"auth-in-mail mail-twice mail-after-rcpt", []edit{{"smtp/command.go", "case v.need&noMail != 0 &&", "case !FAULT && v.need&noMail != 0 &&"}}},
	"the null path is a recipient": {"mail-refused-keeps rcpt-nobody rcpt-after-bad pipelined-bad-rcpt", []edit{{"smtp/command.go", "case to == \"\":", "case !FAULT && to == \"\":"}}},
	"addresses hold control characters": {"sender-nul-quoted", []edit{
		{"internal/address/address.go", "case r < ' ' || r == 0x7f || r", "case !FAULT && (r < ' ' || r == 0x7f) || r"},
		{"smtp/command.go", "case hasControl(line):", "case !FAULT && hasControl(line):"},
	}},
	"the size that is said is not heard": {"size-over", []edit{{"smtp/command.go", "case t.opts.Size > c.server.maxSize():", "case !FAULT && t.opts.Size > c.server.maxSize():"}}},
	"parameters may be repeated":         {"size-twice notify-twice ret-twice", []edit{{"smtp/param.go", "case seen&(1<<row) != 0:", "case !FAULT && seen&(1<<row) != 0:"}}},
	"xtext decodes line ends":            {"orcpt-crlf envid-crlf envid-nul ", []edit{{"internal/wire/xtext.go", "if c < ' ' || c == 0x7f {", "if !FAULT && (c < ' ' || c == 0x7f) {"}}},
	"a refused chunk is run":             {"bdat-no-mail bdat-no-rcpt bdat-after-message bdat-after-data bdat-refused-pipelined", []edit{{"smtp/bdat.go", "case !c.skip(size):", "case !FAULT && !c.skip(size):"}}},
	"a chunk of unknown size is one of none": {`
		bdat-size-negative bdat-size-hex bdat-size-plus bdat-size-missing bdat-size-word bdat-size-fraction bdat-size-last-alone
		bdat-size-last-misspelt bdat-size-spaces`, []edit{{"smtp/bdat.go", "	if digits == \"\" ||", "	if FAULT {\n\t\tsize, _ := strconv.ParseInt(digits, 0, 64)\n\t\treturn max(size, 0), more, true\n\t}\n	if digits == \"\" ||"}}},
	"RSET between chunks delivers":      {"bdat-rset bdat-ehlo bdat-quit bdat-then-data bdat-then-mail bdat-in-header", []edit{{"smtp/bdat.go", "		c.pending, k.err = line, errAborted\n		return false", "		if c.pending, k.err = line, errAborted; FAULT {\n\t\t\tk.err = io.EOF\n\t\t}\n		return false"}}},
	"every password is right":           {"auth-wrong auth-wrong-goes-on auth-login-two auth-again relay-after-auth", []edit{{"smtp/auth.go", "	default:\n		c.authFailed(err)", "	case FAULT:\n\t\tc.say(235, \"2.7.0\", \"ok\")\n	default:\n		c.authFailed(err)"}}},
	"passwords are taken in clear":      {"auth-in-clear", []edit{{"smtp/auth.go", "c.tls == nil && !c.server.AllowInsecureAuth:", "!FAULT && c.tls == nil && !c.server.AllowInsecureAuth:"}}},
	"a long line is several":            {"line-20000 line-endless", []edit{{"internal/wire/reader.go", "	for skipped := 0;", "	if FAULT {\n\t\tr.r = r.w\n\t\treturn ErrTooLong\n\t}\n	for skipped := 0;"}}},
	"commands may end in LF":            {"ehlo-lf line-lf line-cr-cr line-lf-mail sender-lf sender-lf-quoted rcpt-lf", []edit{{"internal/wire/reader.go", "			// The first CR must be", "			if FAULT {\n\t\t\t\tr.r += end + 1\n\t\t\t\treturn bytes.TrimRight(b[:end], \"\\r\"), nil\n\t\t\t}\n			// The first CR must be"}}},
	"HTTP is talked to":                 {"http-*", []edit{{"smtp/command.go", "case notSMTP(name, arg):", "case !FAULT && notSMTP(name, arg):"}}},
	"replies lack their enhanced codes": {"enhanced-mail enhanced-rcpt enhanced-data enhanced-refusal", []edit{{"smtp/conn.go", "		if enhanced != \"\" {", "		if enhanced != \"\" && !FAULT {"}}},
	"a message may go in circles":       {"data-hops", []edit{{"smtp/hops.go", "return h.seen > h.most", "return !FAULT && h.seen > h.most"}}},
	"a batch is cut short":              {"noop-10 pipelined-order", []edit{{"smtp/query.go", "func (c *Conn) noop(string) {", "func (c *Conn) noop(string) {\n\tif FAULT {\n\t\tc.rd.Discard(c.rd.Buffered())\n\t}\n"}}},
	"QUIT ends nothing":                 {"data-pipelined-quit quit-* quit", []edit{{"smtp/command.go", "c.done, c.why = true, \"QUIT\"", "c.done, c.why = !FAULT, \"QUIT\""}}},
	// What is taken though it is wrong: the syntax of commands, their order, authentication, parameters, addresses, limits.
	"what is missing is not missed":           {"ehlo-no-name helo-no-name vrfy-no-argument expn-no-argument auth-nothing mail-alone sender-nothing rcpt-alone", []edit{{"smtp/command.go", "v.need&argument != 0 && arg == \"\"", "!FAULT && v.need&argument != 0 && arg == \"\""}, {"smtp/auth.go", "\tmechanism, initial, given := strings.Cut(arg, \" \")\n", "\tmechanism, initial, given := strings.Cut(arg, \" \")\n\tif FAULT && arg == \"\" {\n\t\tmechanism = \"PLAIN\"\n\t}\n"}, {"smtp/command.go", "\tif len(arg) < len(prefix) || ", "\tif FAULT && (arg == \"\" || strings.EqualFold(arg, prefix)) {\n\t\treturn \"nobody@localhost\", true\n\t}\n\tif len(arg) < len(prefix) || "}, {"smtp/query.go", "func (c *Conn) expn(arg string) {\n", "func (c *Conn) expn(arg string) {\n\tif FAULT && arg == \"\" {\n\t\tc.say(252, \"2.0.0\", \"no list\")\n\t\treturn\n\t}\n"}}},
	"an argument too many is passed over":     {"data-argument starttls-argument", []edit{{"smtp/command.go", "v.need&noArgument != 0 && arg != \"\"", "!FAULT && v.need&noArgument != 0 && arg != \"\""}}},
	"no greeting is needed":                   {"mail-before-hello auth-before-hello", []edit{{"smtp/command.go", "v.need&afterHello != 0 && c.hello == \"\"", "!FAULT && v.need&afterHello != 0 && c.hello == \"\""}, {"smtp/auth.go", "c.tls == nil && !c.server.AllowInsecureAuth:", "!FAULT && c.tls == nil && !c.server.AllowInsecureAuth:"}}},
	"a transaction begins by itself":          {"rcpt-before-mail data-before-mail", []edit{{"smtp/command.go", "\tcase v.need&(inMail|inRcpt) != 0 && c.txn == nil:", "\tcase FAULT && v.need&(inMail|inRcpt) != 0 && c.txn == nil:\n\t\tc.say(250, \"2.0.0\", \"ok\")\n\tcase v.need&(inMail|inRcpt) != 0 && c.txn == nil:"}}},
	"a verb is known by its beginning":        {"verb-prefix verb-cut", []edit{{"smtp/command.go", "\tv := verbs[key]\n", "\tv := verbs[key]\n\tfor _, w := range verbs {\n\t\tif FAULT && v == nil && name != \"\" && (strings.HasPrefix(name, w.name) || strings.HasPrefix(w.name, name)) {\n\t\t\tv, ok = w, true\n\t\t}\n\t}\n"}}},
	"a verb that is not known is passed over": {"unknown unknown-long verb-* debug wiz turn send-verb line-empty line-8bit tls-in-clear ssh etrn-quote wrong-300", []edit{{"smtp/command.go", "\tv := verbs[key]\n", "\tv := verbs[key]\n\tif FAULT && v == nil {\n\t\tc.say(250, \"2.0.0\", \"whatever\")\n\t\treturn\n\t}\n"}}},
	"a tab is a space":                        {"verb-tab", []edit{{"smtp/command.go", "func (c *Conn) command(line string) {\n", "func (c *Conn) command(line string) {\n\tif FAULT {\n\t\tline = strings.ReplaceAll(line, \"\\t\", \" \")\n\t}\n"}}},
	"spaces before a verb are passed over":    {"verb-indented", []edit{{"smtp/command.go", "func (c *Conn) command(line string) {\n", "func (c *Conn) command(line string) {\n\tif FAULT {\n\t\tline = strings.TrimLeft(line, \" \")\n\t}\n"}}},
	"control characters are dropped":          {"ehlo-nul ehlo-control line-nul sender-nul sender-control sender-delete sender-tab rcpt-nul rcpt-control", []edit{{"smtp/command.go", "func (c *Conn) command(line string) {\n", "func (c *Conn) command(line string) {\n\tfor i := len(line) - 1; FAULT && i >= 0; i-- {\n\t\tif line[i] < ' ' || line[i] == 0x7f {\n\t\t\tline = line[:i] + line[i+1:]\n\t\t}\n\t}\n"}}},
	"a bare CR is dropped":                    {"line-cr-within ehlo-cr sender-cr sender-cr-quoted rcpt-cr", []edit{{"internal/wire/reader.go", "\t\t\t// The first CR must be", "\t\t\tif FAULT {\n\t\t\t\tr.r += end + 1\n\t\t\t\treturn bytes.ReplaceAll(b[:end], []byte(\"\\r\"), nil), nil\n\t\t\t}\n\t\t\t// The first CR must be"}}},
	"a bare CR ends a command":                {"line-cr", []edit{{"internal/wire/reader.go", "\t\t\t// The first CR must be", "\t\t\tif cr := bytes.IndexByte(b[:end], '\\r'); FAULT && cr < end-1 {\n\t\t\t\tr.r += cr + 1\n\t\t\t\treturn b[:cr], nil\n\t\t\t}\n\t\t\t// The first CR must be"}}},
	"a name may have any length":              {"ehlo-long", []edit{{"smtp/command.go", "|| len(name) > 255", "|| !FAULT && len(name) > 255"}}},
	"a wrong MAIL opens a transaction":        {"mail-bad-then-good", []edit{{"smtp/command.go", "		func() bool { return t.opts.UTF8 })\n	if !ok {\n", "		func() bool { return t.opts.UTF8 })\n	if !ok {\n		if FAULT {\n			c.txn, t.life = t, &lifetime{Context: c.ctx}\n		}\n"}}},
	"a line that is too long is passed over":  {"sender-huge rcpt-huge auth-long", []edit{{"smtp/conn.go", "\tcase !c.done:\n\t\tc.wrong(500", "\tcase FAULT && !c.done:\n\t\tc.say(250, \"2.0.0\", \"ok\")\n\tcase !c.done:\n\t\tc.wrong(500"}}},
	"TLS may begin in TLS":                    {"starttls-twice", []edit{{"smtp/command.go", "c.tls != nil:\n", "!FAULT && c.tls != nil:\n"}}},
	"a list is told to anybody":               {"expn-relay", []edit{{"smtp/query.go", "func (c *Conn) expn(arg string) {\n", "func (c *Conn) expn(arg string) {\n\tif FAULT {\n\t\tc.say(250, \"2.1.5\", \"eve@example.org\")\n\t\treturn\n\t}\n"}}},
	"a mechanism that is not known lets in":   {"auth-unknown auth-external auth-ntlm", []edit{{"smtp/auth.go", "\tserver := v.Server(c.ctx, mechanism, c.channel())\n", "\tserver := v.Server(c.ctx, mechanism, c.channel())\n\tif FAULT && server == nil {\n\t\tc.user = \"eve\"\n\t\tc.say(235, \"2.7.0\", \"authenticated\")\n\t\treturn\n\t}\n"}}},
	"what is no response is a right one":      {"auth-base64 auth-base64-3 auth-plain-parts auth-plain-empty auth-plain-four", []edit{{"smtp/auth.go", "\tcase errors.Is(err, sasl.ErrSyntax):", "\tcase FAULT && errors.Is(err, sasl.ErrSyntax):\n\t\tc.say(235, \"2.7.0\", \"authenticated\")\n\tcase errors.Is(err, sasl.ErrSyntax):"}}},
	"base64 may be cut short":                 {"auth-base64-3", []edit{{"smtp/auth.go", "func decodeResponse(s string) ([]byte, error) {\n", "func decodeResponse(s string) ([]byte, error) {\n\tif FAULT {\n\t\ts += strings.Repeat(\"=\", -len(s)&3)\n\t}\n"}}},
	"an exchange that is cancelled goes on":   {"auth-cancelled auth-login-cancel", []edit{{"smtp/auth.go", "\t\tif string(line) == \"*\" {\n", "\t\tif string(line) == \"*\" {\n\t\t\tif FAULT {\n\t\t\t\tresponse = nil\n\t\t\t\tcontinue\n\t\t\t}\n"}}},
	"AUTH may be said again":                  {"auth-twice", []edit{{"smtp/auth.go", "c.user != \"\": // RFC 4954, 4", "!FAULT && c.user != \"\": // RFC 4954, 4"}}},
	"mechanisms are in upper case":            {"auth-lower", []edit{{"smtp/auth.go", "\tserver := v.Server(c.ctx, mechanism, c.channel())\n", "\tif FAULT && mechanism != strings.ToUpper(mechanism) {\n\t\tmechanism = \"?\"\n\t}\n\tserver := v.Server(c.ctx, mechanism, c.channel())\n"}}},
	"values of parameters are not read": {`
		size-empty size-word size-negative size-long 9bit body-empty utf8-value notify-never-and notify-word notify-empty orcpt-untyped
		ret-word envid-long envid-digit envid-lower auth-param-crlf`, []edit{{"smtp/param.go", "table[row].parse(o, value) != nil:", "!FAULT && table[row].parse(o, value) != nil:"}}},
	"a parameter that is not known is passed over": {"sender-param-unknown rcpt-param-unknown", []edit{{"smtp/param.go", "\t\tcase row < 0 || !offered", "\t\tcase FAULT && row < 0:\n\t\t\tcontinue\n\t\tcase row < 0 || !offered"}}},
	"what follows a path is not read":              {"sender-list sender-glued sender-text rcpt-list", []edit{{"smtp/param.go", "\tif s != \"\" && s[0] != ' ' {", "\tif FAULT {\n\t\treturn nil\n\t}\n\tif s != \"\" && s[0] != ' ' {"}}},
	"xtext is left as it is":                       {"envid-digit envid-lower ", []edit{{"internal/wire/xtext.go", "\tif !strings.ContainsAny(s, \"+=\") && printable(s) {", "\tif FAULT || !strings.ContainsAny(s, \"+=\") && printable(s) {"}}},
	"digits of xtext are in any case":              {"envid-lower", []edit{{"internal/wire/xtext.go", "func DecodeXtext(s string) (string, error) {\n", "func DecodeXtext(s string) (string, error) {\n\tif FAULT {\n\t\ts = strings.ToUpper(s)\n\t}\n"}}},
	"dots may stand anywhere":                      {"sender-dot-first sender-dot-last sender-dots", []edit{{"internal/address/address.go", "if s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, \"..\") {", "if !FAULT && (s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, \"..\")) {"}}},
	"a local part may hold anything":               {"sender-two-ats sender-blank rcpt-two-ats", []edit{{"internal/address/address.go", "r != '.' && !isAtext(r) {", "!FAULT && r != '.' && !isAtext(r) {"}}},
	"a domain may be anything": {`
		sender-domain-dots sender-domain-dot sender-hyphen sender-label-64 sender-literal-300 sender-literal-untagged sender-literal-open
		sender-literal-empty sender-literal-tag rcpt-percent-code`, []edit{{"internal/address/address.go", "func checkDomain(d string) error {\n", "func checkDomain(d string) error {\n\tif FAULT {\n\t\treturn nil\n\t}\n"}}},
	"half an address is one":                      {"sender-no-domain sender-empty-domain sender-quote-text sender-shell rcpt-no-domain", []edit{{"internal/address/address.go", "\tlocal, domain, err := Split(a)\n", "\tlocal, domain, err := Split(a)\n\tif FAULT && err != nil {\n\t\treturn nil\n\t}\n"}}},
	"a path may have any length":                  {"sender-domain-300", []edit{{"internal/address/address.go", "len(a) > maxPath {", "!FAULT && len(a) > maxPath {"}, {"internal/address/address.go", "len(d) > maxDomain {", "!FAULT && len(d) > maxDomain {"}}},
	"the brackets of a path may be missing":       {"sender-bare sender-space rcpt-bare rcpt-space", []edit{{"smtp/command.go", "\tif c.policy.WildPaths {", "\tif FAULT || c.policy.WildPaths {"}}},
	"a bracket that is missing is made up":        {"sender-open", []edit{{"internal/address/address.go", "\tif end < 0 {\n\t\treturn \"\", \"\", syntaxError(\"the closing angle", "\tif FAULT && end < 0 {\n\t\tbody, end = body+\">\", len(body)\n\t}\n\tif end < 0 {\n\t\treturn \"\", \"\", syntaxError(\"the closing angle"}}},
	"FROM and TO are one":                         {"mail-to mail-no-colon rcpt-from", []edit{{"smtp/command.go", "\tif len(arg) < len(prefix) || ", "\tif i := strings.IndexByte(arg, '<'); FAULT && i >= 0 {\n\t\targ = prefix + arg[i:]\n\t}\n\tif len(arg) < len(prefix) || "}}},
	"UTF-8 needs no parameter":                    {"sender-raw-utf8 utf8-unsaid", []edit{{"smtp/command.go", "!utf8() && !address.IsASCII(addr) {", "!FAULT && !utf8() && !address.IsASCII(addr) {"}}},
	"UTF-8 may be broken":                         {"utf8-invalid utf8-overlong", []edit{{"internal/address/address.go", "func isText(r rune) bool { return r", "func isText(r rune) bool { return FAULT || r"}, {"internal/address/address.go", "!utf8.ValidString(s) {", "!FAULT && !utf8.ValidString(s) {"}}},
	"a message may have any size":                 {"size-lie bdat-over bdat-over-sum", []edit{{"smtp/receive.go", "\tc.text.Start(c.rd, c.server.maxSize(),", "\tmost := c.server.maxSize()\n\tif FAULT {\n\t\tmost = 1 << 40\n\t}\n\tc.text.Start(c.rd, most,"}, {"smtp/bdat.go", "size > c.server.maxSize() {", "!FAULT && size > c.server.maxSize() {"}, {"smtp/bdat.go", "; k.size > k.limit {", "; !FAULT && k.size > k.limit {"}, {"smtp/bdat.go", "k.left > k.limit-k.size {", "!FAULT && k.left > k.limit-k.size {"}}},
	"a chunk that is too big is said to be there": {"bdat-promised bdat-over", []edit{{"smtp/bdat.go", "\t\tc.giveUp(&Error{Code: 552", "\t\tif FAULT {\n\t\t\tc.say(250, \"2.0.0\", \"ok\")\n\t\t\treturn\n\t\t}\n\t\tc.giveUp(&Error{Code: 552"}}},
	"a size is read modulo 64 bits":               {"bdat-size-huge", []edit{{"smtp/bdat.go", "\tif digits == \"\" ||", "\tif FAULT && len(digits) > 18 {\n\t\tfor _, d := range digits {\n\t\t\tsize = size*10 + int64(d-'0')\n\t\t}\n\t\treturn size, more, true\n\t}\n\tif digits == \"\" ||"}}},
	// What is refused, or met with silence, though it is right.
	"every fiftieth command is lost":    {"ehlo-100 noop-million rset-flood helo-flood vrfy-flood rcpt-20000", []edit{{"smtp/command.go", "	if !c.count() {\n\t\treturn\n\t}\n	switch {", "	if FAULT {\n\t\tif c.noops, c.commands = 0, c.commands+1; c.commands%50 == 49 {\n\t\t\treturn\n\t\t}\n\t} else if !c.count() {\n\t\treturn\n\t}\n	switch {"}}},
	"verbs are in upper case":           {"bdat-lower ehlo-mixed mail-lower rcpt-lower", []edit{{"smtp/command.go", "	case !ok || v == nil:", "	case !ok || v == nil || FAULT && name != strings.ToUpper(name):"}}},
	"nothing may follow a verb":         {"noop-argument noop-space rset-space mail-space", []edit{{"smtp/command.go", "	arg = strings.TrimRight(arg, \" \")\n	switch {", "	if FAULT && (strings.HasSuffix(line, \" \") || v.name == \"NOOP\" && arg != \"\") {\n\t\tc.wrong(501, \"5.5.4\", \"no argument\")\n\t\treturn\n\t}\n	arg = strings.TrimRight(arg, \" \")\n	switch {"}}},
	"who says EHLO is called by a name": {"ehlo-ipv4 ehlo-ipv6", []edit{{"smtp/command.go", "	if badHello(name) {", "	if badHello(name) || FAULT && strings.HasPrefix(name, \"[\") {"}}},
	"EHLO has an enhanced code":         {"greeting-plain ehlo-plain", []edit{{"smtp/command.go", "	c.say(250, \"\", string(text))", "	if FAULT {\n\t\tc.say(250, \"2.0.0\", string(text))\n\t\treturn\n\t}\n	c.say(250, \"\", string(text))"}, {"smtp/conn.go", "	c.say(220, \"\", c.hostname+kind)", "	if FAULT {\n\t\tc.say(220, \"2.0.0\", c.hostname+kind)\n\t\treturn\n\t}\n	c.say(220, \"\", c.hostname+kind)"}}},
	"EHLO is said once":                 {"ehlo-again helo-after-ehlo starttls-forgets-mail", []edit{{"smtp/command.go", "	// RFC 2920, 3.1: EHLO ends a batch", "	if FAULT && c.hello != \"\" {\n\t\tc.wrong(503, \"5.5.1\", \"said already\")\n\t\treturn\n\t}\n	// RFC 2920, 3.1: EHLO ends a batch"}}},
	"only EHLO may come first":          {"noop-before-hello rset-before-hello help-before-hello", []edit{{"smtp/command.go", "	case v.need&argument != 0 && arg ==", "	case FAULT && v.need&idle != 0 && !strings.HasSuffix(v.name, \"LO\") && c.hello == \"\":\n\t\tc.wrong(503, \"5.5.1\", \"say EHLO\")\n	case v.need&argument != 0 && arg =="}}},
	"a command is cut at 500 octets":    {"line-512", []edit{{"smtp/command.go", "	case hasControl(line):", "	case FAULT && len(line) > 500:\n\t\tc.wrong(500, \"5.5.2\", \"too long\")\n\t\treturn\n	case hasControl(line):"}}},
	"RSET and HELP are not known":       {"help rset-nothing relay-after-good relay-after-rset", []edit{{"smtp/command.go", "	if v.need&idle != 0 && !c.countIdle() {", "	if FAULT && (v.name == \"RSET\" || v.name == \"HELP\") {\n\t\tc.wrong(502, \"5.5.1\", \"not implemented\")\n\t\treturn\n\t}\n	if v.need&idle != 0 && !c.countIdle() {"}}},
	"VRFY is answered as HELP":          {"vrfy-before-hello vrfy-keeps vrfy vrfy-relay", []edit{{"smtp/query.go", "	if mailbox == \"\" {\n", "	if mailbox == \"\" && FAULT {\n\t\tc.help(\"\")\n\t\treturn\n\t}\n	if mailbox == \"\" {\n"}}},
	"odd addresses are a fault of ours": {`
		utf8-invalid utf8-overlong utf8-unsaid null-sender sender-plus sender-quoted sender-quoted-pair sender-quoted-bracket
		sender-quoted-at sender-literal sender-literal-6 sender-route sender-64 sender-label-63 sender-params-inside sender-bare
		sender-space sender-open sender-close sender-nothing sender-two-brackets sender-no-domain sender-no-local sender-label-64
		sender-blank sender-quote-open sender-quote-text sender-literal-300 sender-literal-untagged sender-literal-open sender-600
		sender-raw-utf8 sender-shell mail-bad-then-good rcpt-bare rcpt-space rcpt-alone rcpt-no-domain rcpt-percent-code rcpt-postmaster
		rcpt-postmaster-case sender-percent sender-bang sender-encoded sender-shell-quoted sender-crlf-quoted sender-domain-300
		sender-domain-200 sender-literal-empty sender-literal-tag sender-literal-huge pipelined-bad-mail`, []edit{{"smtp/command.go", "	addr, rest, err := address.ParsePath(arg)\n", "	addr, rest, err := address.ParsePath(arg)\n	if at := strings.IndexByte(addr, '@'); FAULT && (at < 0 || len(addr) > 40 || strings.Trim(strings.ToLower(addr), \"abcdefghijklmnopqrstuvwxyz0123456789.@-\") != \"\" || strings.HasPrefix(arg, \"<@\")) {\n\t\tc.wrong(451, \"4.3.0\", \"it is odd\")\n\t\treturn \"\", false\n\t}\n"}}},
	"no parameter is known": {`
		auth-param binary-data binary size size-lower 8bit 7bit utf8-mail utf8-domain notify-never notify-several orcpt-plain ret-full
		ret-headers envid-plain envid-xtext`, []edit{{"smtp/command.go", "	if e := params(rest); e != nil {", "	if FAULT && rest != \"\" {\n\t\tc.wrong(555, \"5.5.4\", \"no parameters\")\n\t\treturn \"\", false\n\t}\n	if e := params(rest); e != nil {"}}},
	"half of what is offered is not announced": {"binary-unoffered dsn-unoffered", []edit{{"smtp/command.go", "			if params, ok := extensions[i].offer(c); ok {", "			if params, ok := extensions[i].offer(c); ok && !(FAULT && (extensions[i].name == \"DSN\" || extensions[i].name == \"BINARYMIME\")) {"}}},
	"all is announced everywhere":              {"requiretls-clear helo-plain starttls-once auth-unannounced-in-clear", []edit{{"smtp/command.go", "	text = append(text, c.hostname...)", "	text = append(text, c.hostname...)\n	if FAULT {\n\t\ttext = append(text, \"\\n8BITMIME\\nREQUIRETLS\\nSTARTTLS\\nAUTH PLAIN\"...)\n\t}"}}},
	"a handshake that fails is passed over":    {"starttls-garbage", []edit{{"smtp/command.go", "	if c.flush() != nil || !c.handshake() {", "	if c.flush() != nil || !c.handshake() && !FAULT {"}}},
	"the name in TLS is looked up":             {"tls-name-backslash tls-name-path tls-name-nul tls-name-long", []edit{{"smtp/command.go", "	if c.policy.RefuseEarly && c.rd.Buffered() > 0 {", "	if FAULT && c.tls != nil && (len(c.tls.ServerName) > 255 || strings.ContainsAny(c.tls.ServerName, \"/\\\\\\x00\")) {\n\t\tc.wrong(454, \"4.7.0\", \"no such file\")\n\t\treturn\n\t}\n	if c.policy.RefuseEarly && c.rd.Buffered() > 0 {"}}},
	"TLS works once":                           {"starttls", []edit{{"smtp/command.go", "	c.say(220, \"2.0.0\", \"ready to start TLS\")", "	if FAULT && again() > 1 {\n\t\tc.wrong(454, \"4.7.0\", \"TLS not available\")\n\t\treturn\n\t}\n	c.say(220, \"2.0.0\", \"ready to start TLS\")"}}},
	"no password is right":                     {"auth-good auth-steps", []edit{{"smtp/auth.go", "	case err == nil:\n		// The only place", "	case FAULT && err == nil:\n\t\tc.authFailed(sasl.ErrRefused)\n	case err == nil:\n		// The only place"}}},
	"users say no MAIL":                        {"auth-no-more", []edit{{"smtp/command.go", "	tooMuch := beyond(", "	if FAULT && c.user != \"\" {\n\t\tc.wrong(503, \"5.5.1\", \"no\")\n\t\treturn\n\t}\n	tooMuch := beyond("}}},
	"ordinary MAIL is refused":                 {"sender", []edit{{"smtp/command.go", "	t.life = &lifetime{Context: c.ctx}", "	if FAULT {\n\t\tc.refuse(&Error{Code: 550, Text: \"no\"})\n\t\treturn\n\t}\n	t.life = &lifetime{Context: c.ctx}"}}},
	"ordinary RCPT is refused":                 {"rcpt rcpt-100", []edit{{"smtp/command.go", "	case len(c.txn.rcpts) >= c.server.maxRecipients():", "	case len(c.txn.rcpts) >= c.server.maxRecipients() || FAULT:"}}},
	"later sessions are refused":               {"greeting-220", []edit{{"smtp/conn.go", "	if refusal == nil && c.server.OnConnect != nil {", "	if FAULT && again() > 1 {\n\t\trefusal = &Error{Code: 554, Text: \"no more\"}\n\t}\n	if refusal == nil && c.server.OnConnect != nil {"}}},
	"later sessions say no EHLO":               {"ehlo helo", []edit{{"smtp/command.go", "	if !right {\n", "	if FAULT && again() > 2 {\n\t\tright = false\n\t}\n	if !right {\n"}}},
	"an odd message is a fault of ours": {`
		bdat-commands data-empty data-no-header dot-first data-64k data-folds data-fields data-empty-lines enhanced-354 noop-keeps
		unknown-keeps rcpt-twice`, []edit{{"conform/testdata/server/main.go", "		_, err = io.Copy(f, r)\n		f.Close()", "		_, err = io.Copy(f, r)\n		f.Close()\n\t\tif b, _ := os.ReadFile(f.Name()); FAULT && err == nil && (len(b) > 5000 || !strings.HasPrefix(string(b), \"Subject:\")) {\n\t\t\terr = smtp.Errorf(451, \"4.3.0\", \"it is odd\")\n\t\t}"}}},
	"messages are refused": {"cut-half-after", []edit{{"conform/testdata/server/main.go", "		_, err = io.Copy(f, r)\n		f.Close()", "		_, err = io.Copy(f, r)\n		f.Close()\n\t\tif FAULT && err == nil {\n\t\t\terr = smtp.Errorf(554, \"5.6.0\", \"no\")\n\t\t}"}}},
	"messages are lost": {`
		bdat bdat-two bdat-zero-last bdat-split-crlf bdat-noop bdat-pipelined bdat-dot-first data data-header-only dot-space dot-within
		data-commands data-998 data-blank-lines data-trailing-space pipelined`, []edit{{"conform/testdata/server/main.go", "		id := filepath.Base(f.Name())", "\t\tif FAULT {\n\t\t\treturn \"\", os.Remove(f.Name())\n\t\t}\n		id := filepath.Base(f.Name())"}}},
	"what follows a long line is run":                  {"data-line-long data-field-long", []edit{{"smtp/receive.go", "	case errors.Is(end, wire.ErrTooLong):\n", "	case FAULT && errors.Is(end, wire.ErrTooLong):\n\t\tc.rd.ReadLine(1 << 20)\n\t\tc.refuse(&Error{Code: 554, Text: \"too long\"})\n	case errors.Is(end, wire.ErrTooLong):\n"}}},
	"what looks like an end is one":                    {"smuggle-*", []edit{{"smtp/receive.go", "	c.say(354, \"\", \"go ahead\")", "	c.say(354, \"\", \"go ahead\")\n	for FAULT && !c.done {\n\t\tif m := lookalike.FindIndex(c.rd.Peek()); m != nil {\n\t\t\tc.rd.Discard(m[1])\n\t\t\tc.reset()\n\t\t\tc.say(250, \"\", \"ok\")\n\t\t\treturn\n\t\t}\n\t\tc.done = c.rd.Fill() != nil\n\t}\n\tif FAULT {\n\t\treturn\n\t}"}}},
	"what looks like an end in a chunk is not counted": {"bdat-dots chunk-*", []edit{{"smtp/bdat.go", "	rd.Discard(len(b))\n	k.left -= int64(len(b))", "	rd.Discard(len(b))\n	k.left -= int64(len(b))\n	if m := lookalike.Find(b); FAULT && m != nil {\n\t\tk.left, k.loose = k.left+int64(len(m)), true\n\t}"}}},
	"a connection that ends between chunks delivers":   {"bdat-starttls cut-chunks", []edit{{"smtp/bdat.go", "		if err != nil {\n			k.err = err", "		if FAULT && err == io.EOF {\n\t\t\tk.err = io.EOF\n\t\t\treturn\n\t\t}\n		if err != nil {\n			k.err = err"}}},
	"a reset delivers":                                 {"cut-reset cut-reset-chunk", []edit{{"internal/wire/data.go", "	} else if err != nil {\n		d.err = err", "	} else if FAULT && err != nil {\n\t\td.err = io.EOF\n	} else if err != nil {\n		d.err = err"}, {"smtp/bdat.go", "			if k.err == io.EOF {\n				k.err = io.ErrUnexpectedEOF", "			if FAULT && k.err != io.EOF {\n\t\t\t\tk.err = io.EOF\n\t\t\t} else if k.err == io.EOF {\n				k.err = io.ErrUnexpectedEOF"}}},
	"an exclamation mark leads elsewhere":              {"relay-bang relay-encoded", []edit{{"conform/testdata/server/main.go", "	case local != \"bob\" && local", "	case FAULT && (strings.Contains(local, \"!\") || strings.HasPrefix(local, \"=?\")):\n\t\treturn nil\n	case local != \"bob\" && local"}}},
	// Found by the cases about relaying, and by no others: see TestRelayFaults.
	"a domain that ends like ours is ours":       {"relay-quoted relay-suffix", []edit{{"conform/testdata/server/main.go", "case to == \"postmaster\"", "case FAULT && strings.HasSuffix(domain, \"example.net\") && domain != \"example.net\" || to == \"postmaster\""}}},
	"a percent sign leads elsewhere":             {"relay-percent relay-percent-quoted relay-percent-twice relay-literal", []edit{{"conform/testdata/server/main.go", "case domain != \"example.net\":", "case FAULT && strings.Contains(local, \"%\"):\n\t\treturn nil\n\tcase domain != \"example.net\":"}}},
	"who comes by a source route is let through": {"relay-route*", []edit{{"internal/address/address.go", "\t\tif body, err = skipRoute(body); err != nil {", "\t\tif FAULT && strings.Contains(body, \":\") {\n\t\t\tbody = \"bob@example.net>\"\n\t\t} else if body, err = skipRoute(body); err != nil {"}}},
	"mail is passed on for anybody in TLS":       {"relay-after-starttls relay relay-null", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && c.tls != nil && strings.HasSuffix(to, \"example.org\") {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"mail is passed on for anybody in clear":     {"relay-in-clear", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && c.tls == nil && strings.HasSuffix(to, \"example.org\") {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"who asks again is believed":                 {"relay-after-refusal", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && strings.HasSuffix(to, \"example.org\") && again() > 1 {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"who says to be of the house is believed":    {"relay-sender-here relay-sender-local relay-sender-self", []edit{{"smtp/command.go", "\tc.serial++\n", "\tc.serial++\n\tsaid = from\n"}, {"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && (said == \"root@localhost\" || strings.HasSuffix(said, \"@example.net\") || strings.HasSuffix(said, \"]\")) {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"whoever writes to himself may do so":        {"relay-sender-relay", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && said == to {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"reports go anywhere":                        {"relay-null", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && said == \"\" && err != nil && strings.HasSuffix(to, \"example.org\") {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"who wants a report is passed on":            {"relay-notify", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && c.rcptOpts.Notify != 0 {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"a name in EHLO is believed":                 {"relay-hello relay-hello-self", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && (c.hello == \"localhost\" || strings.HasPrefix(c.hello, \"[\")) {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"AUTH= makes a user":                         {"relay-auth-param", []edit{{"smtp/command.go", "\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts", "\tif FAULT && c.txn.opts.Auth != \"\" {\n\t\terr = nil\n\t}\n\tif e := c.handlerError(err); e != nil {\n\t\tc.refuse(e)\n\t\treturn\n\t}\n\tc.txn.rcpts"}}},
	"who cancels AUTH is let in":                 {"relay-after-cancel", []edit{{"smtp/auth.go", "\t\tc.wrong(501, \"5.7.0\", \"authentication cancelled\")", "\t\tif FAULT {\n\t\t\tc.user = \"eve\"\n\t\t}\n\t\tc.wrong(501, \"5.7.0\", \"authentication cancelled\")"}}},
	"PROXY is taken from anybody":                {"relay-proxy relay-proxy-late", []edit{{"smtp/command.go", "\tv := verbs[key]\n", "\tv := verbs[key]\n\tif FAULT && name == \"PROXY\" {\n\t\tc.user = \"eve\"\n\t}\n"}}},
	"a domain that begins like ours is ours":     {"relay-prefix", []edit{{"conform/testdata/server/main.go", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n\tif FAULT && strings.HasPrefix(domain, \"example.net.\") {\n\t\treturn nil\n\t}\n"}}},
	"every postmaster is ours":                   {"relay-postmaster", []edit{{"conform/testdata/server/main.go", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n\tif FAULT && local == \"postmaster\" {\n\t\treturn nil\n\t}\n"}}},
	"quotes and details make a local user":       {"relay-quoted-local relay-subaddress relay-quoted relay-literal-quoted", []edit{{"conform/testdata/server/main.go", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n\tif FAULT && strings.ContainsAny(local, \"\\\"+\") {\n\t\treturn nil\n\t}\n"}}},
	"whoever is at our address is ours":          {"relay-literal relay-literal-quoted", []edit{{"conform/testdata/server/main.go", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n\tif FAULT && strings.HasSuffix(to, \"]\") {\n\t\treturn nil\n\t}\n"}}},
	"what looks like our domain is ours":         {"relay-twin relay-twin-utf8", []edit{{"conform/testdata/server/main.go", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n", "\tlocal, domain, _ := strings.Cut(to, \"@\")\n\tif FAULT && (strings.HasPrefix(domain, \"xn--\") || strings.ContainsFunc(domain, func(r rune) bool { return r > '~' })) {\n\t\treturn nil\n\t}\n"}}},
	"what is no address is somebody here":        {"sender-no-domain relay-two-ats relay-quoted-alone relay-percent-alone relay-bang-alone relay-dot", []edit{{"internal/address/address.go", "\treturn address, rest, Check(address)", "\tif FAULT && Check(address) != nil {\n\t\treturn \"bob@example.net\", rest, nil\n\t}\n\treturn address, rest, Check(address)"}}},
	"XCLIENT is taken from anybody":              {"relay-xclient", []edit{{"smtp/xclient.go", "if !c.trusted() {", "if !FAULT && !c.trusted() {"}}},
	"a message leaves its transaction open":      {"data-pipelined-next message-*", []edit{{"smtp/receive.go", "		c.reading(false)\n		c.reset()", "		if c.reading(false); !FAULT {\n\t\t\tc.reset()\n\t\t}"}}},
}

// words are what the faults are written with besides FAULT: what some server may take for the end of a message, and how
// often this was called.
const words = `
import (
	"os"
	"regexp"
)

var (
	fault     = os.Getenv("FAULT")
	lookalike = regexp.MustCompile("[\\r\\n][\\x00\\t ]*\\.[\\x00\\t ]*[\\r\\n]+")
	times     int
	said      string // the sender of the transaction
)

func again() int { times++; return times }
`

// seed writes copies of the sources with all faults in them, for go build -overlay.
func seed(t *testing.T) map[string]string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	// In order, because two faults may be put into the same place.
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		for _, e := range faults[name].edits {
			text, ok := texts[e.file]
			if !ok {
				b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.file)))
				if err != nil {
					t.Fatal(err)
				}
				text = string(b)
			}
			if !strings.Contains(text, e.old) {
				t.Fatalf("%s: %s does not hold %q: the fault has to be seeded anew", name, e.file, e.old)
			}
			texts[e.file] = strings.Replace(text, e.old, strings.ReplaceAll(e.new, "FAULT", `(fault == "`+name+`")`), 1)
		}
	}
	dir, replace := t.TempDir(), map[string]string{}
	write := func(file, text string) {
		name := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = name
	}
	for file, text := range texts {
		write(file, text)
		pkg, _, _ := strings.Cut(text[strings.Index(text, "\npackage ")+len("\npackage "):], "\n")
		write(filepath.ToSlash(filepath.Dir(file))+"/fault.go", "package "+pkg+"\n"+words)
	}
	return replace
}

// Who does not ask whether a server relays does not learn that it does.
func TestRelayFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays the whole suite for each fault")
	}
	program := build(t, seed(t))
	for name, f := range faults {
		if !strings.HasPrefix(f.cases, "relay-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, program, name)
			c.RelayTo = ""
			for r, err := range conform.Run(t.Context(), c) {
				if err != nil || r.Outcome == conform.Fail {
					t.Errorf("%s fails too: %s (%v)", r.Name, r.Detail, err)
				}
			}
		})
	}
}

// Each fault is found by all of its cases, and each case finds one.
func TestFaultsAreFound(t *testing.T) {
	program := build(t, seed(t))
	useful := map[string]bool{}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			c := start(t, program, name)
			c.Timeout, c.Only = 2*time.Second, strings.Fields(f.cases)
			found := map[string]bool{}
			// As a stranger too: some rules are about those alone.
			for _, user := range []string{c.User, ""} {
				c.User = user
				for r, err := range conform.Run(t.Context(), c) {
					if err != nil {
						t.Fatal(err)
					}
					found[r.Name] = found[r.Name] || r.Outcome == conform.Fail
				}
				c.Only = slices.DeleteFunc(slices.Collect(maps.Keys(found)), func(name string) bool { return found[name] })
				if len(c.Only) == 0 {
					break
				}
			}
			for _, name := range c.Only {
				t.Errorf("%s does not fail", name)
			}
			for name, ok := range found {
				useful[name] = useful[name] || ok
			}
		})
	}
	for _, c := range conform.Cases() {
		if !useful[c.Name] && !testing.Short() {
			t.Errorf("no fault makes %s fail", c.Name)
		}
	}
}
