package inbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/postrider/postrider/mail"
)

// Drawn returns a picture in a format.
func Drawn(t testing.TB, format string, w, h int) []byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.Black, color.White})
	var b bytes.Buffer
	err := map[string]func() error{
		"png": func() error { return png.Encode(&b, img) }, "gif": func() error { return gif.Encode(&b, img, nil) },
		"jpeg": func() error { return jpeg.Encode(&b, img, nil) },
	}[format]()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Bomb is a PNG of some hundred octets that claims to be that large.
func Bomb(t testing.TB, w, h uint32) []byte {
	b := Drawn(t, "png", 1, 1)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// Photo is a JPEG as cameras make them: with an orientation and a small picture
// in its notes, in either order of octets. What it says of its size is not true.
func Photo(t testing.TB, w, h, orientation uint16, order binary.AppendByteOrder) []byte {
	b, small := Drawn(t, "jpeg", 8, 8), Drawn(t, "jpeg", 160, 120)
	frame := bytes.Index(b, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b[frame+5:], h)
	binary.BigEndian.PutUint16(b[frame+7:], w)
	tiff := []byte("MM\x00*")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		tiff = []byte("II*\x00")
	}
	entry := func(b []byte, tag, kind uint16, value uint32) []byte {
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, tag), kind), 1)
		if kind == 3 {
			return order.AppendUint16(order.AppendUint16(b, uint16(value)), 0)
		}
		return order.AppendUint32(b, value)
	}
	tiff = order.AppendUint16(order.AppendUint32(tiff, 8), 2)
	tiff = entry(tiff, 0x0100, 4, 7) // a field that nobody asks for
	tiff = entry(tiff, 0x0112, 3, uint32(orientation))
	tiff = order.AppendUint32(tiff, 38)
	tiff = entry(entry(order.AppendUint16(tiff, 2), 0x0201, 4, 68), 0x0202, 4, uint32(len(small)))
	tiff = append(order.AppendUint32(tiff, 0), small...)
	notes := append([]byte("Exif\x00\x00"), tiff...)
	segment := append(binary.BigEndian.AppendUint16([]byte{0xff, 0xff, 0xe1}, uint16(2+len(notes))), notes...)
	return append(append(b[:2:2], segment...), b[2:]...)
}

