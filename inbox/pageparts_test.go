package inbox

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
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

// A picture is looked at, in memory that its size in pixels bounds.
func FuzzPicture(f *testing.F) {
	f.Add(Drawn(f, "png", 3, 3))
	f.Add(Drawn(f, "gif", 3, 3))
	f.Add(Drawn(f, "jpeg", 3, 3))
	f.Add(Bomb(f, 1<<20, 1<<20))
	f.Add([]byte("RIFF\x1a\x00\x00\x00WEBPVP8L\r\x00\x00\x00/\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		part := &mail.Part{Header: mail.Fields("Content-Type", "image/png"), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
		size, format := pictureHead(part)
		if format == "" {
			return
		}
		if size.X*size.Y > maxPixels {
			t.Fatalf("a picture of %v is decoded", size)
		}
		if size.X*size.Y > 1<<16 {
			return // many of these are slow
		}
		if small, media, err := thumbnail(part); err == nil && (len(small) == 0 || media == "") {
			t.Errorf("a thumbnail of %d octets, %q", len(small), media)
		}
	})
}
