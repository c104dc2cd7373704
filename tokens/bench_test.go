package tokens

import (
	"strings"
	"testing"
)

func BenchmarkCount(b *testing.B) {
	const size = 1 << 20
	fill := func(s string) string { return strings.Repeat(s, size/len(s)+1)[:size] }
	for _, c := range []struct {
		name, text string
		bounded    int // bytes that the oracle can do; it takes the square of a piece
	}{
		{"english", fill(samples["english"]), 64 << 10},
		{"code", fill(samples["code"]), 64 << 10},
		{"cjk", strings.ToValidUTF8(fill(samples["cjk"]), ""), 64 << 10},
		{"oneletter", fill("a"), 4 << 10},
		{"emoji", fill("😀"), 4 << 10},
		{"randomletters", letters(size, "abcdefghijklmnopqrstuvwxyz"), 4 << 10},
		{"randombytes", letters(size, allBytes()), 4 << 10},
		{"spaces", fill(" "), 4 << 10},
		{"newlines", fill("\n"), 4 << 10},
		{"digits", fill("1234567890"), 4 << 10},
		{"alternations", fill("abababaabbab"), 4 << 10},
		{"randomcjk", randomRunes(size/3, 0x4e00, 0x9fff), 4 << 10},
		{"base64", letters(size, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), 4 << 10},
		{"randomrunes", randomRunes(size/4, 0, 0x2ffff), 4 << 10},
		{"randomascii", letters(size, allBytes()[:128]), 4 << 10},
	} {
		b.Run(c.name+"/ours", func(b *testing.B) {
			v := o200k()
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				v.count(c.text)
			}
		})
		b.Run(c.name+"/tiktoken", func(b *testing.B) {
			o, text := oracle()["o200k_base"], c.text[:c.bounded]
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				o.EncodeOrdinary(text)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		load("o200k_base.tiktoken", splitO200k)
	}
}
