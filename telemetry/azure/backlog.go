package azure

import "slices"

// backlogBytes bounds what waits for the service: some ten seconds of a thousand
// requests a second, or hours of a quiet gateway.
const backlogBytes = 32 << 20

// itemCost is the memory that an item takes beside its line.
const itemCost = 64

// item is one envelope, as JSON.
type item struct {
	line []byte
	of   *fate // nil of a metric
}

// fate is what the items of an exchange share.
type fate struct{ lost bool }

// backlog is the items that wait, oldest first.
type backlog struct {
	items []item
	bytes int // of memory
}

// add appends an item, and returns the oldest when there are too many.
func (b *backlog) add(it item) (dropped []item) {
	b.items = append(b.items, it)
	b.bytes += len(it.line) + itemCost
	n := 0
	for over := b.bytes - backlogBytes; over > 0; n++ {
		over -= len(b.items[n].line) + itemCost
	}
	return b.take(n)
}

// first returns how many of the oldest items make a post.
func (b *backlog) first(most, bytes int) int {
	n, sum := 0, 0
	for n < min(most, len(b.items)) {
		sum += len(b.items[n].line) + 1 // a line feed
		if n > 0 && sum > bytes {
			break
		}
		n++
	}
	return n
}

// take removes the oldest items.
func (b *backlog) take(n int) []item {
	taken := slices.Clone(b.items[:n])
	for i, it := range taken {
		b.bytes -= len(it.line) + itemCost
		b.items[i] = item{}
	}
	if b.items = b.items[n:]; len(b.items) == 0 {
		b.items = nil
	}
	return taken
}

// back puts items before the others.
func (b *backlog) back(items []item) {
	for _, it := range items {
		b.bytes += len(it.line) + itemCost
	}
	b.items = slices.Concat(items, b.items)
}
