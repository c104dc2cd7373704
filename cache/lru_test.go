package cache

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLRUBehavesLikeAList compares with a list whose first is the latest.
func TestLRUBehavesLikeAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type item struct {
			key  int
			size int64
		}
		var list []item
		kept := map[int]int{} // values put and not yet gone
		const most = 80
		l := newLRU(most, func(key, v int) {
			if kept[key] != v {
				t.Fatalf("%d: %d is gone, want %d", key, v, kept[key])
			}
			delete(kept, key)
		})
		index := func(key int) int { return slices.IndexFunc(list, func(i item) bool { return i.key == key }) }
		remove := func(key int) {
			if i := index(key); i >= 0 {
				list = slices.Delete(list, i, i+1)
			}
		}
		for step := 1; step <= 200; step++ {
			key := rapid.IntRange(0, 30).Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0:
				i := index(key)
				if _, ok := l.get(key); ok != (i >= 0) {
					t.Fatalf("get(%d) is %v, want %v", key, ok, i >= 0)
				} else if ok {
					it := list[i]
					list = slices.Insert(slices.Delete(list, i, i+1), 0, it)
				}
			case 1:
				l.remove(key)
				remove(key)
			default:
				size := rapid.Int64Range(1, most/8+1).Draw(t, "size")
				l.remove(key)
				remove(key)
				if size <= most/8 {
					kept[key] = step
					list = slices.Insert(list, 0, item{key, size})
				}
				l.put(key, step, size)
			}
			var bytes int64
			for i, it := range list {
				if bytes += it.size; bytes > most {
					bytes -= it.size
					list = list[:i]
					break
				}
			}
			var keys, want []int
			for n := l.ring.next; n != &l.ring; n = n.next {
				keys = append(keys, n.key)
			}
			for _, it := range list {
				want = append(want, it.key)
			}
			if !slices.Equal(keys, want) || l.bytes != bytes || len(l.items) != len(list) || len(kept) != len(list) {
				t.Fatalf("keys %v, %d bytes, %d items, %d not gone; want %v, %d", keys, l.bytes, len(l.items), len(kept), want, bytes)
			}
		}
	})
}
