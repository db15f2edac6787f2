// Package storetest holds every store to one contract.
//
// A store's own tests call [TestInbox] with a function that opens it. What is
// tested is what package inbox says of its Store, and nothing of how a store
// does it.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
)

// An Inbox is an opened store of messages.
type Inbox struct {
	inbox.Store
	Close func() error
}

// TestInbox runs the contract of inbox.Store. open opens the store that lies at
// place, an empty directory of the test's own at first; opened there again after
// Close, it must hold what it held.
func TestInbox(t *testing.T, open func(t testing.TB, place string) Inbox) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s inbox.Store)
	}{
		{"Bytes", testBytes},
		{"Arrival", testArrival},
		{"Session", testSession},
		{"Unread message", testReadError},
		{"Cancelled", testCancelled},
		{"Order", testOrder},
		{"Pages", testPages},
		{"Index", testIndex},
		{"Find", testFind},
		{"Find, changed", testFindChanged},
		{"Find, nothing to look for", testFindNothing},
		{"Find, paged", testFindPages},
		{"Update", testUpdate},
		{"Update, many", testUpdateMany},
		{"Counts", testCounts},
		{"Delete", testDelete},
		{"DeleteAll", testDeleteAll},
		{"Open after delete", testOpenDeleted},
		{"Unknown ids", testUnknown},
		{"At once", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			c.test(t, s.Store)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	t.Run("Reopen", func(t *testing.T) {
		t.Parallel()
		testReopen(t, open)
	})
}

// sizes lie around every border that a store may reasonably draw.
var sizes = []int{0, 1, 100, 4095, 4096, 4097, 16384, 65535, 65536, 65537, 262144, 262145, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20}

// noise returns n octets of every value, NUL included, the same for one n.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// arrival returns one with the usual fields.
func arrival() *inbox.Arrival {
	return &inbox.Arrival{
		Received: time.UnixMilli(1_800_000_000_123),
		IP:       "192.0.2.7", Host: "client.example.com",
		Envelope: *smtp.NewEnvelope("ann@example.com", "bob@example.net"),
	}
}

// add adds a message and returns its id.
func add(t testing.TB, s inbox.Store, a *inbox.Arrival, msg io.Reader) string {
	t.Helper()
	id, err := s.Add(context.Background(), a, msg)
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	return id
}

// adds adds n small messages and returns their ids.
func adds(t testing.TB, s inbox.Store, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = add(t, s, arrival(), strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n", i)))
	}
	return ids
}

// read returns the bytes of a message.
func read(t testing.TB, s inbox.Store, id string) []byte {
	t.Helper()
	b, err := s.Open(context.Background(), id)
	if err != nil {
		t.Errorf("Open(%s): %v", id, err)
		return nil
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Errorf("reading %s: %v", id, err)
	}
	return got
}

// list returns the ids that a query finds.
func list(t testing.TB, s inbox.Store, q inbox.Query) (ids []string, page *inbox.Page) {
	t.Helper()
	page, err := s.List(context.Background(), q)
	if err != nil {
		t.Fatalf("List(%+v): %v", q, err)
	}
	for _, e := range page.Entries {
		ids = append(ids, e.ID)
	}
	return ids, page
}

// wantStats compares the counts.
func wantStats(t testing.TB, s inbox.Store, messages, unread int) {
	t.Helper()
	got, err := s.Stats(context.Background())
	var bytes int64
	ids, page := list(t, s, inbox.Query{Limit: inbox.MaxLimit})
	for i := range ids {
		bytes += page.Entries[i].Size
	}
	// What Index has been called for is what testIndex looks at.
	if want := (inbox.Stats{Messages: messages, Unread: unread, Bytes: bytes, Unindexed: got.Unindexed}); err != nil || got != want {
		t.Errorf("Stats() = %+v, %v; want %+v", got, err, want)
	}
}

// reversed returns the ids newest first, as List does.
func reversed(ids []string) []string {
	r := slices.Clone(ids)
	slices.Reverse(r)
	return r
}

// What goes in comes out, whatever its size and however its reader behaves.
func testBytes(t *testing.T, s inbox.Store) {
	for _, size := range sizes {
		want := noise(size)
		readers := map[string]io.Reader{
			"plain":    bytes.NewReader(want),
			"half":     iotest.HalfReader(bytes.NewReader(want)),
			"data+EOF": iotest.DataErrReader(bytes.NewReader(want)),
		}
		if size <= 70_000 {
			readers["one by one"] = iotest.OneByteReader(bytes.NewReader(want))
		}
		for name, r := range readers {
			a := arrival()
			// What the client says of the size is a hint, and may be a lie.
			a.Envelope.Options.Size = int64(rand.IntN(2 * (size + 1)))
			id := add(t, s, a, r)
			if got := read(t, s, id); !bytes.Equal(got, want) {
				t.Errorf("%d octets, %s: %d octets came back, or others", size, name, len(got))
			}
			if e, err := s.Entry(context.Background(), id); err != nil || e.Size != int64(size) {
				t.Errorf("%d octets, %s: Entry = %+v, %v", size, name, e, err)
			}
		}
	}
}

// All of an envelope comes back: quoting, options, a thousand recipients, none.
func testArrival(t *testing.T, s inbox.Store) {
	many := arrival()
	many.Envelope.To = nil
	for i := range 1000 {
		many.Envelope.To = append(many.Envelope.To, smtp.Recipient{Address: fmt.Sprintf("user%d@example.net", i)})
	}
	full := arrival()
	full.TLS, full.User, full.IP = "TLS 1.3", "ann\x00\xff", "2001:db8::1"
	full.Envelope = smtp.Envelope{
		From:    `"ann b"@exämple.com`,
		Options: smtp.MailOptions{Size: 12, Body: smtp.Body8BitMIME, UTF8: true, Return: smtp.ReturnFull, EnvelopeID: "x+y", Auth: "<>"},
		To: []smtp.Recipient{
			{Address: `"a,b;c"@example.com`, Options: smtp.RcptOptions{Notify: smtp.NotifyDelay | smtp.NotifyFailure, Original: "rfc822;x@example.com"}},
			{Address: "b@example.com"},
		},
	}
	null := arrival()
	null.Envelope.From = ""
	for _, want := range []*inbox.Arrival{arrival(), many, full, null, {Received: time.UnixMilli(0)}} {
		e, err := s.Entry(context.Background(), add(t, s, want, strings.NewReader("x")))
		if err != nil {
			t.Fatalf("Entry: %v", err)
		}
		if !e.Received.Equal(want.Received) {
			t.Errorf("received %v, want %v", e.Received, want.Received)
		}
		e.Received = want.Received
		if !reflect.DeepEqual(e.Arrival, *want) {
			t.Errorf("arrival is\n%+v, want\n%+v", e.Arrival, *want)
		}
		if !e.Unread || e.Tags != nil || e.Summary != nil {
			t.Errorf("a new entry is %+v; want it unread, without tags and summary", e)
		}
	}
}

// A session comes back with its message as it was, however long either is, and in a list its id alone.
func testSession(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	const head = "a1\tESMTPS\tTLS 1.3, X\t1795575694215589"
	sessions := []string{"", "a1", head, head + "\n<3 220 mx ready\n>5 EHLO x", head + strings.Repeat("\n<3 250 ok", 20_000)}
	for _, size := range []int{0, 100, 1 << 20, 2 << 20} {
		for _, session := range sessions {
			a := arrival()
			a.Session = session
			msg := noise(size)
			id := add(t, s, a, bytes.NewReader(msg))
			if e, err := s.Entry(ctx, id); err != nil || e.Session != session || e.Size != int64(size) {
				t.Fatalf("%d octets: a session of %d octets comes back as %.80q, %v; want %.80q", size, len(session), e.Session, err, session)
			}
			if got := read(t, s, id); !bytes.Equal(got, msg) {
				t.Errorf("%d octets with a session of %d: %d octets come back, or others", size, len(session), len(got))
			}
			page, err := s.List(ctx, inbox.Query{Limit: 1})
			if want, _, _ := strings.Cut(session, "\t"); err != nil || page.Entries[0].Session != want {
				t.Errorf("in a list the session is %.80q, %v; want %q", page.Entries[0].Session, err, want)
			}
		}
	}
}

// A message whose reader fails leaves nothing, at whatever size it fails.
func testReadError(t *testing.T, s inbox.Store) {
	broken := errors.New("the client went away")
	for _, size := range sizes {
		_, err := s.Add(context.Background(), arrival(), io.MultiReader(bytes.NewReader(noise(size)), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("%d octets and then an error: Add gives %v, want it to wrap %q", size, err, broken)
		}
	}
	wantStats(t, s, 0, 0)
}

// A context ends the wait for a message, never the keeping of a whole one.
func testCancelled(t *testing.T, s inbox.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Add(ctx, arrival(), strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Add with a cancelled context: %v", err)
	}
	wantStats(t, s, 0, 0)
	// Once it has been read, a message is not given up.
	ctx, cancel = context.WithCancel(context.Background())
	id, err := s.Add(ctx, arrival(), io.MultiReader(strings.NewReader("x"), cancelReader(cancel)))
	if err != nil {
		t.Fatalf("Add, cancelled when the message had been read: %v", err)
	}
	if got := read(t, s, id); string(got) != "x" {
		t.Errorf("it is %q, want x", got)
	}
}

// cancelReader is an end of the message at which a context ends too.
type cancelReader context.CancelFunc

func (c cancelReader) Read([]byte) (int, error) {
	c()
	return 0, io.EOF
}

// Writers, readers and deleters at once: what was acknowledged is seen at once,
// and in the end exactly what was kept is there.
func testConcurrent(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	const workers, each = 16, 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	kept := map[string]string{}
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				want := fmt.Sprintf("%d.%d %s", w, i, noise(rand.IntN(20_000)))
				id, err := s.Add(ctx, arrival(), strings.NewReader(want))
				if err != nil {
					t.Errorf("Add: %v", err)
					return
				}
				// What has been acknowledged is seen at once.
				if _, err := s.Entry(ctx, id); err != nil {
					t.Errorf("Entry right after Add: %v", err)
				}
				if i%5 == 4 {
					if n, err := s.Delete(ctx, id); n != 1 || err != nil {
						t.Errorf("Delete = %d, %v", n, err)
					}
					continue
				}
				mu.Lock()
				kept[id] = want
				mu.Unlock()
				if _, err := s.List(ctx, inbox.Query{Limit: 5}); err != nil {
					t.Errorf("List: %v", err)
				}
			}
		})
	}
	wg.Wait()
	ids, _ := list(t, s, inbox.Query{Limit: 1000})
	if len(ids) != len(kept) {
		t.Errorf("%d messages are listed, %d were kept", len(ids), len(kept))
	}
	for id, want := range kept {
		if got := read(t, s, id); string(got) != want {
			t.Errorf("%s is not what was added", id)
		}
	}
	wantStats(t, s, len(kept), len(kept))
}

