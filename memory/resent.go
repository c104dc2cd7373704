package memory

import "slices"

// What bounds the work on a request that is made to need much of it: the work
// grows with maxEnds times the messages of the request and of the thread.
const (
	// maxMessages is how many messages a request that goes on with a
	// conversation may have: as many of 30 tokens fill a context of 128,000.
	maxMessages = 4096
	// maxEnds: what a client sends again must end in one of the request's last
	// so many blocks. Clients end it in the last but one.
	maxEnds = 64
)

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
	if end > 0 && !unseen {
		known := instructions(stored)
		for _, m := range asked[len(opening):end] {
			if m.instructs() && !known[m.mean()] {
				fresh = append(fresh, m)
			}
		}
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
		known = append(known[:max(0, len(known)-len(group))], group...)
		i += len(group)
	}
	return known
}

// instructions returns what the system's messages of a conversation say.
func instructions(stored []*message) map[string]bool {
	said := map[string]bool{}
	for _, m := range stored {
		if m.instructs() {
			said[m.mean()] = true
		}
	}
	return said
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
	var within []int
	if trimmed {
		within = borders(b)
	}
	for q, o := range slices.Backward(old) {
		long := 0
		switch {
		case !o[len(o)-1].answers():
		case trimmed:
			long = overlap(o, b, within)
		case len(o) <= len(b) && same(o, b[:len(o)]):
			long = len(o)
		}
		if long > n {
			at, n = q, long
		}
	}
	return at, n
}

// overlap returns with how many messages, at most, o ends and b begins; within
// are b's borders. This is the search of Knuth, Morris and Pratt (SIAM Journal
// on Computing 6, 1977): no message of o is gone back to.
func overlap(o, b block, within []int) int {
	n := 0
	for _, m := range o {
		n = longer(b, within, n, m)
	}
	return n
}

// borders returns for each front of b with how many messages, at most and not
// with all, it both begins and ends.
func borders(b block) []int {
	within := make([]int, len(b))
	for i := 1; i < len(b); i++ {
		within[i] = longer(b, within, within[i-1], b[i])
	}
	return within
}

// longer returns with how many messages b begins at the end of a text in which
// m comes after n of them.
func longer(b block, within []int, n int, m *message) int {
	for n > 0 && (n == len(b) || !b[n].equal(m)) {
		n = within[n-1]
	}
	if b[n].equal(m) {
		n++
	}
	return n
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
