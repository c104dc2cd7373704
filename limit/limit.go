// Package limit says how much may be used. A request asks its application's
// limits once, before the call, for what it may need, and settles with what it
// used when it is over; an endpoint is asked the same way before it is called.
package limit
