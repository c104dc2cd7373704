package router

// weighted draws the endpoints at random without replacement, each time in
// proportion to the weights of those left. It does so by exponential waiting
// times (Efraimidis and Spirakis, "Weighted random sampling with a reservoir"):
// the order in which clocks of these rates ring is such a draw. The function
// exp gives exponentially distributed numbers of mean 1.
func weighted(exp func() float64) Strategy {
	return func(_ Facts, eps []*Endpoint) {
		sortByCost(eps, func(e *Endpoint) float64 { return exp() / e.Weight })
	}
}