// Closed and opened again it holds what it held.
func testReopen(t *testing.T, open func(t testing.TB, place string) Inbox) {
	ctx, place := context.Background(), t.TempDir()
	s := open(t, place)
	ids := adds(t, s, 3)
	large := add(t, s, arrival(), bytes.NewReader(noise(2<<20)))
	no := false
	if _, err := s.Update(ctx, inbox.Change{Unread: &no}, ids[0]); err != nil {
		t.Fatal(err)
	}
	indexAll(t, s, ids[:2], func(int) string { return "x" })
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if _, err := s.Add(ctx, arrival(), strings.NewReader("x")); err == nil {
		t.Error("Add to a closed store: no error")
	}
	s = open(t, place)
	defer s.Close()
	if got, _ := list(t, s, inbox.Query{}); !slices.Equal(got, append([]string{large}, reversed(ids)...)) {
		t.Errorf("after opening again: %v, want %v and %v", got, large, reversed(ids))
	}
	if got := read(t, s, large); !bytes.Equal(got, noise(2<<20)) {
		t.Error("the large message is not what it was")
	}
	if got := read(t, s, ids[1]); string(got) != "Subject: 1\r\n\r\n" {
		t.Errorf("a small message is %q", got)
	}
	if left, err := s.Unindexed(ctx, 10); err != nil || len(left) != 2 {
		t.Errorf("Unindexed = %d entries, %v; want 2", len(left), err)
	}
	wantStats(t, s, 4, 3)
	if next := adds(t, s, 1)[0]; next <= large {
		t.Errorf("the next id is %s, not greater than %s", next, large)
	}
}
