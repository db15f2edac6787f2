package inbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/color"
	_ "image/gif" // the formats that thumbnails are made of
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"time"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"

	"github.com/postrider/postrider/mail"
)

// Pictures. A few octets can stand for gigabytes of pixels, so nothing is decoded
// before its head has told what that will cost. A picture that costs too much is
// shown small by the thumbnail that its camera put into it, and large by the
// browser, which decodes it in a process of its own; one that is larger than any
// camera's is not shown at all.

const (
	// maxDecoded bounds the memory of decoding a picture, of which there is one at
	// a time: 33 megapixels of PNG, 67 of JPEG.
	maxDecoded = 192 << 20
	// maxDecoding bounds the time: a progressive JPEG may go over its pixels
	// as often as its sender likes.
	maxDecoding = 10 * time.Second
	// maxShown is how many pixels a browser is given to show.
	maxShown = 100_000_000
	// maxPictureHead is how far into a file its size in pixels is looked for;
	// photographs have kilobytes of notes before it.
	maxPictureHead = 256 << 10
	maxPicture     = 32 << 20 // octets of a file that are decoded
	thumbSide      = 240      // pixels of a thumbnail's longer side: twice what is shown
)

// A raster is what the head of one says.
type raster struct {
	format      string // "png", "jpeg", "gif", "webp"
	size        image.Point
	cost        int64  // octets that decoding it takes, at the worst
	orientation int    // of a photograph (Exif 2.32, 4.6.4): 1 to 8; 0 if it does not say
	small       []byte // the JPEG that a camera put into it; nil if there is none
}

// rasterOf reads the head of a part that calls itself a picture and is one, by
// its bytes; nil if it is not.
func rasterOf(part *mail.Part) *raster {
	if !strings.HasPrefix(part.Type(), "image/") {
		return nil
	}
	r, err := part.Reader()
	if err != nil {
		return nil
	}
	defer r.Close()
	var head bytes.Buffer
	c, format, err := image.DecodeConfig(io.TeeReader(io.LimitReader(r, maxPictureHead), &head))
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return nil
	}
	p := &raster{format: format, size: image.Pt(c.Width, c.Height)}
	each := int64(4)
	switch c.ColorModel {
	case color.GrayModel:
		each = 1
	case color.Gray16Model:
		each = 2
	case color.YCbCrModel:
		each = 3
	case color.RGBA64Model, color.NRGBA64Model:
		each = 8
	}
	if _, ok := c.ColorModel.(color.Palette); ok {
		each = 1
	}
	switch format {
	case "png":
		each += (each + 1) / 2 // a pass of an interlaced one is decoded beside the whole
	case "webp":
		each *= 3 // without loss it is decoded once more for each transform
	case "jpeg":
		if p.readJPEG(head.Bytes()) {
			each += 4 * 4 // a progressive one keeps a coefficient of 4 octets for each sample
		}
	}
	p.cost = pixels(p.size) * each
	return p
}

// pixels is how many there are. No format has sides of more than 31 bits.
func pixels(size image.Point) int64 { return int64(size.X) * int64(size.Y) }

// shown tells whether a browser is given the picture.
func (p *raster) shown() bool { return p != nil && pixels(p.size) <= maxShown }

// thumbed tells whether there is a small picture of it.
func (p *raster) thumbed() bool { return p != nil && (p.cost <= maxDecoded || p.small != nil) }

// readJPEG goes through the segments before the frame (ITU T.81, B.2) for what
// the decoder does not tell.
func (p *raster) readJPEG(b []byte) (progressive bool) {
	for b = b[min(2, len(b)):]; len(b) >= 4 && b[0] == 0xff; {
		if b[1] == 0xff {
			b = b[1:] // any number of these may stand before a marker
			continue
		}
		if b[1] >= 0xc0 && b[1] <= 0xc2 { // the head of the frame
			return b[1] == 0xc2
		}
		n := 2 + int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return false
		}
		if tiff, ok := bytes.CutPrefix(b[4:max(4, n)], []byte("Exif\x00\x00")); ok && b[1] == 0xe1 {
			p.readExif(tiff)
		}
		b = b[n:]
	}
	return false
}

