package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	pngs "image/png"
	"testing"
)

func dataURL(image []byte) string {
	return "data:image/any;base64," + base64.StdEncoding.EncodeToString(image)
}

// png returns the beginning of an image, which is all that is read.
func png(width, height uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	b = binary.BigEndian.AppendUint32(b, width)
	return append(binary.BigEndian.AppendUint32(b, height), make([]byte, 20)...)
}

// The first rows are the guide's examples; those of 128 by 64 were charged.
func TestImagesCostWhatTheGuideSays(t *testing.T) {
	for _, c := range []struct {
		model         string
		width, height int
		detail        string
		want          int
	}{
		{"gpt-4o", 1024, 1024, "high", 765},
		{"gpt-4o", 2048, 4096, "high", 1105},
		{"gpt-4o", 4096, 8192, "low", 85},
		{"gpt-4.1-mini", 1024, 1024, "high", 1659},
		{"gpt-4.1-mini", 1800, 2400, "high", 2353},

		{"gpt-4o", 128, 64, "high", 255},
		{"gpt-4o", 128, 64, "low", 85},
		{"gpt-4o-mini", 128, 64, "low", 2833},
		{"gpt-4o-mini", 128, 64, "", 8500},
		{"o3", 128, 64, "high", 225},
		{"o3", 128, 64, "low", 75},
		{"o4-mini", 128, 64, "auto", 14},
		{"gpt-4.1-nano", 128, 64, "low", 20},

		{"gpt-4o", 512, 512, "auto", 255},
		{"gpt-4o", 513, 512, "auto", 425},
		{"gpt-5", 1024, 1024, "auto", 70 + 4*140},
		{"o4-mini", 1024, 1024, "low", 441}, // 16 by 16 patches
		{"o4-mini", 1, 1 << 40, "high", 2},
		{"o4-mini", 1 << 40, 1 << 40, "high", 2617}, // 39 by 39 patches
		{"gpt-4o", 1, 1 << 40, "high", 85 + 4*170},
		{"gpt-4o", 0, -1, "high", 255},
		{"gpt-4", 1024, 1024, "high", 0},
		{"unheard-of", 1024, 1024, "high", 765},
	} {
		if got := For(c.model).image.tokens(c.width, c.height, c.detail); got != c.want {
			t.Errorf("%s, %d x %d, %s: %d tokens, want %d", c.model, c.width, c.height, c.detail, got, c.want)
		}
	}
}

func TestTheSizeOfInlineImagesIsRead(t *testing.T) {
	picture := image.NewGray(image.Rect(0, 0, 321, 123))
	encoded := func(encode func(*bytes.Buffer) error) []byte {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	photo := encoded(func(b *bytes.Buffer) error { return jpeg.Encode(b, picture, nil) })
	segment := append([]byte{0xff, 0xe1, 0xff, 0xff}, make([]byte, 0xfffd)...) // as large as can be
	described := bytes.Join([][]byte{photo[:2], segment, segment, {0xff, 0xff}, photo[3:]}, nil)
	chunk := func(kind string, b ...byte) []byte {
		return append([]byte("RIFF\x00\x00\x00\x00WEBP"+kind+"\x00\x00\x00\x00"), append(b, make([]byte, 20)...)...)
	}
	for name, b := range map[string][]byte{
		"png":      encoded(func(b *bytes.Buffer) error { return pngs.Encode(b, picture) }),
		"gif":      encoded(func(b *bytes.Buffer) error { return gif.Encode(b, picture, nil) }),
		"jpeg":     photo,
		"photo":    described,
		"webp":     chunk("VP8 ", 0, 0, 0, 0x9d, 0x01, 0x2a, 65, 1, 123, 0),
		"lossless": chunk("VP8L", 0x2f, 0x40, 0x81, 0x1e, 0),
		"extended": chunk("VP8X", 0, 0, 0, 0, 64, 1, 0, 122, 0, 0),
	} {
		if w, h, ok := imageSize(dataURL(b)); w != 321 || h != 123 || !ok {
			t.Errorf("%s: %d x %d, %v", name, w, h, ok)
		}
	}
}

func TestWhatIsNoImageHasNoSize(t *testing.T) {
	jpegs := func(tail string) string { return dataURL(append([]byte("\xff\xd8"), tail...)) }
	for _, url := range []string{
		"", "data:", "data:image/png;base64,", "data:image/png,abc", "https://example.com/data:image/png;base64,AAAA",
		dataURL(png(0, 0)), dataURL([]byte("GIF89a")), dataURL(bytes.Repeat([]byte("text "), 20)),
		"data:image/png;base64,****************************************",
		jpegs("\xff\xe0\x00\x00" + string(make([]byte, 40))), jpegs(string(bytes.Repeat([]byte("\xff"), 5000))),
		jpegs(string(bytes.Repeat([]byte("\xff\xe0\x00\x02"), 5000))), "data:" + string(bytes.Repeat([]byte("x"), 500)) + ";base64,AAAA",
	} {
		if w, h, ok := imageSize(url); ok {
			t.Errorf("%.60q is %d x %d", url, w, h)
		}
	}
}
