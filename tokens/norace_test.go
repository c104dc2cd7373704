//go:build !race

package tokens

const withRace = false
