package router

// random shuffles the endpoints, every order as likely as another. The function
// intN gives uniform numbers in [0, n).
func random(intN func(n int) int) Strategy {
	return func(_ Facts, eps []*Endpoint) {
		for i := len(eps) - 1; i > 0; i-- {
			k := intN(i + 1)
			eps[i], eps[k] = eps[k], eps[i]
		}
	}
}
