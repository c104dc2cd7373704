//go:build !unix

package backend

import "net"

// peek cannot look at a socket here without reading from it: a connection that
// the other side has closed is found out by the first call on it, which is
// then made on a new one.
func peek(net.Conn) (quiet, pending bool) { return true, false }
