package mail

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Files and directories of messages: the mbox of RFC 4155 and its older kin, and the maildir of qmail.
//
// Three of the four kinds of mbox (rd, o, cl) are read alike. A message begins at a line "From " that looks like a separator:
// other lines that begin so are text, whoever forgot to quote them. ">From " loses one ">". Content-Length is not looked at:
// who writes a message can write it too, and with it hide the messages behind. Only cl2, which quotes nothing, has to be
// read by it.

// errNoMbox says what is missing.
var errNoMbox = errors.New("mail: no mbox: it does not begin with a line \"From \"")

// Mbox walks over the messages of an mbox, in one pass and constant memory. Each is read up to where the next one begins,
// without the line that separates them and its empty line; what is not read is passed over. A message is good until the
// next step. It also has the method Arrived() time.Time: when the line that separates them says that it was delivered, in
// UTC unless it names a zone (RFC 4155, A); the zero time if it does not say. An error, with a nil reader, is one of r's, or
// says that r holds something else; an empty file is an empty mbox.
func Mbox(r io.Reader) iter.Seq2[io.Reader, error] { return readMbox(r, false) }

// MboxCL2 is [Mbox] for the kind that goes by Content-Length and quotes no lines. It is for files whose program is known to
// write it, and to write over any Content-Length that a message came with. A message without the field, or that goes on behind
// its length, is read up to the next separator.
func MboxCL2(r io.Reader) iter.Seq2[io.Reader, error] { return readMbox(r, true) }

// readMbox is both.
func readMbox(r io.Reader, lengths bool) iter.Seq2[io.Reader, error] {
	return func(yield func(io.Reader, error) bool) {
		b := &mbox{r: bufio.NewReaderSize(r, windowSize), lengths: lengths}
		if !b.first() {
			if b.err != io.EOF {
				yield(nil, b.err)
			}
			return
		}
		for {
			m := &mboxMessage{b, b.arrived}
			b.message, b.begins, b.blank, b.ended, b.header, b.left = m, true, nil, false, lengths, 0
			if !yield(m, nil) {
				return
			}
			if b.pass(); b.err != nil && b.err != io.EOF {
				yield(nil, b.err)
				return
			}
			if !b.separated {
				return
			}
		}
	}
}

// An mbox is a file that is being read.
type mbox struct {
	r         *bufio.Reader
	message   *mboxMessage // the current one
	begins    bool         // the next octet begins a line
	blank     []byte       // an empty line that is held back: it may be the separator's
	out       []byte       // of the message, to be given
	ended     bool         // the message has
	separated bool         // by a separator: another one follows
	arrived   time.Time    // what the last separator says
	err       error        // io.EOF at the end

	lengths bool  // messages are read by their Content-Length, and nothing is quoted
	header  bool  // we are in the header, where that stands
	left    int64 // octets of the body that are to come, by it
}

// first reads the first separator. Empty lines may be before it.
func (b *mbox) first() bool {
	for {
		line, _ := b.line()
		switch {
		case b.err != nil && len(line) == 0:
			return false
		case isBlankLine(string(line)):
			continue
		}
		// QUIRK: editors on Windows put a byte order mark before it.
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
		if !bytes.HasPrefix(line, []byte("From ")) {
			b.err = errNoMbox
			return false
		}
		b.arrived, _ = readSeparator(line, true)
		return true
	}
}

// line reads a line, or a piece of one that is longer than the window.
func (b *mbox) line() (line []byte, begins bool) {
	begins = b.begins
	line, err := b.r.ReadSlice('\n')
	b.begins = err == nil
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
	case err == io.EOF:
		b.err = err
	case err != nil:
		b.err = fmt.Errorf("mail: reading an mbox: %w", err)
	}
	return line, begins
}

// step reads on, until there is something to give or the message has ended.
func (b *mbox) step() {
	for len(b.out) == 0 && !b.ended {
		if b.header || b.left > 0 {
			b.measured()
			continue
		}
		line, begins := b.line()
		arrived, separates := readSeparator(line, b.blank != nil)
		switch {
		case b.err != nil && len(line) == 0:
			b.ended, b.separated = true, false // an empty line at the end is the mbox's
			return
		case begins && separates:
			b.ended, b.separated, b.arrived = true, true, arrived
			return
		case begins && b.blank == nil && isBlankLine(string(line)):
			b.blank = bytes.Clone(line)
			continue
		}
		blank := b.blank
		b.blank = nil
		if begins && isBlankLine(string(line)) {
			b.out, b.blank = blank, bytes.Clone(line)
			return
		}
		if begins && !b.lengths && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line[:min(len(line), 100)], ">"), []byte("From ")) {
			line = line[1:]
		}
		b.out = line
		if len(blank) > 0 {
			b.out = slices.Concat(blank, line)
		}
	}
}

