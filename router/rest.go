package router

import (
	"crypto/sha256"
	"time"

	"aigateway/config"
)

// restWorthTelling is how much longer a rest must become to be told again: the
// requests that an endpoint throttles together each ask for a little more.
const restWorthTelling = time.Second

// Digest names an endpoint by its URI and key, whatever the application. It
// gives neither away, and the secret is not held in one more place.
type Digest [sha256.Size]byte

func digest(ep *config.Endpoint) Digest {
	return sha256.Sum256([]byte(ep.URI + "\x00" + ep.APIKey.Reveal()))
}

// Rest is a rest that an endpoint asked for (a 429), as replicas tell each
// other. Rests for failing are nobody else's: each replica probes for itself.
type Rest struct {
	Of   Digest
	Left time.Duration // until it ends
}

// OnRest has f told of each rest that an endpoint asks for, as it begins and
// when it becomes much longer; not of those learnt by Rest. It is called by the
// request that was throttled, which waits for it; nil tells nobody.
func (f *Fleet) OnRest(tell func(Rest)) { f.onRest.Store(&tell) }

func (f *Fleet) tell(r Rest) {
	if tell := f.onRest.Load(); tell != nil && *tell != nil {
		(*tell)(r)
	}
}

// Rest applies a rest that was learnt elsewhere to the endpoint in all
// applications that have it. It never shortens one.
func (f *Fleet) Rest(r Rest) {
	at := f.clock.elapsed()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.states {
		if s.of == r.Of {
			s.learnRest(at, r.Left)
		}
	}
}

func (s *State) learnRest(at, left time.Duration) {
	at = s.lock(at)
	defer s.mu.Unlock()
	s.rest(at+left, ReasonThrottled)
	s.restTold = max(s.restTold, at+left)
}
