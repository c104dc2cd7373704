package memory

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkExpand(b *testing.B) {
	for _, turns := range []int{1, 10, 100} {
		text := strings.Repeat("words of an ordinary turn ", 20)
		m := NewThreads(newFakeStore(), Options{}).For(Settings{App: "app"})
		c := &talk{t: b, m: m}
		var all []string
		for range turns {
			c.turn("a: "+text, "u: "+text)
			all = append(all, "u: "+text, "a: "+text)
		}
		all = append(all, "u: next")
		for name, messages := range map[string][]string{"new": l("u: next"), "all": all} {
			req := request(b, messages...)
			b.Run(fmt.Sprintf("%s/turns=%d", name, turns), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := m.Expand(b.Context(), c.id, Owner{}, req.Clone(), nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
