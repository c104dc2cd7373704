// Package cache answers what was asked before: the same request from the exact
// layer, without an embedding; a question near enough to an earlier one, when
// all else agrees, from the semantic layer.
//
// A request meets it twice. Lookup, before an endpoint is asked, gives a Hit
// or a Miss. Store, after the endpoint has answered, keeps the answer under
// what the Miss remembers. Store only takes a place in a queue: Pool.Run
// writes to the database in the background.
//
// What an answer depends on is hashed, never compared by nearness: who may
// share it, the models behind the application, the operation, and the whole
// request but for its last question. When anything is in doubt the cache
// misses.
package cache