// picturePart makes a part of a message of it.
func picturePart(b []byte) *mail.Part {
	return &mail.Part{Header: mail.Fields("Content-Type", "image/png"), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// What is said of the memory that decoding takes is never too little, or the
// bound would be none.
func TestRasterCost(t *testing.T) {
	r := image.Rect(0, 0, 600, 400)
	progressive, err := os.ReadFile("testdata/progressive.jpg")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"progressive": progressive, "palette": Drawn(t, "png", 600, 400), "gif": Drawn(t, "gif", 600, 400), "jpeg": Drawn(t, "jpeg", 600, 400)}
	for name, img := range map[string]image.Image{"gray": image.NewGray(r), "gray16": image.NewGray16(r), "nrgba": image.NewNRGBA(r), "nrgba64": image.NewNRGBA64(r)} {
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		files[name] = b.Bytes()
	}
	for name, b := range files {
		part := picturePart(b)
		p := rasterOf(part)
		if p == nil || p.size != image.Pt(600, 400) {
			t.Fatalf("%s: is read as %+v", name, p)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := image.Decode(bytes.NewReader(b))
		runtime.ReadMemStats(&after)
		// Tables and buffers that do not grow with the picture come on top.
		if took := int64(after.TotalAlloc-before.TotalAlloc) - 256<<10; err != nil || took > p.cost {
			t.Errorf("%s: decoding took %d octets, %v; want at most the %d that were foretold", name, took, err, p.cost)
		}
	}
}

// A picture that costs too much is shown by what its camera made of it.
func TestRasterPhoto(t *testing.T) {
	for _, c := range []struct {
		w, h, orientation uint16
		order             binary.AppendByteOrder
		size              image.Point // of the thumbnail
		shown             bool
	}{
		{9000, 8000, 1, binary.BigEndian, image.Pt(160, 120), true}, {9000, 8000, 6, binary.LittleEndian, image.Pt(120, 160), true},
		{9000, 8000, 9, binary.LittleEndian, image.Pt(160, 120), true}, {12000, 9000, 8, binary.BigEndian, image.Pt(120, 160), false},
	} {
		part := picturePart(Photo(t, c.w, c.h, c.orientation, c.order))
		p := rasterOf(part)
		if !p.thumbed() || p.shown() != c.shown || p.cost <= maxDecoded {
			t.Fatalf("%+v: thumbed %v, shown %v, cost %d", c, p.thumbed(), p.shown(), p.cost)
		}
		b, media, err := p.thumbnail(t.Context(), part)
		if err != nil || media != "image/jpeg" {
			t.Fatalf("%+v: %s, %v", c, media, err)
		}
		if img, err := jpeg.Decode(bytes.NewReader(b)); err != nil || img.Bounds().Max != c.size {
			t.Errorf("%+v: the thumbnail is %v, %v; want %v", c, img.Bounds().Max, err, c.size)
		}
	}
	// A small picture that is large is not decoded either.
	b := Photo(t, 9000, 8000, 1, binary.BigEndian)
	frame := bytes.Index(b, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b[frame+5:], 60000)
	if p := rasterOf(picturePart(b)); !p.thumbed() {
		t.Error("the small picture was not found")
	} else if _, _, err := p.thumbnail(t.Context(), picturePart(b)); err == nil {
		t.Error("a small picture of 60,000 lines is decoded")
	}
}

// A thumbnail that is said to lie behind the notes is none.
func TestRasterPhotoLies(t *testing.T) {
	b := Photo(t, 9000, 8000, 1, binary.BigEndian)
	at := bytes.Index(b, []byte{2, 1, 0, 4, 0, 0, 0, 1})
	binary.BigEndian.PutUint32(b[at+8:], 0xffffff)
	if p := rasterOf(picturePart(b)); p == nil || p.thumbed() {
		t.Errorf("it is read as %+v, want a picture without a small one", p)
	}
}

// Each orientation has its own place for the corner that is stored first (Exif
// 2.32, 4.6.4).
func TestUpright(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 3, 2))
	img.Set(0, 0, color.White)
	img.Set(1, 0, color.RGBA{255, 0, 0, 255}) // beside it
	for orientation, want := range [][2]image.Point{
		1: {{0, 0}, {1, 0}}, 2: {{2, 0}, {1, 0}}, 3: {{2, 1}, {1, 1}}, 4: {{0, 1}, {1, 1}},
		5: {{0, 0}, {0, 1}}, 6: {{1, 0}, {1, 1}}, 7: {{1, 2}, {1, 1}}, 8: {{0, 2}, {0, 1}},
	} {
		got := upright(img, orientation)
		if orientation == 0 {
			continue // it does not say
		}
		if got.RGBAAt(want[0].X, want[0].Y) != (color.RGBA{255, 255, 255, 255}) || got.RGBAAt(want[1].X, want[1].Y) != (color.RGBA{255, 0, 0, 255}) {
			t.Errorf("orientation %d: %v, want the first corner at %v", orientation, got, want)
		}
	}
}

// Nobody decodes for a reader who has gone.
func TestThumbnailUnwanted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	part := picturePart(Drawn(t, "png", 100, 100))
	if _, _, err := rasterOf(part).thumbnail(ctx, part); err == nil {
		t.Error("a thumbnail is made for nobody")
	}
}

// A picture is looked at, in memory that its size in pixels bounds.
func FuzzPicture(f *testing.F) {
	f.Add(Drawn(f, "png", 3, 3))
	f.Add(Drawn(f, "gif", 3, 3))
	f.Add(Drawn(f, "jpeg", 3, 3))
	f.Add(Photo(f, 9000, 8000, 6, binary.LittleEndian))
	f.Add(Photo(f, 9000, 8000, 6, binary.BigEndian))
	f.Add(Bomb(f, 1<<20, 1<<20))
	f.Add([]byte("RIFF\x1a\x00\x00\x00WEBPVP8L\r\x00\x00\x00/\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		part := picturePart(b)
		p := rasterOf(part)
		if p == nil || p.small == nil && p.cost > 1<<20 {
			return // many of these are slow
		}
		if p.cost < pixels(p.size) {
			t.Fatalf("a picture of %v costs %d octets", p.size, p.cost)
		}
		if small, media, err := p.thumbnail(t.Context(), part); err == nil && (len(small) == 0 || media == "") {
			t.Errorf("a thumbnail of %d octets, %q", len(small), media)
		}
	})
}
