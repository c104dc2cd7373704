package limit

import "time"

// window is what was added in the last 60 seconds, in slots. It holds the slot
// of now and as many as a minute has before it, so that whatever was added
// counts for 60 seconds at least. The zero window is empty.
type window struct {
	latest int64 // slot
	sum    int64 // of slots
	slots  [Slots + 1]int64

	owed []debt // what Shared has not been told

	part  *PoolPart // of a pool; nil otherwise
	asked int64     // the latest slot in which something was added; for a pool, or wanted
}

// index is where a slot is kept.
func index(slot int64) int64 { return ((slot % (Slots + 1)) + Slots + 1) % (Slots + 1) }

// roll forgets what has left by now. Readings of the clock may come out of
// order, by less than the window; a clock that is further behind was put back,
// and what the window holds stays for its time.
func (w *window) roll(now int64) {
	switch step := now - w.latest; {
	case step <= 0 && step >= -Slots:
		return
	case step < 0:
		var moved [Slots + 1]int64
		for age := range int64(Slots + 1) {
			moved[index(now-age)] = w.slots[index(w.latest-age)]
		}
		w.slots = moved
	case step > Slots:
		w.slots, w.sum = [Slots + 1]int64{}, 0
	default:
		for s := w.latest + 1; s <= now; s++ {
			w.sum -= w.slots[index(s)]
			w.slots[index(s)] = 0
		}
	}
	w.latest = now
}

// add adds n to a slot, if the window still has it, and takes no more from it,
// n being negative, than it holds. It returns what it added.
func (w *window) add(slot, n int64) int64 {
	if slot > w.latest || slot < w.latest-Slots {
		return 0
	}
	in := &w.slots[index(slot)]
	n = max(min(n, mostCounted-w.sum), -*in)
	*in += n
	w.sum += n
	return n
}

// wait returns the time until n or more has left.
func (w *window) wait(n int64, m *moment) time.Duration {
	return wait(n, m, func(age int64) int64 { return w.slots[index(w.latest-age)] })
}

// wait returns the time until n or more has left; held tells how much is of
// what age in slots.
func wait(n int64, m *moment, held func(age int64) int64) time.Duration {
	d := m.rest
	for age := int64(Slots); age > 0; age-- {
		if n -= held(age); n <= 0 {
			break
		}
		d += SlotLength
	}
	return d
}

// debt is a correction of a slot that Shared has not been told.
type debt struct{ slot, delta int64 }

// owe notes a correction for Shared. Those that have left its windows are
// dropped, so that there are never more than slots.
func (w *window) owe(slot, delta int64) {
	for i := range w.owed {
		if w.owed[i].slot == slot {
			w.owed[i].delta += delta
			return
		}
	}
	kept := w.owed[:0]
	for _, d := range w.owed {
		if d.slot >= slot-Slots {
			kept = append(kept, d)
		}
	}
	w.owed = append(kept, debt{slot, delta})
}

// room is what an application can still add to its pool, parts being windows
// of all of them: see PoolPart. n is how many replicas the pool is divided
// among. It is below 0 when more was used than was reserved.
func room(parts []*window, pool *PoolPart, capacity, n, now int64) int64 {
	capacity /= n
	var total, claimed int64 // claimed by the others
	for i, w := range parts {
		w.roll(now)
		total += w.sum
		switch {
		case i == pool.App:
		case max(w.asked-now, now-w.asked) <= ActiveSlots:
			claimed += max(w.sum, pool.Shares[i]/n)
		default:
			claimed += w.sum
		}
	}
	held := parts[pool.App].sum
	return min(capacity-total, max(pool.Shares[pool.App]/n-held, capacity-held-claimed))
}
