package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"aigateway/config"
)

// Rules are the limits of one configuration. They never change; what is
// counted is in Limits.
type Rules struct{ apps map[string]*App }

// App is what limits one application. A nil App limits nothing.
type App struct {
	limits    *Limits
	requests  []*rule   // of requests
	endpoints [][]*rule // by the endpoint's position
	tokens    bool
	cost      bool
}

// rule is one limit as it is for one application.
type rule struct {
	book *book
	app  string
	per  []string
	// Whom it is for; nil is anybody.
	callers, tenants, users, models map[string]bool

	most    most
	observe bool
	fixed   *purse // that of all requests; nil when they have several
	place   string // what an endpoint's or pool's purse is for, as Exceeded.Per

	pool  *PoolPart // of a pool
	parts []*window // of the pool's applications, as in pool; guarded by fixed
}

// Compile returns the rules of a configuration that config.Parse has checked.
// Purses that are known keep what they have counted.
func (l *Limits) Compile(cfg *config.Config) *Rules {
	rules := &Rules{apps: map[string]*App{}}
	pools := l.pools(cfg)
	for i := range cfg.Applications {
		c := &cfg.Applications[i]
		a := &App{limits: l, endpoints: make([][]*rule, len(c.Endpoints))}
		for j := range cfg.Limits {
			if lim := &cfg.Limits[j]; len(lim.Apps) == 0 || slices.Contains(lim.Apps, c.AppID) {
				a.requests = append(a.requests, l.rule(lim, c.AppID))
			}
		}
		for j := range c.Endpoints {
			e := &c.Endpoints[j]
			if !e.Limits.None() {
				a.endpoints[j] = append(a.endpoints[j], l.endpoint("endpoint", c.AppID, e, &e.Limits))
			}
			if l.shared != nil && e.RPM > 0 { // which the router counts for this replica alone
				a.endpoints[j] = append(a.endpoints[j], l.endpoint(RPM, c.AppID, e, &config.Amounts{RequestsPerMinute: int64(e.RPM)}))
			}
			if p := pools[e.Pool]; p != nil {
				a.endpoints[j] = append(a.endpoints[j], p.member(c.AppID))
			}
		}
		all := a.all()
		for _, r := range all {
			for i := range amounts {
				limited := r.most[i] > 0
				a.tokens = a.tokens || limited && (i.tokens() || i.cost())
				a.cost = a.cost || limited && i.cost()
			}
		}
		if len(all) > 0 {
			rules.apps[c.AppID] = a
		}
	}
	return rules
}

// For returns what limits an application, nil when nothing does.
func (r *Rules) For(appID string) *App {
	if r == nil {
		return nil
	}
	return r.apps[appID]
}

// CountsTokens reports whether a limit counts tokens or money, so that the
// prompt must be counted before Admit.
func (a *App) CountsTokens() bool { return a != nil && a.tokens }

// CountsCost reports whether a limit counts money.
func (a *App) CountsCost() bool { return a != nil && a.cost }

// LimitsAt reports whether an endpoint, by its position, has limits of its own
// or a pool.
func (a *App) LimitsAt(endpoint int) bool { return a != nil && len(a.endpoints[endpoint]) > 0 }

// all returns the application's rules, those of endpoints last.
func (a *App) all() []*rule { return slices.Concat(append([][]*rule{a.requests}, a.endpoints...)...) }

// rule returns a configured limit as it is for an application.
func (l *Limits) rule(c *config.Limit, app string) *rule {
	name := c.ID + " " + strings.Join(c.Per, "+") + " "
	byApp := slices.Contains(c.Per, "app")
	if byApp {
		name += string(appendValue(nil, app)) + " "
	}
	r := &rule{
		book: l.book(short("limit ", name), c.ID), app: app, per: c.Per,
		callers: set(c.Callers), tenants: set(c.Tenants), users: set(c.Users), models: set(c.Models),
		most: newMost(&c.Allow), observe: c.Allow.Mode == "observe",
	}
	for name := range r.models {
		r.models[l.model(name)] = true
	}
	if len(c.Per) == 0 || byApp && len(c.Per) == 1 {
		r.fixed = r.book.pin("")
	}
	return r
}

// RPM begins the names of endpoints' own rpm, where replicas count it together.
const RPM = "rpm of endpoint"

// endpoint returns the rule of an endpoint's own limits.
func (l *Limits) endpoint(kind, app string, e *config.Endpoint, allow *config.Amounts) *rule {
	uri := sha256.Sum256([]byte(e.URI))
	name := string(appendValue(appendValue(nil, app), e.ID)) + " " + hex.EncodeToString(uri[:8]) + " "
	b := l.book(short(kind+" ", name), kind+" "+app+"/"+e.ID)
	return &rule{
		book: b, app: app, place: "app=" + shown(app) + " endpoint=" + shown(e.ID),
		most: newMost(allow), observe: allow.Mode == "observe", fixed: b.pin(""),
	}
}

// pool is a configured pool with the applications that draw on it.
type pool struct {
	book   *book
	purse  *purse
	most   int64
	names  []string
	shares []int64
	parts  []*window
}

