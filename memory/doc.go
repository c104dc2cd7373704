// Package memory keeps conversations, so that a client that keeps nothing can
// have one: earlier turns go in front of a request, and what was answered is
// added before the client can know that the answer is complete.
package memory
