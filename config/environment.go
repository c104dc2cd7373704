package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings is what the environment says: what cannot change while the gateway
// runs.
type Settings struct {
	Key        Secret // of the admin; empty refuses every admin write
	ConfigFile string
	Env        string // a segment of the base path
	Name       string // of this instance
	Host       string // shown on info pages
	Listen     string // address to listen on, without port; empty is every interface
	Port       int
	LogLevel   slog.Level
	LogFile    string // empty is standard error

	MetricsInterval time.Duration // length of a metrics window
	MetricsHistory  int           // windows kept

	UseCache       bool
	StateMgmt      bool
	PersistPrompts bool
	CacheSchedule  string // cron, of the cache's invalidator
	MemorySchedule string // cron, of the memory's invalidator
	PromptSchedule string // cron, of the stored prompts' retention
	Ledger         bool
	LedgerSchedule string // cron, of the ledger's retention
	VectorApp      string // appId whose endpoints make embeddings
	SearchEngine   string // shown on info pages

	AppInsights Secret // connection string of Azure Monitor
	// Database is the address of the store, with its password; empty is the
	// embedded one, in DataDir.
	Database  Secret
	Redis     Secret // address of the store of shared limits, with its password; empty is none
	DataDir   string // of the embedded store, and of prompts that wait to be stored
	Migrate   bool   // bring the store's schema up to date at start
	Container Container
}

// Container is what the orchestrator says of the gateway's container.
type Container struct {
	ImageID           string
	NodeName          string
	PodName           string
	PodNamespace      string
	PodServiceAccount string
}

// LevelFatal is the level at which only what ends the process is logged, one
// step of log/slog above an error.
const LevelFatal = slog.LevelError + 4

// Bounds of the metrics settings. A window below a second has nothing in it,
// and one above a year never closes; 600 windows is the first gateway's limit.
const (
	leastWindow = time.Second
	mostWindow  = 365 * 24 * time.Hour
	mostHistory = 600
)

// FromEnv reads the settings from environment variables; a variable that is
// empty is not set. The error is a Faults with the variables' names as paths,
// and holds every fault.
func FromEnv(lookup func(string) (string, bool)) (*Settings, error) {
	e := environment{lookup: lookup, defaults: make(map[string]string)}
	for _, v := range Variables() {
		e.defaults[v.Name] = v.Default
	}
	s := &Settings{
		Key:        e.secret("API_GATEWAY_KEY"),
		ConfigFile: e.text("API_GATEWAY_CONFIG_FILE"),
		Env:        e.segment("API_GATEWAY_ENV"),
		Name:       cmp.Or(e.line("API_GATEWAY_NAME"), hostName()),
		Host:       e.line("API_GATEWAY_HOST"),
		Listen:     e.listen("API_GATEWAY_LISTEN"),
		Port:       e.whole("API_GATEWAY_PORT", 0, 65535),
		LogLevel:   e.level("API_GATEWAY_LOG_LEVEL"),
		LogFile:    e.text("API_GATEWAY_LOG_FILE"),

		MetricsInterval: e.minutes("API_GATEWAY_METRICS_CINTERVAL"),
		MetricsHistory:  e.whole("API_GATEWAY_METRICS_CHISTORY", 0, mostHistory),

		UseCache:       e.flag("API_GATEWAY_USE_CACHE"),
		StateMgmt:      e.flag("API_GATEWAY_STATE_MGMT"),
		PersistPrompts: e.flag("API_GATEWAY_PERSIST_PROMPTS"),
		CacheSchedule:  e.text("API_GATEWAY_CACHE_INVAL_SCHEDULE"),
		MemorySchedule: e.text("API_GATEWAY_MEMORY_INVAL_SCHEDULE"),
		PromptSchedule: e.text("API_GATEWAY_PROMPT_INVAL_SCHEDULE"),
		Ledger:         e.flag("API_GATEWAY_LEDGER"),
		LedgerSchedule: e.text("API_GATEWAY_LEDGER_INVAL_SCHEDULE"),
		VectorApp:      e.text("API_GATEWAY_VECTOR_AIAPP"),
		SearchEngine:   e.text("API_GATEWAY_SRCH_ENGINE"),

		AppInsights: e.secret("APPLICATIONINSIGHTS_CONNECTION_STRING"),
		Database:    e.database(),
		Redis:       e.redis(),
		DataDir:     e.text("API_GATEWAY_DATA_DIR"),
		Migrate:     e.flag("API_GATEWAY_MIGRATE"),
		Container: Container{
			ImageID:           e.text("IMAGE_ID"),
			NodeName:          e.text("NODE_NAME"),
			PodName:           e.text("POD_NAME"),
			PodNamespace:      e.text("POD_NAMESPACE"),
			PodServiceAccount: e.text("POD_SVC_ACCOUNT"),
		},
	}
	if len(e.faults) > 0 {
		return nil, e.faults
	}
	return s, nil
}

// hostName returns the machine's name, "gateway" when it has none.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "gateway"
	}
	return name
}

// environment reads variables and collects what is wrong with them.
type environment struct {
	lookup   func(string) (string, bool)
	defaults map[string]string
	faults   Faults
}

func (e *environment) fault(name, seen, want string) {
	e.faults = append(e.faults, Fault{Path: name, Seen: seen, Want: want})
}

