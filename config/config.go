// Package config reads what an operator wrote: the router configuration file
// and the environment. A request meets it only as the values that the other
// packages were built from. It owns no state: a *Config is never changed after
// Parse returns it, and a reload parses a new one.
//
// The struct types are the one description of the file. Their json tags name
// the members; min, max, enum and default are what the decoder, the JSON
// schema and docs/configuration.md go by; the comments are the descriptions in
// the latter two. After a change run go generate ./config.
package config

//go:generate go test -run ^TestGeneratedFilesAreCurrent$ . -update

// Config is one configuration file, checked, with its defaults filled in and
// its secrets resolved.
type Config struct {
	// Schema is the address of the file's JSON schema, for editors; the
	// gateway does not read it.
	Schema string `json:"$schema,omitempty"`
	// Applications are what clients call, each by its appId.
	Applications []Application `json:"applications" required:"true"`
	// Callers are the clients that may call, and what; without any, whoever
	// reaches the gateway may use every application.
	Callers []Caller `json:"callers"`
	// Persist says how long requests are kept, and what is hidden in them.
	Persist Persist `json:"persist"`
	// Limits say how much may be used, by whom.
	Limits []Limit `json:"limits"`
	// LimitHeaders are the names of the answer headers that tell of limits; - as
	// a name sends none.
	LimitHeaders LimitHeaders `json:"limitHeaders"`
	// Pools are deployments whose throughput several applications share: each has
	// its part by weight, and may borrow what others leave unused.
	Pools []Pool `json:"pools"`
	// Prices are what models cost.
	Prices []Price `json:"prices"`
	// Ledger says how usage is kept (API_GATEWAY_LEDGER).
	Ledger Ledger `json:"ledger"`
	// JWT says which bearer tokens are believed to name a tenant (tenants.claim).
	JWT JWT `json:"jwt"`
	// TenantMetrics are the token metrics by tenant.
	TenantMetrics TenantMetrics `json:"tenantMetrics"`
	// Server is what concerns the listener and every application alike.
	Server Server `json:"server"`

	// Hash is the hex SHA-256 of the bytes that were parsed.
	Hash string `json:"-"`
	// SecretsHash is the hex SHA-256 over every resolved secret, so that a
	// rotated secret is noticed although the file did not change. It never
	// leaves the process.
	SecretsHash string `json:"-"`
}

// App returns the application with that id, nil when there is none.
func (c *Config) App(id string) *Application {
	for i := range c.Applications {
		if c.Applications[i].AppID == id {
			return &c.Applications[i]
		}
	}
	return nil
}
