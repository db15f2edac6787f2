package sqlite

import (
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Bodies as they lie in the database: the lines of the session and behind them the
// message, packed. What it takes is paid back by the writer, who has fewer pages to
// write, sync and move. The session of one message looks like that of the next and so
// do fields, which is why there is a dictionary of both: mail of 1 KB is packed to a
// tenth with it, to a third without.
//
// What is short is a block of S2, behind an octet that says so. It takes a sixth of the
// time of zstd, whose encoder begins each frame by copying a table of 256 KiB, and is a
// fifth longer. The writer makes it, as it needs 64 KiB of stack, which each session
// would keep. Anything else is a frame of zstd (RFC 8878), whose first octet is of its
// magic number; the session makes it, which waits anyway.

// maxLines is as long as the lines of a session may be to lie before a message;
// longer ones, which no server of ours lets come about, stay in the row.
const maxLines = share / 2

const (
	packSmall = 2 << 10 // what is shorter than this is S2
	isSmall   = 1       // the octet before it; a frame of zstd begins with 0x28
)

// A packer makes frames and reads them. It may be used by all at once; as many as
// there are processors work at a time. It is not closed: it has no goroutines, and
// zstd's decoder panics when it is closed while somebody reads.
type packer struct {
	small *s2.Dict
	large *zstd.Encoder
	out   *zstd.Decoder
}

func newPacker() (*packer, error) {
	// No checksum: a frame lies in a page or two beside its row, and a disk that
	// changes octets is for SQLite to find. Each encoder keeps its window: one as long as
	// the longest message that comes here would take a megabyte for each processor, and
	// what repeats farther apart than this are attachments, which is to say nothing.
	large, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(256<<10),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderDictRaw(dictionaryID, []byte(dictionary)))
	if err != nil {
		return nil, err
	}
	out, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(64<<20),
		zstd.WithDecoderDictRaw(dictionaryID, []byte(dictionary)))
	if err != nil {
		return nil, err
	}
	return &packer{s2.MakeDict([]byte(dictionary), nil), large, out}, nil
}

// pack appends to room what a row of body holds of data.
func (p *packer) pack(data, room []byte) []byte {
	if len(data) >= packSmall {
		return p.large.EncodeAll(data, room)
	}
	room = slices.Grow(append(room, isSmall), s2.MaxEncodedLen(len(data)))
	block := p.small.Encode(room[len(room):cap(room)], data)
	return room[:len(room)+len(block)]
}

// unpack returns what a row of body holds: the lines of the session and the message.
// begins is where the message begins; if it is below zero, data is the message as it
// came, which is how versions before the third kept it.
func (p *packer) unpack(data []byte, begins int64) (lines string, msg []byte, err error) {
	if begins < 0 {
		return "", data, nil
	}
	all, err := p.open(data)
	if err != nil {
		return "", nil, fmt.Errorf("%w: a message cannot be unpacked: %w", ErrCorrupt, err)
	}
	if begins > int64(len(all)) {
		return "", nil, fmt.Errorf("%w: a message begins at %d of %d octets", ErrCorrupt, begins, len(all))
	}
	return string(all[:begins]), all[begins:], nil
}

// open returns what was given to pack.
func (p *packer) open(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != isSmall {
		return p.out.DecodeAll(data, nil)
	}
	// What a damaged row says of its length is not believed.
	if n, err := s2.DecodedLen(data[1:]); err != nil || n >= packSmall {
		return nil, errors.Join(err, s2.ErrCorrupt)
	}
	return p.small.Decode(nil, data[1:])
}
