package azure

import (
	"testing"

	"pgregory.net/rapid"
)

func TestBacklogDropsTheOldestWhenFull(t *testing.T) {
	memory := make([]byte, backlogBytes/3)
	rapid.Check(t, func(t *rapid.T) {
		var b backlog
		added, gone := 0, 0
		for range rapid.IntRange(1, 30).Draw(t, "items") {
			of := &fate{}
			dropped := b.add(item{memory[:rapid.SampledFrom([]int{10, backlogBytes / 8, backlogBytes / 3}).Draw(t, "bytes")], of})
			added++
			gone += len(dropped)
			if rapid.IntRange(0, 5).Draw(t, "send") == 0 {
				n := b.first(rapid.IntRange(1, 5).Draw(t, "most"), postBytes)
				if n == 0 && len(b.items) > 0 {
					t.Fatal("nothing to send of something")
				}
				items := b.take(n)
				if rapid.Bool().Draw(t, "again") {
					b.back(items)
				} else {
					gone += n
				}
			}
			bytes := 0
			for _, it := range b.items {
				bytes += len(it.line) + itemCost
			}
			if b.bytes != bytes || bytes > backlogBytes {
				t.Fatalf("got %d bytes, counted as %d", bytes, b.bytes)
			}
			if added != gone+len(b.items) {
				t.Fatalf("added %d, gone %d, waiting %d", added, gone, len(b.items))
			}
			if len(b.items) > 0 && b.items[len(b.items)-1].of == nil {
				t.Fatal("the newest item is gone")
			}
		}
	})
}

func TestPostsAreBounded(t *testing.T) {
	var b backlog
	for range 10 {
		b.add(item{line: make([]byte, 300)})
	}
	for _, c := range []struct{ most, bytes, want int }{{500, postBytes, 10}, {3, postBytes, 3}, {500, 903, 3}, {500, 902, 2}, {500, 10, 1}} {
		if got := b.first(c.most, c.bytes); got != c.want {
			t.Errorf("at most %d items and %d bytes: got %d, want %d", c.most, c.bytes, got, c.want)
		}
	}
}
