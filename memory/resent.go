package memory

import "slices"

// maxEnds bounds the work on a request that is made to need much of it: what a
// client sends again must end in one of its last so many blocks. Clients end
// it in the last but one.
const maxEnds = 64

// unsaid returns the messages of a request that the thread does not hold.
// Clients that keep the conversation themselves send it again, whole or
// without its front; clients that leave it to the gateway send what is new.
// The system's message comes with either.
//
// Messages are compared by what they say, a block at a time: a block is the
// user's messages with what answers them. Only what ends in an answer that the
// thread holds can have been sent before; so a question that is asked twice is
// new, and so is everything from an answer on that the client has changed.
func unsaid(asked []*message, thread []interaction) []*message {
	stored, gap := flatten(thread)
	end, unseen := 0, false
	if slices.ContainsFunc(asked, (*message).answers) {
		end, unseen = resent(asked, stored, gap)
	}
	var fresh []*message

	// The system's messages that open the request are compared with those in
	// force, and count from the first that differs.
	opening := leading(asked)
	if len(opening) > 0 {
		known := inForce(stored)
		same := 0
		for same < len(opening) && same < len(known) && opening[same].equal(known[same]) {
			same++
		}
		fresh = append(fresh, opening[same:]...)
	}
	for _, m := range asked[min(len(opening), end):end] {
		if !m.instructs() || unseen || slices.ContainsFunc(stored, m.equal) {
			continue
		}
		fresh = append(fresh, m)
	}
	return append(fresh, asked[max(len(opening), end):]...)
}

// leading returns the system's messages at the front.
func leading(ms []*message) []*message {
	for i, m := range ms {
		if !m.instructs() {
			return ms[:i]
		}
	}
	return ms
}

// inForce returns the system's messages that the end of a conversation obeys:
// the opening ones, each later group of them in place of as many of the last.
func inForce(stored []*message) []*message {
	var known []*message
	for i := 0; i < len(stored); i++ {
		group := leading(stored[i:])
		if len(group) == 0 {
			continue
		}
		known = append(slices.Clone(known[:max(0, len(known)-len(group))]), group...)
		i += len(group)
	}
	return known
}

// block is what a user said and what answered it, without the system's
// messages.
type block []*message

func blocks(ms []*message) []block {
	var bs []block
	answered := true
	for _, m := range ms {
		if m.instructs() {
			continue
		}
		if answered && !m.answers() || len(bs) == 0 {
			bs = append(bs, nil)
		}
		answered = m.answers()
		last := len(bs) - 1
		bs[last] = append(bs[last], m)
	}
	return bs
}

// resent returns how many messages at the front of a request are there because
// the client sends the conversation again. All of them are in the thread, in
// its order, but for blocks at the front that the window may have dropped:
// unseen reports that there are such. gap is the position in stored before
// which it has dropped interactions; 0 when it has not.
func resent(asked, stored []*message, gap int) (end int, unseen bool) {
	as := blocks(asked)
	old := blocks(stored[:gap])
	first := len(old) // behind the gap
	old = append(old, blocks(stored[gap:])...)
	for k := len(as) - 1; k >= max(0, len(as)-maxEnds); k-- {
		q, n := lastWithin(as[k], old, k == 0)
		if n == 0 {
			continue
		}
		if ok, unseen := accounted(as[:k], old[:q], gap > 0 && q >= first, first); ok {
			return as[k][n-1].at + 1, unseen
		}
	}
	return 0, false
}

// lastWithin returns the latest of the old blocks that b begins with, of
// several the longest, and how many messages of b it holds; 0 when there is
// none. trimmed: b may lack messages at its front.
func lastWithin(b block, old []block, trimmed bool) (at, n int) {
	for q, o := range slices.Backward(old) {
		for from := range o {
			rest := o[from:]
			if len(rest) > n && len(rest) <= len(b) && rest[len(rest)-1].answers() && same(rest, b[:len(rest)]) {
				at, n = q, len(rest)
			}
			if !trimmed {
				break
			}
		}
	}
	return at, n
}

// accounted reports whether the blocks at the front of a request are all among
// the old ones, in order. dropped: when all of old[first:] has been passed,
// what is left may be what the window has dropped, which unseen reports.
func accounted(front, old []block, dropped bool, first int) (ok, unseen bool) {
	for i, b := range slices.Backward(front) {
		at := len(old) - 1
		for at >= 0 && !same(old[at], b) && !(i == 0 && endsWith(old[at], b)) {
			at--
		}
		if at < 0 {
			ok = dropped && len(old) <= first
			return ok, ok
		}
		old = old[:at]
	}
	return true, false
}

func endsWith(o, b block) bool { return len(o) >= len(b) && same(o[len(o)-len(b):], b) }

func same(a, b block) bool { return slices.EqualFunc(a, b, (*message).equal) }