// text returns a variable without spaces around it, or its default.
func (e *environment) text(name string) string {
	value, _ := e.lookup(name)
	return cmp.Or(strings.TrimSpace(value), e.defaults[name])
}

// line is text that is shown to people.
func (e *environment) line(name string) string {
	value := e.text(name)
	if !headerSafe(value) {
		e.fault(name, quoteShort(value), "text without control characters")
	}
	return value
}

// secret resolves env:NAME and file:/path as the configuration file does.
func (e *environment) secret(name string) Secret {
	written, _ := e.lookup(name)
	written = strings.TrimRight(written, "\r\n") // as of a file; spaces may belong to it
	if written == "" {
		return ""
	}
	s, want := resolve(written, e.lookup, readSecretFile)
	if want == "" && s == "" {
		want = "a secret that is not empty"
	}
	if want != "" {
		e.fault(name, shorten(written), want) // a reference: a literal has no fault
	}
	return s
}

func (e *environment) segment(name string) string {
	value := e.text(name)
	for i := range len(value) {
		c := value[i] | 0x20
		if !(c >= 'a' && c <= 'z' || isDigit(value[i]) || strings.IndexByte("._-", value[i]) >= 0) || value == "." || value == ".." {
			e.fault(name, quoteShort(value), "letters, digits and . _ - only: it is a segment of the URL's path")
			break
		}
	}
	return value
}

// listen reads an address without its port.
func (e *environment) listen(name string) string {
	value := strings.TrimSuffix(strings.TrimPrefix(e.text(name), "["), "]")
	if strings.ContainsAny(value, "/[] ") || strings.Contains(value, ":") && net.ParseIP(cutZone(value)) == nil {
		e.fault(name, quoteShort(e.text(name)), "an IP address or a host name, without port")
	}
	return value
}

// cutZone removes the zone of an IPv6 address.
func cutZone(address string) string {
	ip, _, _ := strings.Cut(address, "%")
	return ip
}

func (e *environment) whole(name string, least, most int) int {
	value := e.text(name)
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		e.fault(name, quoteShort(value), fmt.Sprintf("a whole number from %d to %d", least, most))
	}
	return n
}

func (e *environment) minutes(name string) time.Duration {
	value := e.text(name)
	n, err := strconv.ParseFloat(value, 64)
	// The comparison is written so that not-a-number fails it.
	if err != nil || !(n >= leastWindow.Minutes() && n <= mostWindow.Minutes()) {
		e.fault(name, quoteShort(value), "minutes, from one second (0.0167) to one year (525600)")
		return 0
	}
	return max(leastWindow, time.Duration(n*float64(time.Minute)))
}

func (e *environment) flag(name string) bool {
	value := e.text(name)
	switch strings.ToLower(value) {
	case "true":
		return true
	case "false":
	default:
		e.fault(name, quoteShort(value), "true or false")
	}
	return false
}

func (e *environment) level(name string) slog.Level {
	value := e.text(name)
	switch strings.ToLower(value) {
	case "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	case "fatal":
		return LevelFatal
	}
	e.fault(name, quoteShort(value), "debug, info, warn, error or fatal")
	return slog.LevelInfo
}

// database returns DATABASE_URL, or the address that the VECTOR_DB_ variables
// make up.
func (e *environment) database() Secret {
	if address := e.secret("DATABASE_URL"); address != "" {
		return e.databaseURL(address)
	}
	host := e.text("VECTOR_DB_HOST")
	user, password, name := e.text("VECTOR_DB_USER"), e.secret("VECTOR_DB_UPWD"), e.text("VECTOR_DB_NAME")
	if host == "" {
		return ""
	}
	if strings.ContainsAny(host, "/@?# ") {
		e.fault("VECTOR_DB_HOST", quoteShort(host), "a host name or an IP address")
	}
	if user == "" {
		e.fault("VECTOR_DB_USER", "nothing", "the database user: VECTOR_DB_HOST is set")
	}
	if name == "" {
		e.fault("VECTOR_DB_NAME", "nothing", "the database's name: VECTOR_DB_HOST is set")
	}
	port := e.whole("VECTOR_DB_PORT", 1, 65535)
	login := url.User(user)
	if password != "" {
		login = url.UserPassword(user, password.Reveal())
	}
	address := url.URL{
		Scheme: "postgres",
		User:   login,
		Host:   net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port)),
		Path:   "/" + name,
	}
	address.RawPath = "/" + url.PathEscape(name)
	return Secret(address.String())
}

// databaseURL checks no more than the kind: the store knows the rest.
func (e *environment) databaseURL(address Secret) Secret {
	scheme, rest, _ := strings.Cut(address.Reveal(), ":")
	switch scheme {
	case "postgres", "postgresql", "sqlite":
		if rest != "" {
			return address
		}
	}
	e.fault("DATABASE_URL", "a secret", "postgres://user:password@host:port/name or sqlite:path")
	return ""
}

// redis checks no more than the kind.
func (e *environment) redis() Secret {
	address := e.secret("REDIS_URL")
	if address == "" {
		return ""
	}
	u, err := url.Parse(address.Reveal())
	if err != nil || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) || u.Host+u.Path == "" {
		e.fault("REDIS_URL", "a secret", "redis://user:password@host:port/db, or rediss:// for TLS")
		return ""
	}
	return address
}