// measured gives a line of the header, or octets of the body as far as Content-Length goes.
func (b *mbox) measured() {
	if !b.header {
		n := int(min(b.left, windowSize))
		out, err := b.r.Peek(min(n, max(b.r.Buffered(), 1)))
		b.r.Discard(len(out)) // they are buffered
		b.out, b.left, b.begins = out, b.left-int64(len(out)), true
		if err != nil {
			b.left = 0 // the next line meets the error
		}
		return
	}
	line, begins := b.line()
	switch value, ok := cutPrefixFold(string(line[:min(len(line), 100)]), "Content-Length:"); {
	case b.err != nil && len(line) == 0:
		b.header, b.ended, b.separated = false, true, false
	case begins && isBlankLine(string(line)):
		b.header = false
	case begins && ok && b.left == 0:
		b.left, _ = strconv.ParseInt(trimSpace(value), 10, 64) // what is no number is none
		b.left = max(b.left, 0)
	}
	b.out = line
}

// pass goes to the end of the message.
func (b *mbox) pass() {
	for b.out = nil; !b.ended; b.out = nil {
		b.step()
	}
	b.message = nil
}

// readSeparator says whether a line begins a message, and its date: "From ", a sender, a date in the form of C's asctime, maybe more.
// QUIRK: senders have spaces ("ann at example.com", which archives write); Netscape wrote "From - " with or without a
// date, and Google's export has an identifier and no date. behind says that an empty line is before it, which RFC 4155
// wants and old files do not have.
func readSeparator(line []byte, behind bool) (time.Time, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("From "))
	if !ok || len(line) > 998 {
		return time.Time{}, false
	}
	words := strings.Fields(string(rest))
	if len(words) == 1 {
		return time.Time{}, words[0] == "-" || behind && strings.Contains(words[0], "@")
	}
	for i, word := range words {
		if len(word) >= 3 && strings.Contains("SunMonTueWedThuFriSat", word[:3]) && i+4 <= len(words) {
			if at, ok := parseDate(strings.Join(words[i:], " ")); ok {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// An mboxMessage is one message of an mbox.
type mboxMessage struct {
	box     *mbox
	arrived time.Time
}

// Arrived returns when the message was delivered, as Mbox says.
func (m *mboxMessage) Arrived() time.Time { return m.arrived }

// Read implements io.Reader.
func (m *mboxMessage) Read(p []byte) (int, error) {
	b := m.box
	if b.message != m {
		return 0, errors.New("mail: the message of the mbox has been passed")
	}
	b.step()
	if len(b.out) == 0 {
		return 0, cmp.Or(b.err, io.EOF)
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}

// Maildir walks over the messages of a maildir, those of cur and new, in the order in which they were delivered. A file is
// closed at the next step; of the names only those of one maildir are in memory. A message that another program has
// marked as read meanwhile is found under its new name; one that is gone is passed over. An error, with a nil file, ends
// the walk.
func Maildir(fsys fs.FS) iter.Seq2[fs.File, error] {
	return func(yield func(fs.File, error) bool) {
		names, err := maildirNames(fsys)
		if err != nil {
			yield(nil, fmt.Errorf("mail: no maildir: %w", err))
			return
		}
		for _, name := range names {
			f, err := openMoved(fsys, name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				yield(nil, fmt.Errorf("mail: reading a maildir: %w", err))
				return
			}
			ok := yield(f, nil)
			f.Close()
			if !ok {
				return
			}
		}
	}
}

// maildirNames gives the paths of all messages, in the order of their deliveries.
func maildirNames(fsys fs.FS) ([]string, error) {
	var names []string
	for _, dir := range []string{"cur", "new"} {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				names = append(names, dir+"/"+e.Name())
			}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		a, b = path.Base(a), path.Base(b)
		second, micro := deliveryTime(a)
		otherSecond, otherMicro := deliveryTime(b)
		return cmp.Or(cmp.Compare(second, otherSecond), cmp.Compare(micro, otherMicro), strings.Compare(a, b))
	})
	return names, nil
}

// deliveryTime is what a name in a maildir tells: it begins with the second, and many go on with the microseconds of it.
//
// QUIRK: Dovecot and others write these without leading zeros: M7 is before M12.
func deliveryTime(name string) (second, micro int) {
	at, rest, _ := strings.Cut(name, ".")
	second, _ = strconv.Atoi(at) // 0: the name is of some other kind
	if digits, ok := strings.CutPrefix(rest, "M"); ok {
		end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
		micro, _ = strconv.Atoi(digits[:max(end, 0)])
	}
	return second, micro
}

// openMoved opens a message; if it has moved, which marking it as read does, under the name that it has in cur.
func openMoved(fsys fs.FS, name string) (fs.File, error) {
	f, err := fsys.Open(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	unique, _, _ := strings.Cut(path.Base(name), ":") // what is behind the colon are flags
	entries, readErr := fs.ReadDir(fsys, "cur")
	if readErr != nil {
		return nil, readErr
	}
	for _, e := range entries {
		if now, _, _ := strings.Cut(e.Name(), ":"); now == unique {
			return fsys.Open("cur/" + e.Name())
		}
	}
	return nil, err
}
