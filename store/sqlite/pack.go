package sqlite

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Bodies as they lie in the database: the lines of the session and behind them the
// message, as one frame of zstd (RFC 8878). It is made by the session that waits
// anyway, and its time is paid back by the writer, who has fewer pages to write, sync
// and move. The session of one message looks like that of the next and so do fields,
// which is why there is a dictionary of both: mail of 1 KB is packed to a tenth with
// it, to a third without.

// maxLines is as long as the lines of a session may be to lie before a message;
// longer ones, which no server of ours lets come about, stay in the row.
const maxLines = share / 2

// What is shorter than this is packed without entropy coding (RFC 8878, 4), whose
// tables take as long to make as all the rest.
const packSmall = 2 << 10

// A packer makes frames and reads them. It may be used by all at once; as many as
// there are processors work at a time.
type packer struct {
	small, large *zstd.Encoder
	out          *zstd.Decoder
}

func newPacker() (*packer, error) {
	// No checksum: a frame lies in a page or two beside its row, and a disk that
	// changes octets is for SQLite to find. The window is the longest message that
	// comes here.
	options := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1 << 20),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderDictRaw(dictionaryID, []byte(dictionary))}
	large, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, err
	}
	small, err := zstd.NewWriter(nil, append(options, zstd.WithNoEntropyCompression(true))...)
	if err != nil {
		return nil, err
	}
	out, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(64<<20),
		zstd.WithDecoderDictRaw(dictionaryID, []byte(dictionary)))
	if err != nil {
		return nil, err
	}
	return &packer{small, large, out}, nil
}

// pack appends a frame with data in it to room.
func (p *packer) pack(data, room []byte) []byte {
	if len(data) < packSmall {
		return p.small.EncodeAll(data, room)
	}
	return p.large.EncodeAll(data, room)
}

// unpack returns what a row of body holds: the lines of the session and the message.
// begins is where the message begins; if it is below zero, data is the message as it
// came, which is how versions before the third kept it.
func (p *packer) unpack(data []byte, begins int64) (lines string, msg []byte, err error) {
	if begins < 0 {
		return "", data, nil
	}
	all, err := p.out.DecodeAll(data, nil)
	if err != nil {
		return "", nil, fmt.Errorf("%w: a message cannot be unpacked: %w", ErrCorrupt, err)
	}
	if begins > int64(len(all)) {
		return "", nil, fmt.Errorf("%w: a message begins at %d of %d octets", ErrCorrupt, begins, len(all))
	}
	return string(all[:begins]), all[begins:], nil
}

func (p *packer) close() {
	p.small.Close()
	p.large.Close()
	p.out.Close()
}
