package telemetry

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Sampler chooses the traces whose spans are exported. The zero value exports
// all, except what the caller of a request does not.
type Sampler struct {
	alone   bool   // what the caller chose does not count
	bounded bool   // only a share of traces is chosen
	bound   uint64 // of 2⁶³: the share
}

// SamplerOf reads OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG: always_on,
// always_off, traceidratio, and each with parentbased_ before it. With an error
// comes the default, parentbased_always_on.
func SamplerOf(lookup func(string) (string, bool)) (Sampler, error) {
	const variable = "OTEL_TRACES_SAMPLER"
	value, _ := lookup(variable)
	name, follows := strings.CutPrefix(strings.ToLower(strings.TrimSpace(cmp.Or(value, "parentbased_always_on"))), "parentbased_")
	s := Sampler{alone: !follows}
	switch name {
	case "always_on":
		return s, nil
	case "always_off":
		s.bounded = true
		return s, nil
	case "traceidratio":
		share, _ := lookup(variable + "_ARG")
		ratio, err := strconv.ParseFloat(strings.TrimSpace(cmp.Or(share, "1")), 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			return Sampler{}, fmt.Errorf("%s_ARG: %q is not a number between 0 and 1", variable, share)
		}
		s.bounded, s.bound = ratio < 1, uint64(ratio*(1<<63))
		return s, nil
	}
	return Sampler{}, fmt.Errorf("%s: %q is not one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio", variable, value)
}

// root reports whether a trace that begins here is exported. The share is taken
// by the id as OpenTelemetry's SDKs do it, so that all of them choose the same
// traces.
func (s Sampler) root(id [16]byte) bool {
	return !s.bounded || binary.BigEndian.Uint64(id[8:])>>1 < s.bound
}

// Share is how many of the traces that begin here are exported, from 0 to 1.
func (s Sampler) Share() float64 {
	if !s.bounded {
		return 1
	}
	return float64(s.bound) / (1 << 63)
}

// part reports whether a trace that began elsewhere is.
func (s Sampler) part(id [16]byte, chosen bool) bool {
	if s.alone {
		return s.root(id)
	}
	return chosen
}
