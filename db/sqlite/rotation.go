package sqlite

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// A code says of a vector on which side of each of codeBits planes it lies;
// the planes go through the origin in random directions. The share of planes
// that part two vectors is, on average, their angle as a share of a half-turn
// (Charikar, "Similarity estimation techniques from rounding algorithms",
// 2002), so that codes tell which vectors are too far away to be compared.
const (
	codeWords = 24
	codeBits  = 64 * codeWords
)

type code [codeWords]uint64

// missChance bounds the chance that codes hide an entry that should be found.
// It is that of one look-up that has a single entry within its bound.
const missChance = 1e-12

// distance is the number of planes that part two vectors.
func distance(a, b *code) int {
	n := 0
	for i := range a {
		n += bits.OnesCount64(a[i] ^ b[i])
	}
	return n
}

// plausibleCosines returns, for each distance of codes, the greatest cosine
// that two vectors may have: greater ones have a chance below missChance to be
// so far apart, by Chernoff's bound for the binomial distribution. The
// list falls.
func plausibleCosines() []float64 {
	list := make([]float64, codeBits+1)
	exponent := -math.Log(missChance) / codeBits
	for h := range list {
		share := float64(h) / codeBits
		// The least probability of a plane to part them with which the share
		// is still plausible lies between 0, which is not, and the share itself.
		low, high := 0.0, share
		for range 50 {
			p := (low + high) / 2
			if divergence(share, p) > exponent {
				low = p
			} else {
				high = p
			}
		}
		list[h] = math.Cos(math.Pi * low)
	}
	return list
}

// divergence is Kullback and Leibler's, of two coins.
func divergence(a, b float64) float64 {
	d := 0.0
	if a > 0 {
		d += a * math.Log(a/b)
	}
	if a < 1 {
		d += (1 - a) * math.Log((1-a)/(1-b))
	}
	return d
}

// rotation makes the codes of vectors of one width. A vector is turned by
// signs and Hadamard transforms, three times over, which is as good as a random
// turn (Ailon and Chazelle, "The fast Johnson-Lindenstrauss transform", 2009;
// Andoni and others, "Practical and optimal LSH for angular distance", 2015)
// and takes n log n steps; its signs are then the code. Narrow vectors are
// turned several ways until there are enough. The turns are the same in
// every process.
type rotation struct {
	size  int         // power of two
	signs [][]float32 // three of size for each turn
}

const rounds = 3

func newRotation(width int) *rotation {
	r := &rotation{size: max(64, 1<<bits.Len(uint(width-1)))}
	random := rand.New(rand.NewPCG(0x9e3779b97f4a7c15, uint64(width)))
	for range rounds * ((codeBits + r.size - 1) / r.size) {
		signs := make([]float32, r.size)
		for i := range signs {
			signs[i] = float32(int(random.Uint64()>>63)*2 - 1)
		}
		r.signs = append(r.signs, signs)
	}
	return r
}

// code returns the code of a vector of a length (its norm).
func (r *rotation) code(v []float32, norm float64) (c code) {
	buffer := make([]float32, r.size)
	for turn := 0; turn < len(r.signs); turn += rounds {
		for i, x := range v {
			buffer[i] = float32(float64(x) / norm)
		}
		clear(buffer[len(v):])
		for _, signs := range r.signs[turn : turn+rounds] {
			for i, s := range signs {
				buffer[i] *= s
			}
			hadamard(buffer)
		}
		first := turn / rounds * r.size
		for i := range min(r.size, codeBits-first) {
			c[(first+i)/64] |= uint64(math.Float32bits(buffer[i])>>31) << (i % 64)
		}
	}
	return c
}

// hadamard transforms b, whose length is a power of two, at least 4, in place
// (Walsh and Hadamard; not scaled: a transform of length n makes it √n times as
// long).
func hadamard(b []float32) {
	for i := 0; i+4 <= len(b); i += 4 {
		q := b[i : i+4 : i+4]
		s, d, t, e := q[0]+q[1], q[0]-q[1], q[2]+q[3], q[2]-q[3]
		q[0], q[1], q[2], q[3] = s+t, d+e, s-t, d-e
	}
	for half := 4; half < len(b); half *= 2 {
		for i := 0; i < len(b); i += 2 * half {
			low, high := b[i:i+half], b[i+half:i+2*half]
			high = high[:len(low)]
			for j, x := range low {
				y := high[j]
				low[j], high[j] = x+y, x-y
			}
		}
	}
}
