// Package transfer holds the content-transfer encodings of mail and the filters for its lines.
//
// Each filter is a [transform.Transformer], and so is reader, writer, chain and stateless form in one:
// transform.NewReader(r, t), transform.NewWriter(w, t), transform.Chain(t, u), t.Transform(dst, src, atEOF).
// The result does not depend on how the input is cut into pieces. A filter holds the state of one stream: it may be
// used again after Reset, and not by two goroutines at once. The zero value of each is ready.
//
// RFC 2045 (base64, quoted-printable), RFC 5321 (dots, line ends).
package transfer

import "golang.org/x/text/transform"

// Append runs the whole of src through t and appends the result to dst. It resets t first. Only an error of t's own is
// returned: destinations that are too small grow.
func Append(dst []byte, t transform.Transformer, src []byte) ([]byte, error) {
	t.Reset()
	for {
		if cap(dst)-len(dst) < 128 {
			dst = append(dst, make([]byte, len(src)+len(src)/2+256)...)[:len(dst)]
		}
		nDst, nSrc, err := t.Transform(dst[len(dst):cap(dst)], src, true)
		dst, src = dst[:len(dst)+nDst], src[nSrc:]
		if err == transform.ErrShortDst {
			// Growing by what is left keeps the number of steps logarithmic, whatever the filter's ratio is.
			dst = append(dst, make([]byte, len(src)+len(src)/2+256)...)[:len(dst)]
			continue
		}
		return dst, err
	}
}
