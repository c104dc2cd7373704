package router

import (
	"sort"
	"time"
)

// rpmWindow is the minute of "requests per minute".
const rpmWindow = time.Minute

// window remembers when requests were admitted, for as long as that can matter
// to a limit in force. It is exact: with a limit of n no n+1 admissions lie
// within any 60 s. The zero window is empty. Its owner guards it.
type window struct {
	times []time.Duration // ring; never decreasing from oldest to newest
	next  int             // where the next admission goes
	n     int             // admissions held
}

// newest returns the k-th newest admission, 1 being the last one.
func (w *window) newest(k int) time.Duration { return w.times[w.index(k)] }

// index returns where the k-th newest admission is.
func (w *window) index(k int) int {
	i := w.next - k
	if i < 0 {
		i += len(w.times)
	}
	return i
}

// wait returns the time until another request may be admitted under the limit.
// Admissions made under another limit count; those made under none do not,
// for they were not remembered.
func (w *window) wait(at time.Duration, rpm int) time.Duration {
	if rpm <= 0 || w.n < rpm {
		return 0
	}
	return max(0, w.newest(rpm)+rpmWindow-at)
}

// add remembers an admission that wait allowed.
func (w *window) add(at time.Duration, rpm int) {
	if rpm <= 0 {
		return
	}
	if w.n == len(w.times) && (w.n == 0 || w.newest(w.n)+rpmWindow > at) {
		w.grow(rpm)
	}
	w.times[w.next] = at
	w.next++
	if w.next == len(w.times) {
		w.next = 0
	}
	w.n = min(w.n+1, len(w.times))
}

// remove forgets an admission, if it is still remembered.
func (w *window) remove(at time.Duration) {
	k := 1 + sort.Search(w.n, func(k int) bool { return w.newest(k+1) <= at })
	if k > w.n || w.newest(k) != at {
		return
	}
	for ; k > 1; k-- {
		w.times[w.index(k)] = w.newest(k - 1)
	}
	w.next = w.index(1)
	w.n--
}

// grow makes room for more admissions, never more than the limit: all that are
// held are younger than the window, so there are fewer than rpm.
func (w *window) grow(rpm int) {
	const first = 16 // one allocation for the many endpoints that are hardly used
	times := make([]time.Duration, min(max(first, 2*w.n), rpm))
	for k := range w.n {
		times[k] = w.newest(w.n - k)
	}
	w.times, w.next = times, w.n
}

// used returns the number of admissions within the last 60 s.
func (w *window) used(at time.Duration) int {
	return sort.Search(w.n, func(k int) bool { return w.newest(k+1)+rpmWindow <= at })
}
