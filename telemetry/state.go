package telemetry

import "strings"

const (
	// stateMembers is the most that a tracestate may have: W3C Trace Context,
	// section 3.3.1.1.
	stateMembers = 32
	// stateLength is what must be passed on; what is over it may be cut, members
	// longer than stateLong first: section 3.3.1.5.
	stateLength = 512
	stateLong   = 128
)

// stateOf joins the tracestate headers of a request. One that is not valid is
// dropped whole, as the standard has it; the traceparent beside it counts all
// the same.
func stateOf(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	var members []string
	for _, h := range headers {
		for member := range strings.SplitSeq(h, ",") {
			member = strings.Trim(member, " \t")
			if member == "" { // which is allowed, and means nothing
				continue
			}
			key, value, ok := strings.Cut(member, "=")
			if !ok || !isStateKey(key) || !isStateValue(value) || len(members) == stateMembers {
				return ""
			}
			for _, other := range members {
				if strings.HasPrefix(other, member[:len(key)+1]) {
					return ""
				}
			}
			members = append(members, member)
		}
	}
	return strings.Join(fitting(members), ",")
}

// fitting leaves out long members, then the oldest, until the rest fits.
func fitting(members []string) []string {
	length := -1
	for _, m := range members {
		length += len(m) + 1
	}
	for _, least := range []int{stateLong, 0} {
		for i := len(members) - 1; i >= 0 && length > stateLength; i-- {
			if len(members[i]) > least {
				length -= len(members[i]) + 1
				members = append(members[:i], members[i+1:]...)
			}
		}
	}
	return members
}

// isStateKey: a name, or tenant@system.
func isStateKey(s string) bool {
	if tenant, system, ok := strings.Cut(s, "@"); ok {
		return isStateName(tenant, 241) && isStateName(system, 14)
	}
	return isStateName(s, 256)
}

func isStateName(s string, most int) bool {
	if s == "" || len(s) > most || strings.IndexByte("_-*/", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("_-*/", c) < 0 {
			return false
		}
	}
	return true
}

// isStateValue: printable ASCII without the two signs that divide.
func isStateValue(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '=' || c == ',' {
			return false
		}
	}
	return true
}
