// Package memory keeps conversations, so that a client that keeps nothing can
// have one: earlier turns go in front of a request, and what was answered is
// added before the client can know that the answer is complete.
//
// A thread belongs to who started it and is made of interactions: what a user
// said and all that answered it. The window keeps the first and the latest of
// them whole. Clients that send the whole conversation again with a thread's
// id are understood: only what the thread does not hold is new.
//
// A turn is durable when Append returns nil. While the store is down, turns
// wait in this process's memory: a bounded number of bytes, in order, and no
// request is answered on a thread without those that wait for it. They are
// lost when the process is killed before the store is back, or ends and the
// store does not take them in 3 s; when there is no room, which Append says;
// and when the store, known to be up, refuses one for a minute, which is
// logged. New conversations begin without a thread while the store is known to
// be down.
package memory
