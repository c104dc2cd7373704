//go:build race

package tokens

// withRace: the race detector makes pools forget at random.
const withRace = true
