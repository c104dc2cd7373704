package cache

import (
	"cmp"
	"crypto/sha256"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Scope says who shares answers. It is part of every key, so nothing is ever
// compared across it.
type Scope string

// The scopes, by the names that configuration files use.
const (
	ScopeApp    Scope = "app"    // all who use the application
	ScopeTenant Scope = "tenant" // the callers of one tenant
	ScopeCaller Scope = "caller" // one caller
	// ScopeUser is one user, as the request's member user says, of one caller:
	// other callers may use the same names for other people.
	ScopeUser Scope = "user"
)

// Defaults of Settings.
const (
	// defaultEmbed: an embedding takes 50 to 300 ms on the public services.
	defaultEmbed = 2 * time.Second
	// defaultLookup: four times what an exact scan of 20,000 vectors takes.
	defaultLookup = 250 * time.Millisecond
)

// Settings are how one application caches. The zero value of what is not said
// to be required is useful.
type Settings struct {
	App string // required
	// Deployments are the names of the models or deployments behind the
	// application, in any order: their answers are not each other's.
	Deployments []string

	Metric Metric  // Cosine when empty
	Bound  float64 // see Query.Bound
	// Term is the member that is embedded: "messages" (when empty too) or
	// "prompt". Requests that have the other are for the exact layer only.
	Term string
	// Roles are the roles whose messages may be embedded. Only a user's
	// question ever is: all else must be equal. Without "user" messages are for
	// the exact layer only.
	Roles []string

	// Since returns the oldest time of creation that has not expired; nil
	// means that entries do not.
	Since  func(now time.Time) time.Time
	Scope  Scope // ScopeApp when empty
	Guards bool  // compare the wording of near questions, see package guard

	Embed Embedder // nil leaves the exact layer alone
	// EmbedKey names what Embed asks: embeddings are remembered under it, and
	// under it compared when they do not name their model.
	EmbedKey string

	EmbedTimeout  time.Duration // of one embedding; 2 s when 0
	LookupTimeout time.Duration // of all that one Lookup asks the database; 250 ms when 0

	MaxEntries int   // 0 or less: no bound
	MaxBytes   int64 // by Entry.Size; 0 or less: no bound
}

// Cache is the cache of one application in one configuration. It is immutable
// and owns nothing. A nil Cache is one that is off.
type Cache struct {
	Settings
	pool *Pool
	book *book
	base []byte // begins the digest of every place
}

// For returns the cache of an application. Its bounds are in force for all
// caches of the application from now on.
func (p *Pool) For(s Settings) *Cache {
	s.Metric = cmp.Or(s.Metric, Cosine)
	s.Term = cmp.Or(s.Term, "messages")
	s.Scope = cmp.Or(s.Scope, ScopeApp)
	s.EmbedTimeout = cmp.Or(s.EmbedTimeout, defaultEmbed)
	s.LookupTimeout = cmp.Or(s.LookupTimeout, defaultLookup)
	if s.MaxEntries <= 0 {
		s.MaxEntries = math.MaxInt
	}
	if s.MaxBytes <= 0 {
		s.MaxBytes = math.MaxInt64
	}
	s.Deployments = slices.Compact(slices.Sorted(slices.Values(s.Deployments)))
	s.Roles = slices.Clone(s.Roles)

	c := &Cache{Settings: s, pool: p, book: p.bookOf(s.App)}
	c.base = appendBounded(c.base, s.App)
	c.base = appendBounded(c.base, string(s.Scope))
	c.base = append(c.base, byte(len(s.Deployments)>>8), byte(len(s.Deployments)))
	for _, d := range s.Deployments {
		c.base = appendBounded(c.base, d)
	}
	c.book.limit(s.MaxEntries, s.MaxBytes)
	return c
}

// Asker is who asks; members that are not known are empty.
type Asker struct{ Tenant, Caller, User string }

// place returns the digest of where a question is asked: application,
// deployments, operation, and who shares the answer; and the latter for people
// to read. why is not empty when an answer cannot be shared because the asker
// is not known.
func (c *Cache) place(operation string, who Asker) (place Hash, scope string, why string) {
	b := make([]byte, 0, 512)
	b = append(b, c.base...)
	b = appendBounded(b, operation)
	switch c.Scope {
	case ScopeApp:
		scope = "app"
	case ScopeTenant:
		if who.Tenant == "" {
			return Hash{}, "", "no-tenant"
		}
		b, scope = appendBounded(b, who.Tenant), "tenant:"+who.Tenant
	case ScopeCaller:
		if who.Caller == "" {
			return Hash{}, "", "no-caller"
		}
		b = appendBounded(b, who.Tenant)
		b, scope = appendBounded(b, who.Caller), "caller:"+who.Caller
	case ScopeUser:
		if who.User == "" {
			return Hash{}, "", "no-user"
		}
		b = appendBounded(b, who.Tenant)
		b = appendBounded(b, who.Caller)
		b, scope = appendBounded(b, who.User), "user:"+who.User
	default:
		return Hash{}, "", "no-scope"
	}
	return sha256.Sum256(b), scope, ""
}

// embeds reports whether the question of a request may be embedded.
func (c *Cache) embeds(hasMessages bool) bool {
	if c.Embed == nil {
		return false
	}
	if hasMessages {
		return c.Term == "messages" && slices.Contains(c.Roles, "user")
	}
	return c.Term == "prompt"
}

// readable makes a name from outside fit for a column that people read:
// printable Unicode, and not longer than some 128 bytes.
func readable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s[:min(len(s), 128)])
}
