package main

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"

	"github.com/postrider/postrider/internal/wire"
)

// Dots: the encoding of a message between DATA and its end, RFC 5321, 4.5.2.

func measureDots(e effort) (table, error) {
	plain := message(1 << 20)
	stuffed := append(bytes.Clone(plain), ".\r\n"...)

	out := bufio.NewWriter(io.Discard)
	stuff := func() error {
		s := wire.NewStuffer(out)
		if _, err := s.Write(plain); err != nil {
			return err
		}
		return s.Close()
	}
	theirs := textproto.NewWriter(bufio.NewWriter(io.Discard))
	stuffTheirs := func() error {
		w := theirs.DotWriter()
		if _, err := w.Write(plain); err != nil {
			return err
		}
		return w.Close()
	}
	unstuff := func() error {
		var d wire.Data
		d.Start(wire.NewReader(bytes.NewReader(stuffed), nil), 50<<20, 64<<10)
		for d.Err() == nil {
			d.Next()
		}
		if d.Err() != io.EOF {
			return d.Err()
		}
		return nil
	}
	unstuffTheirs := func() error {
		r := textproto.NewReader(bufio.NewReader(bytes.NewReader(stuffed)))
		_, err := io.Copy(io.Discard, r.DotReader())
		return err
	}

	var t table
	for _, m := range []struct {
		what         string
		ours, theirs func() error
	}{
		{"stuff, 76-character lines", stuff, stuffTheirs},
		{"unstuff, 76-character lines", unstuff, unstuffTheirs},
	} {
		r, err := duel(e, m.what, "GB/s", loop(e, "postrider", len(plain), m.ours),
			peer{loop(e, "net/textproto", len(plain), m.theirs), 15, false})
		if err != nil {
			return nil, err
		}
		t = append(t, r)
	}
	return t, nil
}
