package config

// Variable describes an environment variable for the documentation and the
// command line's help.
type Variable struct {
	Name, Default, Meaning string
}

// Variables returns every environment variable that FromEnv reads, with the
// default that it uses: contract section 1.
func Variables() []Variable {
	return []Variable{
		{"API_GATEWAY_KEY", "", "admin secret (or `env:NAME`, `file:/path`); without it every admin write is refused"},
		{"API_GATEWAY_CONFIG_FILE", "./api-router-config.json", "the configuration file"},
		{"API_GATEWAY_ENV", "dev", "a segment of the base path `/api/v1/{env}/apirouter`: letters, digits, `.`, `_`, `-`"},
		{"API_GATEWAY_NAME", "", "name of this instance on info pages and in metrics; the host name when not set"},
		{"API_GATEWAY_HOST", "localhost", "host name shown on info pages; it has no part in listening"},
		{"API_GATEWAY_LISTEN", "", "address to listen on, without port, such as `127.0.0.1` or `::1`; every interface when not set"},
		{"API_GATEWAY_PORT", "8000", "port to listen on; 0 takes any free one"},
		{"API_GATEWAY_LOG_LEVEL", "info", "`debug`, `info`, `warn`, `error` or `fatal`"},
		{"API_GATEWAY_LOG_FILE", "", "file that log lines are added to; standard error when not set"},
		{"API_GATEWAY_METRICS_CINTERVAL", "60", "minutes of a metrics window, may be fractional; from one second to one year"},
		{"API_GATEWAY_METRICS_CHISTORY", "168", "metrics windows kept, 0 to 600"},
		{"API_GATEWAY_USE_CACHE", "false", "`true` turns the semantic cache on for the applications that ask for it"},
		{"API_GATEWAY_CACHE_INVAL_SCHEDULE", "*/45 * * * *", "when expired cache entries are deleted: cron, 5 fields, or 6 with leading seconds"},
		{"API_GATEWAY_STATE_MGMT", "false", "`true` turns conversation memory on for the applications that ask for it"},
		{"API_GATEWAY_MEMORY_INVAL_SCHEDULE", "*/10 * * * *", "when expired conversations are deleted: cron, as above"},
		{"API_GATEWAY_PERSIST_PROMPTS", "false", "`true` keeps prompts and completions"},
		{"API_GATEWAY_PROMPT_INVAL_SCHEDULE", "17 * * * *", "when stored prompts older than `persist.retention` are deleted: cron, as above"},
		{"API_GATEWAY_LEDGER", "false", "`true` keeps a row of every request's usage, and totals by hour"},
		{"API_GATEWAY_LEDGER_INVAL_SCHEDULE", "37 3 * * *", "when ledger rows older than `ledger.retention` are deleted: cron, as above"},
		{"API_GATEWAY_VECTOR_AIAPP", "", "appId whose endpoints make embeddings; needed when the cache is on"},
		{"API_GATEWAY_SRCH_ENGINE", "Postgresql/pgvector", "shown on info pages"},
		{"APPLICATIONINSIGHTS_CONNECTION_STRING", "", "Azure Monitor's connection string (or `env:NAME`, `file:/path`): telemetry is sent there"},
		{"DATABASE_URL", "", "the store: `postgres://user:password@host:port/name` or `sqlite:path` (or `env:NAME`, `file:/path`); wins over `VECTOR_DB_*`; neither set: `sqlite:` in the data directory"},
		{"REDIS_URL", "", "where replicas count limits together: `redis://user:password@host:port/db`, `rediss://` for TLS (or `env:NAME`, `file:/path`); each counts for itself when not set"},
		{"API_GATEWAY_DATA_DIR", "./data", "folder of the embedded store, of rows that wait for the store, and of the quotas used so far (`limits.json`)"},
		{"API_GATEWAY_MIGRATE", "true", "`false` leaves the store's schema to `gateway migrate`"},
		{"VECTOR_DB_HOST", "", "PostgreSQL's host"},
		{"VECTOR_DB_PORT", "5432", "PostgreSQL's port"},
		{"VECTOR_DB_USER", "", "PostgreSQL's user; needed with `VECTOR_DB_HOST`"},
		{"VECTOR_DB_UPWD", "", "that user's password (or `env:NAME`, `file:/path`)"},
		{"VECTOR_DB_NAME", "", "PostgreSQL's database; needed with `VECTOR_DB_HOST`"},
		{"IMAGE_ID", "", "shown in `containerInfo`"},
		{"NODE_NAME", "", "shown in `containerInfo`"},
		{"POD_NAME", "", "shown in `containerInfo`"},
		{"POD_NAMESPACE", "", "shown in `containerInfo`"},
		{"POD_SVC_ACCOUNT", "", "shown in `containerInfo`"},
	}
}