// readExif takes the orientation from the first directory and the thumbnail from
// the second (Exif 2.32, 4.6).
func (p *raster) readExif(tiff []byte) {
	var order binary.ByteOrder = binary.BigEndian
	if bytes.HasPrefix(tiff, []byte("II")) {
		order = binary.LittleEndian
	}
	// field returns a value of the directory at an offset, and where the next one is.
	field := func(at, tag int) (value, next int) {
		if at < 8 || at > len(tiff)-2 {
			return 0, 0
		}
		entries := tiff[at+2:]
		n := int(order.Uint16(tiff[at:]))
		if 12*n+4 > len(entries) {
			return 0, 0
		}
		for i := range n {
			if e := entries[12*i:]; int(order.Uint16(e)) == tag {
				value = int(order.Uint32(e[8:]))
				if order.Uint16(e[2:]) == 3 { // SHORT
					value = int(order.Uint16(e[8:]))
				}
			}
		}
		return value, int(order.Uint32(entries[12*n:]))
	}
	if len(tiff) < 8 {
		return
	}
	first := int(order.Uint32(tiff[4:]))
	turned, second := field(first, 0x0112)
	if turned >= 1 && turned <= 8 {
		p.orientation = turned
	}
	at, _ := field(second, 0x0201)
	n, _ := field(second, 0x0202)
	if at > 0 && n > 0 && at <= len(tiff) && n <= len(tiff)-at {
		p.small = tiff[at : at+n]
	}
}

// thumbnail makes a small picture: out of what the camera made where all of it
// would cost too much.
func (p *raster) thumbnail(ctx context.Context, part *mail.Part) (small []byte, media string, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxDecoding)
	defer cancel()
	var img image.Image
	if p.cost <= maxDecoded {
		r, err := part.Reader()
		if err != nil {
			return nil, "", err
		}
		defer r.Close()
		if img, _, err = image.Decode(&whileWanted{ctx, io.LimitReader(r, maxPicture)}); err != nil {
			return nil, "", err
		}
	} else {
		// The camera's is another picture, which may cost as much as it likes.
		c, err := jpeg.DecodeConfig(bytes.NewReader(p.small))
		if err != nil || pixels(image.Pt(c.Width, c.Height)) > 1<<20 {
			return nil, "", image.ErrFormat
		}
		if img, err = jpeg.Decode(&whileWanted{ctx, bytes.NewReader(p.small)}); err != nil {
			return nil, "", err
		}
	}
	scaled := upright(shrunk(img), p.orientation)
	var out bytes.Buffer
	if p.format == "jpeg" {
		err = jpeg.Encode(&out, scaled, &jpeg.Options{Quality: 80})
		return out.Bytes(), "image/jpeg", err
	}
	err = png.Encode(&out, scaled) // may be transparent
	return out.Bytes(), "image/png", err
}

// shrunk makes a picture fit into a thumbnail's square.
func shrunk(img image.Image) *image.RGBA {
	size := img.Bounds().Size()
	if side := max(size.X, size.Y); side > thumbSide {
		size.X, size.Y = max(1, size.X*thumbSide/side), max(1, size.Y*thumbSide/side)
	}
	scaled := image.NewRGBA(image.Rectangle{Max: size})
	draw.ApproxBiLinear.Scale(scaled, scaled.Bounds(), img, img.Bounds(), draw.Src, nil)
	return scaled
}

// upright turns a photograph as it was held, which browsers do with the large one.
func upright(img *image.RGBA, orientation int) *image.RGBA {
	if orientation < 2 {
		return img
	}
	last := img.Bounds().Max.Sub(image.Pt(1, 1))
	size := img.Bounds().Max
	if orientation >= 5 {
		size = image.Pt(size.Y, size.X)
	}
	out := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			from := image.Pt(x, y)
			if orientation >= 5 {
				from = image.Pt(y, x)
			}
			// Which of its sides are exchanged (Exif 2.32, 4.6.4, Orientation).
			if orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8 {
				from.X = last.X - from.X
			}
			if orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7 {
				from.Y = last.Y - from.Y
			}
			out.SetRGBA(x, y, img.RGBAAt(from.X, from.Y))
		}
	}
	return out
}

// A whileWanted can be read from until nobody waits any more: decoders know no
// context.
type whileWanted struct {
	ctx context.Context
	r   io.Reader
}

func (w *whileWanted) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(b)
}
