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

// What the suite is worth: a copy of our server with a fault in it, one of many,
// must fail. All faults are built into one program, which has the one that FAULT
// names.

// An edit replaces text that stands once in a file; FAULT in it becomes the test
// whether the fault is the one that is wanted.
type edit struct{ file, old, new string }

// A fault is found by one of the cases of that name.
type fault struct {
	cases string
	edits []edit
}

var faults = map[string]fault{
	"LF ends a line of a message": {"smuggle-*", []edit{
		{"internal/wire/lines.go", "if i <= 0 || b[r.end+i-1] != '\\r' {", "if i < 0 || !FAULT && (i == 0 || b[r.end+i-1] != '\\r') {"},
		{"internal/wire/data.go", "case !clean, !ended", "case !clean && !FAULT, !ended"},
	}},
	"a dot and LF end a message": {"smuggle-*", []edit{{"internal/wire/data.go", "case b[0] != '.':\n", "case b[0] != '.':\n\tcase FAULT && len(b) > 1 && b[1] == '\\n':\n\t\td.src.Discard(2)\n\t\td.err = io.EOF\n\t\treturn false\n"}}},
	"a dot is lost": {"dot-*", []edit{{"internal/wire/data.go", "case b[1] != '\\r':\n\t\td.src.Discard(1)",
		"case b[1] != '\\r':\n\t\td.src.Discard(1)\n\t\tif FAULT && b[1] == '.' {\n\t\t\td.src.Discard(1)\n\t\t}"}}},
	"dots are left stuffed":                        {"dot-*", []edit{{"internal/wire/data.go", "case b[1] != '\\r':\n\t\td.src.Discard(1)", "case b[1] != '\\r':\n\t\tif !FAULT {\n\t\t\td.src.Discard(1)\n\t\t}"}}},
	"half a message is kept":                       {"cut-*", []edit{{"internal/wire/data.go", "d.err = io.ErrUnexpectedEOF", "if d.err = io.ErrUnexpectedEOF; FAULT {\n\t\t\td.err = io.EOF\n\t\t}"}}},
	"the eighth bit is cut off":                    {"data-*", []edit{{"internal/wire/data.go", "	d.src.Discard(end)\n	return b[:end:end]\n}", "	for i := range b[:end] {\n\t\tif FAULT {\n\t\t\tb[i] &= 0x7f\n\t\t}\n\t}\n	d.src.Discard(end)\n	return b[:end:end]\n}"}}},
	"half a chunk is kept":                         {"cut-chunk*", []edit{{"smtp/bdat.go", "\t\t\t\tk.err = io.ErrUnexpectedEOF\n\t\t\t}\n\t\t\treturn nil", "\t\t\t\tif k.err = io.ErrUnexpectedEOF; FAULT {\n\t\t\t\t\tk.err = io.EOF\n\t\t\t\t}\n\t\t\t}\n\t\t\treturn nil"}}},
	"a message over the limit goes on as commands": {"size-*", []edit{{"smtp/receive.go", "case errors.Is(end, wire.ErrTooBig):", "case FAULT && errors.Is(end, wire.ErrTooBig):\n\t\tc.refuse(&Error{Code: 552, Text: \"too big\"})\n\tcase errors.Is(end, wire.ErrTooBig):"}}},
	"what follows STARTTLS is run inside TLS": {"starttls-injected*", []edit{
		{"smtp/command.go", "case c.rd.Buffered() > 0:\n\t\tc.giveUp", "case c.rd.Buffered() > 0 && !FAULT:\n\t\tc.giveUp"},
		{"internal/wire/reader.go", "	r.Release()\n	r.src, r.r", "	if FAULT {\n\t\tr.src = src\n\t\treturn\n\t}\n	r.Release()\n	r.src, r.r"},
	}},
	"EHLO from before TLS counts":  {"starttls-*", []edit{{"smtp/command.go", "c.hello, c.esmtp, c.user = \"\", false, \"\"", "if !FAULT {\n\t\tc.hello, c.esmtp, c.user = \"\", false, \"\"\n\t}"}}},
	"RSET forgets nothing":         {"rset-*", []edit{{"smtp/command.go", "func (c *Conn) rset(string) {\n\tc.reset()", "func (c *Conn) rset(string) {\n\tif !FAULT {\n\t\tc.reset()\n\t}"}}},
	"EHLO forgets nothing":         {"ehlo-*", []edit{{"smtp/command.go", "	c.reset()\n	c.mu.Lock()", "	if !FAULT {\n\t\tc.reset()\n\t}\n	c.mu.Lock()"}}},
	"DATA needs no recipient":      {"data-*", []edit{{"smtp/command.go", "case v.need&inRcpt != 0 &&", "case !FAULT && v.need&inRcpt != 0 &&"}}},
	"MAIL may be nested":           {"mail-*", []edit{{"smtp/command.go", "case v.need&noMail != 0 &&", "case !FAULT && v.need&noMail != 0 &&"}}},
	"the null path is a recipient": {"rcpt-*", []edit{{"smtp/command.go", "case to == \"\":", "case !FAULT && to == \"\":"}}},
	"addresses hold control characters": {"sender-*", []edit{
		{"internal/address/address.go", "case r < ' ' || r == 0x7f || r", "case !FAULT && (r < ' ' || r == 0x7f) || r"},
		{"smtp/command.go", "case hasControl(line):", "case !FAULT && hasControl(line):"},
	}},
	"the size that is said is not heard":     {"size-*", []edit{{"smtp/command.go", "case t.opts.Size > c.server.maxSize():", "case !FAULT && t.opts.Size > c.server.maxSize():"}}},
	"parameters may be repeated":             {"size-*", []edit{{"smtp/param.go", "case seen&(1<<row) != 0:", "case !FAULT && seen&(1<<row) != 0:"}}},
	"xtext decodes line ends":                {"orcpt-*", []edit{{"internal/wire/xtext.go", "if c < ' ' || c == 0x7f {", "if !FAULT && (c < ' ' || c == 0x7f) {"}}},
	"a refused chunk is run":                 {"bdat-*", []edit{{"smtp/bdat.go", "case !c.skip(size):", "case !FAULT && !c.skip(size):"}}},
	"a chunk of unknown size is one of none": {"bdat-size-*", []edit{{"smtp/bdat.go", "	if digits == \"\" ||", "	if FAULT {\n\t\tsize, _ := strconv.ParseInt(digits, 0, 64)\n\t\treturn max(size, 0), more, true\n\t}\n	if digits == \"\" ||"}}},
	"RSET between chunks delivers":           {"bdat-*", []edit{{"smtp/bdat.go", "		c.pending, k.err = line, errAborted\n		return false", "		if c.pending, k.err = line, errAborted; FAULT {\n\t\t\tk.err = io.EOF\n\t\t}\n		return false"}}},
	"every password is right":                {"auth-*", []edit{{"smtp/auth.go", "	default:\n		c.authFailed(err)", "	case FAULT:\n\t\tc.say(235, \"2.7.0\", \"ok\")\n	default:\n		c.authFailed(err)"}}},
	"passwords are taken in clear":           {"auth-*", []edit{{"smtp/auth.go", "case c.tls == nil && !c.server.AllowInsecureAuth:", "case !FAULT && c.tls == nil && !c.server.AllowInsecureAuth:"}}},
	"a long line is several":                 {"line-*", []edit{{"internal/wire/reader.go", "	for skipped := 0;", "	if FAULT {\n\t\tr.r = r.w\n\t\treturn ErrTooLong\n\t}\n	for skipped := 0;"}}},
	"commands may end in LF":                 {"line-*", []edit{{"internal/wire/reader.go", "			// The first CR must be", "			if FAULT {\n\t\t\t\tr.r += end + 1\n\t\t\t\treturn bytes.TrimRight(b[:end], \"\\r\"), nil\n\t\t\t}\n			// The first CR must be"}}},
	"HTTP is talked to":                      {"http-*", []edit{{"smtp/command.go", "case notSMTP(name, arg):", "case !FAULT && notSMTP(name, arg):"}}},
	"replies lack their enhanced codes":      {"enhanced-*", []edit{{"smtp/conn.go", "		if enhanced != \"\" {", "		if enhanced != \"\" && !FAULT {"}}},
	"a message may go in circles":            {"data-*", []edit{{"smtp/hops.go", "return h.seen > h.most", "return !FAULT && h.seen > h.most"}}},
	"a batch is cut short":                   {"noop-*", []edit{{"smtp/query.go", "func (c *Conn) noop(string) {", "func (c *Conn) noop(string) {\n\tif FAULT {\n\t\tc.rd.Discard(c.rd.Buffered())\n\t}\n"}}},
	"QUIT ends nothing":                      {"quit*", []edit{{"smtp/command.go", "c.done, c.why = true, \"QUIT\"", "c.done, c.why = !FAULT, \"QUIT\""}}},
	// Found by the cases about relaying, and by no others: see TestRelayFaults.
	"a domain that ends like ours is ours":  {"relay-*", []edit{{"conform/testdata/server/main.go", "case to == \"postmaster\"", "case FAULT && strings.HasSuffix(domain, \"example.net\") && domain != \"example.net\" || to == \"postmaster\""}}},
	"a percent sign leads elsewhere":        {"relay-*", []edit{{"conform/testdata/server/main.go", "case domain != \"example.net\":", "case FAULT && strings.Contains(local, \"%\"):\n\t\treturn nil\n\tcase domain != \"example.net\":"}}},
	"a source route is asked for its host":  {"relay-*", []edit{{"internal/address/address.go", "		if body, err = skipRoute(body); err != nil {", "		if FAULT {\n\t\t\tbody = \"bob\" + body[:max(0, strings.IndexAny(body, \",:\"))] + \">\"\n\t\t} else if body, err = skipRoute(body); err != nil {"}}},
	"XCLIENT is taken from anybody":         {"relay-*", []edit{{"smtp/xclient.go", "if !c.trusted() {", "if !FAULT && !c.trusted() {"}}},
	"a message leaves its transaction open": {"message-*", []edit{{"smtp/receive.go", "		c.reading(false)\n		c.reset()", "		if c.reading(false); !FAULT {\n\t\t\tc.reset()\n\t\t}"}}},
}

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
		write(filepath.ToSlash(filepath.Dir(file))+"/fault.go", "package "+pkg+"\n\nimport \"os\"\n\nvar fault = os.Getenv(\"FAULT\")\n")
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
		if f.cases != "relay-*" {
			continue
		}
		c := start(t, program, name)
		c.RelayTo = ""
		for r, err := range conform.Run(t.Context(), c) {
			if err != nil || r.Outcome == conform.Fail {
				t.Errorf("%s: %s fails too: %s (%v)", name, r.Name, r.Detail, err)
			}
		}
	}
}

func TestFaultsAreFound(t *testing.T) {
	if len(faults) < 20 {
		t.Fatalf("got %d faults, want at least 20", len(faults))
	}
	program := build(t, seed(t))
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			c := start(t, program, name)
			c.Timeout, c.Only = 2*time.Second, []string{f.cases}
			for r, err := range conform.Run(t.Context(), c) {
				if err != nil {
					t.Fatal(err)
				}
				if r.Outcome == conform.Fail {
					t.Logf("%s: %s", r.Name, r.Detail)
					return
				}
			}
			t.Error("no case fails")
		})
	}
}
