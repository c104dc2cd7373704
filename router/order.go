package router

import (
	"cmp"
	"slices"
)

// moveTo moves the endpoint at i to k, k not after i; those between move up.
func moveTo(eps []*Endpoint, i, k int) {
	e := eps[i]
	copy(eps[k+1:i+1], eps[k:i])
	eps[k] = e
}

// sortByCost orders the endpoints by a cost, least first, and leaves those of
// equal cost as they were. It returns how many share the least cost. The cost of
// each is taken once: it may be changing.
func sortByCost(eps []*Endpoint, cost func(*Endpoint) float64) (ties int) {
	type priced struct {
		cost float64
		ep   *Endpoint
	}
	var inline [inlineEndpoints]priced
	all := inline[:0]
	for _, e := range eps {
		all = append(all, priced{cost(e), e})
	}
	slices.SortStableFunc(all, func(a, b priced) int { return cmp.Compare(a.cost, b.cost) })
	for i := range all {
		eps[i] = all[i].ep
		if all[i].cost == all[0].cost {
			ties++
		}
	}
	return ties
}