// pools returns the configured pools by id.
func (l *Limits) pools(cfg *config.Config) map[string]*pool {
	pools := make(map[string]*pool, len(cfg.Pools))
	for i := range cfg.Pools {
		c := &cfg.Pools[i]
		p := &pool{book: l.book(short("pool ", c.ID+" "), "pool "+c.ID), most: c.TokensPerMinute}
		p.purse = p.book.pin("")
		var weights []float64
		var sum float64
		for j := range cfg.Applications {
			app := &cfg.Applications[j]
			if !slices.ContainsFunc(app.Endpoints, func(e config.Endpoint) bool { return e.Pool == c.ID }) {
				continue
			}
			weight := 1.0
			if k := slices.IndexFunc(c.Shares, func(s config.Share) bool { return s.App == app.AppID }); k >= 0 {
				weight = c.Shares[k].Weight
			}
			p.names, weights, sum = append(p.names, app.AppID), append(weights, weight), sum+weight
		}
		left := p.most
		for _, w := range weights {
			share := min(int64(math.Floor(float64(p.most)*(w/sum))), left)
			p.shares, left = append(p.shares, share), left-share
		}
		p.enlist()
		pools[c.ID] = p
	}
	return pools
}

// enlist gives each member its window. Those of applications that are members
// no longer go when they are empty.
func (p *pool) enlist() {
	p.purse.mu.Lock()
	defer p.purse.mu.Unlock()
	if p.purse.parts == nil {
		p.purse.parts = map[string]*window{}
	}
	for i, name := range p.names {
		w := p.purse.parts[name]
		if w == nil {
			w = new(window)
			p.purse.parts[name] = w
		}
		w.part = p.part(i)
		p.parts = append(p.parts, w)
	}
	maps.DeleteFunc(p.purse.parts, func(name string, w *window) bool {
		return w.sum == 0 && len(w.owed) == 0 && !slices.Contains(p.names, name)
	})
}

// part returns the place of the i-th member.
func (p *pool) part(i int) *PoolPart { return &PoolPart{App: i, Shares: p.shares, Names: p.names} }

// member returns the pool's rule for an application that draws on it.
func (p *pool) member(app string) *rule {
	return &rule{
		book: p.book, app: app, place: "app=" + shown(app),
		most: most{poolTokens: p.most}, fixed: p.purse,
		pool: p.part(slices.Index(p.names, app)), parts: p.parts,
	}
}

// set returns the members of a list, nil for an empty one.
func set(list []string) map[string]bool {
	if len(list) == 0 {
		return nil
	}
	in := make(map[string]bool, len(list))
	for _, s := range list {
		in[s] = true
	}
	return in
}

// covers reports whether the rule is for such a request.
func (r *rule) covers(ask *Ask) bool {
	return (r.callers == nil || r.callers[ask.Caller]) &&
		(r.tenants == nil || r.tenants[ask.Tenant]) &&
		(r.users == nil || r.users[ask.User]) &&
		(r.models == nil || r.models[ask.Model])
}

// purse returns the purse that a request draws on.
func (r *rule) purse(ask *Ask) *purse {
	if r.fixed != nil {
		return r.fixed
	}
	var room [2 * longestValues]byte
	return r.book.find(r.values(room[:0], ask))
}

// values appends what tells the request's purse from others of the book.
func (r *rule) values(values []byte, ask *Ask) []byte {
	for _, what := range r.per {
		if what != "app" { // has a book of its own
			values = appendValue(values, ask.value(what))
		}
	}
	if len(values) > longestValues {
		values = hashed(values[:0], values)
	}
	return values
}

// longestValues bounds what of an account's key says whose it is, and what says
// of which limit, in bytes, so that with the amount and date it stays below
// what Charge allows. More is hashed.
const longestValues = 128

// short returns the name of a book.
func short(kind, name string) string {
	if len(name) > longestValues {
		name = string(hashed(nil, []byte(name))) + " "
	}
	return kind + name
}

// appendValue appends a value so that no two lists of values become equal.
func appendValue(to []byte, v string) []byte {
	if len(v) > longestValues {
		return hashed(to, []byte(v))
	}
	to = strconv.AppendInt(to, int64(len(v)), 10)
	to = append(to, ':')
	return append(to, v...)
}

// hashed appends the digest of what is too long.
func hashed(to, v []byte) []byte {
	digest := sha256.Sum256(v)
	return hex.AppendEncode(append(to, '#'), digest[:])
}

// whose says which of the limit's accounts a request draws on: that of p, if
// it is known.
func (r *rule) whose(ask *Ask, p *purse) string {
	if r.place != "" {
		return r.place
	}
	var b strings.Builder
	for i, what := range r.per {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(what)
		b.WriteByte('=')
		if what == "app" {
			b.WriteString(shown(r.app))
		} else {
			b.WriteString(shown(ask.value(what)))
		}
	}
	if p != nil && p.rest {
		b.WriteString(", which shares an account with others")
	}
	return b.String()
}

// longestShown bounds a value that is shown, in characters.
const longestShown = 64

// shown returns the beginning of a value, safe to print on a line.
func shown(v string) string {
	n := 0
	for i, c := range v {
		if n++; n > longestShown || i > longestShown*4 {
			v = v[:i] + "…"
			break
		}
		_ = c
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, v)
}
