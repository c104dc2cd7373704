// Package cache answers what was asked before: the same request from the exact
// layer, without an embedding; a question near enough to an earlier one, when
// all else agrees, from the semantic layer.
package cache
