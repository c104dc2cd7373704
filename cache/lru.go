package cache

// lru keeps values up to a number of bytes, and forgets the one that was used
// longest ago. It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	most, bytes int64
	items       map[K]*node[K, V]
	ring        node[K, V]       // its next is the latest, its last the oldest
	gone        func(key K, v V) // if not nil, called for each value that leaves, replaced ones too
}

type node[K comparable, V any] struct {
	key        K
	value      V
	size       int64
	next, last *node[K, V]
}

func newLRU[K comparable, V any](most int64, gone func(K, V)) *lru[K, V] {
	l := &lru[K, V]{most: most, items: map[K]*node[K, V]{}, gone: gone}
	l.ring.next, l.ring.last = &l.ring, &l.ring
	return l
}

// get returns a value and makes it the latest.
func (l *lru[K, V]) get(key K) (v V, ok bool) {
	n, ok := l.items[key]
	if !ok {
		return v, false
	}
	if l.ring.next != n {
		n.unlink()
		l.link(n)
	}
	return n.value, true
}

// put keeps a value in place of the one with its key. One that would take more
// than an eighth of the room is not kept: it would push out too many others.
func (l *lru[K, V]) put(key K, v V, size int64) {
	l.remove(key)
	if size > l.most/8 {
		return
	}
	n := &node[K, V]{key: key, value: v, size: size}
	l.items[key] = n
	l.link(n)
	for l.bytes += size; l.bytes > l.most; {
		l.remove(l.ring.last.key)
	}
}

func (l *lru[K, V]) remove(key K) {
	n, ok := l.items[key]
	if !ok {
		return
	}
	n.unlink()
	delete(l.items, key)
	l.bytes -= n.size
	if l.gone != nil {
		l.gone(n.key, n.value)
	}
}

// removeIf removes the values for which f says so.
func (l *lru[K, V]) removeIf(f func(v V) bool) {
	for key, n := range l.items {
		if f(n.value) {
			l.remove(key)
		}
	}
}

func (l *lru[K, V]) link(n *node[K, V]) {
	n.last, n.next = &l.ring, l.ring.next
	n.next.last, l.ring.next = n, n
}

func (n *node[K, V]) unlink() { n.last.next, n.next.last = n.next, n.last }

func (l *lru[K, V]) has(key K) bool {
	_, ok := l.items[key]
	return ok
}
