package tokens

import "math/bits"

// window is the memory for merging some bytes when they are too many to look
// at each pair for each merge.
type window struct {
	tree       []uint64 // the least key of each range of pairs
	tokens     []uint32 // the token that begins at an index
	next, prev []int32  // where its neighbours begin
}

// merge returns how many parts s has; it has some. next[0] is then the end of
// the first, next of that the end of the second. Each merge takes the
// logarithm of the length.
func (w *window) merge(v *vocabulary, s string) int {
	// The leaves of the tree are the keys of the pairs; what is above two nodes
	// is the lesser of them.
	const last = none << 32
	n := len(s)
	leaves := 1 << bits.Len(uint(n-1))
	if len(w.tree) < 2*leaves {
		w.tree, w.tokens = make([]uint64, 2*leaves), make([]uint32, leaves)
		w.next, w.prev = make([]int32, leaves+1), make([]int32, leaves+1)
	}
	tree := w.tree[:2*leaves]
	for i := range n {
		w.tokens[i], w.next[i], w.prev[i] = v.bytes[s[i]], int32(i+1), int32(i-1)
		if i+1 < n {
			tree[leaves+i] = uint64(v.couples[int(s[i])<<8|int(s[i+1])])<<32 | uint64(i)
		}
	}
	for i := n - 1; i < leaves; i++ {
		tree[leaves+i] = last
	}
	for i := leaves - 1; i > 0; i-- {
		tree[i] = min(tree[2*i], tree[2*i+1])
	}
	left := n
	for ; tree[1] < last; left-- {
		at, token := int(uint32(tree[1])), uint32(tree[1]>>32)
		gone := int(w.next[at])
		end := int(w.next[gone])
		w.tokens[at], w.next[at] = token, int32(end)
		key := uint64(last)
		if end < n {
			w.prev[end] = int32(at)
			key = uint64(v.merged(token, w.tokens[end]))<<32 | uint64(at)
		}
		if gone^at == 1 { // then what is above them is the same
			tree[leaves+gone] = last
		} else {
			set(tree, gone, last)
		}
		set(tree, at, key)
		if from := int(w.prev[at]); from >= 0 {
			set(tree, from, uint64(v.merged(w.tokens[from], token))<<32|uint64(from))
		}
	}
	return left
}

// set changes a leaf of a tree of minima.
func set(tree []uint64, leaf int, key uint64) {
	i := len(tree)/2 + leaf
	tree[i] = key
	for i > 1 {
		key = min(key, tree[i^1])
		i >>= 1
		tree[i] = key
	}
}
