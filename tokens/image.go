package tokens

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"
)

// imageRule is how an image becomes tokens; the zero rule is that of models
// that see none. The rules and figures are those of "Calculating costs" in
// platform.openai.com/docs/guides/images-vision, and from gpt-5.2 on, of the
// calculator at openai.com/api/pricing.
type imageRule struct {
	base, tile int     // for the image, and for each 512 px square of it
	patch      float64 // or for each 32 px square of it
}

func tiles(base, tile int) imageRule     { return imageRule{base: base, tile: tile} }
func patches(perPatch float64) imageRule { return imageRule{patch: perPatch} }

// Sizes in pixels, and their number where it is one.
const (
	lowDetail  = 512  // an image of low detail is shrunk to this square
	tileSize   = 512  //
	tileFrame  = 2048 // an image in tiles is shrunk to this square,
	tileShort  = 768  // and its shorter side to this
	patchSize  = 32   //
	maxPatches = 1536 // an image is shrunk until it takes no more

	// unknownSide is the side of an image whose size cannot be known: the
	// square of the guide's first example.
	unknownSide = 1024

	// maxSide is more than any image has that a model takes.
	maxSide = 1 << 20
)

// tokens returns what an image of a width and height takes. Detail is low,
// high or auto, which is taken for high.
func (r imageRule) tokens(width, height int, detail string) int {
	w, h := float64(min(max(width, 1), maxSide)), float64(min(max(height, 1), maxSide))
	if r.patch > 0 {
		if detail == "low" {
			w, h = shrink(w, h, lowDetail/max(w, h))
		}
		n := math.Ceil(w/patchSize) * math.Ceil(h/patchSize)
		if n > maxPatches {
			scale := math.Sqrt(patchSize * patchSize * maxPatches / (w * h))
			across, down := w*scale/patchSize, h*scale/patchSize
			scale *= min(math.Floor(across)/across, math.Floor(down)/down)
			// Sides below one patch leave nothing to round down to.
			n = min(max(math.Ceil(w*scale/patchSize)*math.Ceil(h*scale/patchSize), 1), maxPatches)
		}
		return int(math.Ceil(n * r.patch))
	}
	if detail == "low" {
		return r.base
	}
	w, h = shrink(w, h, tileFrame/max(w, h))
	w, h = shrink(w, h, tileShort/min(w, h))
	return r.base + r.tile*int(math.Ceil(w/tileSize)*math.Ceil(h/tileSize))
}

// shrink scales two sides unless that would enlarge them.
func shrink(w, h, scale float64) (float64, float64) {
	if scale >= 1 {
		return w, h
	}
	return max(1, math.Round(w*scale)), max(1, math.Round(h*scale))
}

// imageSize returns the size that the image of a data URL says it has. It
// reports false for other URLs, and when the beginning of the image is of no
// format that models take.
func imageSize(url string) (width, height int, ok bool) {
	if len(url) < len("data:") || !strings.EqualFold(url[:len("data:")], "data:") {
		return 0, 0, false
	}
	comma := strings.IndexByte(url[:min(len(url), 256)], ',')
	if comma < 0 || !strings.HasSuffix(url[:comma], ";base64") {
		return 0, 0, false
	}
	image := encoded(url[comma+1:])
	var b [30]byte
	if !image.at(0, b[:]) {
		return 0, 0, false
	}
	big, little := binary.BigEndian, binary.LittleEndian
	switch head := string(b[:]); {
	case strings.HasPrefix(head, "\x89PNG\r\n\x1a\n"):
		width, height = int(big.Uint32(b[16:])), int(big.Uint32(b[20:]))
	case strings.HasPrefix(head, "GIF87a"), strings.HasPrefix(head, "GIF89a"):
		width, height = int(little.Uint16(b[6:])), int(little.Uint16(b[8:]))
	case strings.HasPrefix(head, "RIFF") && head[8:12] == "WEBP":
		switch head[12:16] {
		case "VP8 ":
			width, height = int(little.Uint16(b[26:])&0x3fff), int(little.Uint16(b[28:])&0x3fff)
		case "VP8L":
			size := little.Uint32(b[21:])
			width, height = int(size&0x3fff)+1, int(size>>14&0x3fff)+1
		case "VP8X":
			width = int(b[24]) | int(b[25])<<8 | int(b[26])<<16 + 1
			height = int(b[27]) | int(b[28])<<8 | int(b[29])<<16 + 1
		}
	case strings.HasPrefix(head, "\xff\xd8"):
		width, height = image.jpegSize()
	}
	return width, height, width > 0 && height > 0
}

// encoded is base64 that is read here and there, as the size of an image may
// stand behind much else.
type encoded string

// at decodes the bytes from i on into b.
func (e encoded) at(i int, b []byte) bool {
	const most = 30 // bytes that anybody asks for
	var text [(most + 4) / 3 * 4]byte
	var raw [len(text)]byte
	from, skip := i/3*4, i%3
	to := from + (skip+len(b)+2)/3*4
	if to > len(e) {
		return false
	}
	n, err := base64.StdEncoding.Decode(raw[:], text[:copy(text[:], e[from:to])])
	return err == nil && copy(b, raw[min(skip, n):n]) == len(b)
}

// jpegSize walks the segments of a JPEG to the frame.
func (e encoded) jpegSize() (width, height int) {
	// A photo has some ten segments before the frame, each of at most 64 kB.
	const most = 1000
	var b [9]byte
	for i, n := 2, 0; n < most && e.at(i, b[:]) && b[0] == 0xff; n++ {
		switch kind := b[1]; {
		case kind == 0xff: // a fill byte
			i++
		case kind >= 0xc0 && kind <= 0xcf && kind != 0xc4 && kind != 0xc8 && kind != 0xcc:
			return int(binary.BigEndian.Uint16(b[7:])), int(binary.BigEndian.Uint16(b[5:]))
		default:
			i += 2 + int(binary.BigEndian.Uint16(b[2:]))
		}
	}
	return 0, 0
}
