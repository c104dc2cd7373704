package config

// AppType is the kind of service behind an application.
type AppType string

// The application types: contract section 15, and OpenAI for any
// OpenAI-compatible base (api.openai.com, Azure's /openai/v1, vLLM, Ollama).
const (
	AzureOpenAI        AppType = "azure_oai"
	OpenAI             AppType = "openai"
	AzureSearch        AppType = "azure_search"
	AzureLanguage      AppType = "azure_language"
	AzureTranslator    AppType = "azure_translator"
	AzureContentSafety AppType = "azure_content_safety"
)

// Inference reports whether the type speaks OpenAI's wire format.
func (t AppType) Inference() bool { return t == AzureOpenAI || t == OpenAI }

// Application is one AI application: a route under /lb and the endpoints
// behind it.
type Application struct {
	// AppID is the application's name in URLs, 1 to 128 characters without
	// control characters and / ? # %.
	AppID string `json:"appId" required:"true" example:"\"aichatbotapp\""`
	// Description is shown on info pages.
	Description string `json:"description" example:"\"The public chatbot\""`
	// AppType is the kind of service behind the application. openai is any
	// OpenAI-compatible base URI: api.openai.com/v1, Azure's /openai/v1, vLLM,
	// Ollama.
	AppType AppType `json:"appType" required:"true" enum:"azure_oai|openai|azure_search|azure_language|azure_translator|azure_content_safety"`
	// SearchAIApp is the appId of the azure_search application whose key is
	// put into on-your-data requests.
	SearchAIApp string `json:"searchAiApp" example:"\"search-app\""`
	// CacheSettings turns the semantic cache on for the application.
	CacheSettings CacheSettings `json:"cacheSettings"`
	// MemorySettings turns conversation memory on for the application.
	MemorySettings MemorySettings `json:"memorySettings"`
	// Persist says what is kept of the application's requests, when prompts are
	// kept at all (API_GATEWAY_PERSIST_PROMPTS).
	Persist PersistSettings `json:"persist"`
	// Endpoints are the services that can answer, in order of priority.
	Endpoints []Endpoint `json:"endpoints" required:"true"`

	// Strategy orders the endpoints that share a priority. priority is the
	// order of the list, which is what files of the gateway's first releases
	// mean.
	Strategy string `json:"strategy" default:"priority" enum:"priority|weighted|roundRobin|random|leastBusy|latency"`
	// Timeouts are the four budgets of a call to an endpoint.
	Timeouts Timeouts `json:"timeouts"`
	// Retry bounds the attempts of one request.
	Retry Retry `json:"retry"`
	// AllowedModels limits what the body's model member may name; empty
	// allows any.
	AllowedModels []string `json:"allowedModels" example:"[\"gpt-4o-mini\"]"`
	// MaxBodyBytes limits a request's body, in bytes. 10 MiB holds several
	// images in base64.
	MaxBodyBytes int64 `json:"maxBodyBytes" default:"10485760" min:"1024" max:"1073741824"`
	// SSEKeepAlive is the time between comments sent to a streaming client
	// while no event has come from the endpoint, 1 second or more; 0 sends
	// none.
	SSEKeepAlive Interval `json:"sseKeepAlive" default:"0" example:"\"15 seconds\""`
	// Model is the model behind the application: tokens are counted as it
	// counts them, and priced as it is priced, until an endpoint has named its
	// own.
	Model string `json:"model" absent:"what the endpoints' URIs and the requests say" example:"\"gpt-4o\""`
	// Tenants says whose a request is.
	Tenants Tenants `json:"tenants"`
	// OnClientAbort is what becomes of the call to the endpoint when the client
	// leaves: cancel ends it, and its tokens are estimated; drain reads it to
	// its end, so that the endpoint can say what it counted.
	OnClientAbort string `json:"onClientAbort" default:"cancel" enum:"cancel|drain"`
	// DrainTimeout bounds drain, from when the client left; 0 leaves it to
	// timeouts.
	DrainTimeout Interval `json:"drainTimeout" default:"60 seconds"`
	// EndpointHeader lets clients ask for one endpoint by its id in the
	// x-gateway-endpoint request header.
	EndpointHeader bool `json:"endpointHeader" default:"false"`
}

// CacheSettings turns the semantic cache on for an application.
type CacheSettings struct {
	// UseCache answers questions that are near enough to an earlier one from
	// the cache. The cache must also be on for the whole gateway
	// (API_GATEWAY_USE_CACHE).
	UseCache bool `json:"useCache" default:"false"`
	// SearchType is the measure of nearness: CS (Cosine) is cosine similarity,
	// LS (L2, Euclid) Euclidean distance, IP inner product.
	SearchType string `json:"searchType" default:"CS" enum:"CS|Cosine|LS|L2|Euclid|IP" fold:"true"`
	// SearchDistance is the least similarity accepted (CS, 0 to 1, and IP), or
	// the greatest distance (LS, 0 or more); the bound itself does not match.
	// LS and IP have no usual value and need one. 0.95 for CS is where the
	// first gateway's documentation found answers to be accurate.
	SearchDistance float64 `json:"searchDistance" absent:"0.95 for CS" example:"0.95"`
	// SearchContent names what is embedded of a request.
	SearchContent SearchContent `json:"searchContent"`
	// EntryExpiry is the age at which an entry is no longer used; without it
	// entries stay.
	EntryExpiry Interval `json:"entryExpiry" example:"\"7 days\""`

	// EmbeddingApp is the appId whose endpoints make this application's
	// embeddings.
	EmbeddingApp string `json:"embeddingApp" absent:"API_GATEWAY_VECTOR_AIAPP" example:"\"vectorizedata\""`
	// Scope says who shares entries: every caller of the application (app), the
	// callers of one tenant, one caller, or one user (the body's user, of one
	// caller). A request that names no tenant, caller or user where the scope
	// asks for it is not cached.
	Scope string `json:"scope" default:"app" enum:"app|tenant|caller|user"`
	// Guards refuse a near question whose numbers, dates, negations, quoted
	// words, code or names differ from the one that was answered.
	Guards bool `json:"guards" default:"true"`
	// Replay says how a streaming client gets an answer from the cache.
	Replay Replay `json:"replay"`
	// MaxEntries is the most entries the application keeps; the ones unused
	// longest make room. 0 is no limit.
	MaxEntries int `json:"maxEntries" default:"50000" min:"0"`
	// MaxBytes is the most that its entries' texts, answers and vectors may
	// add up to, in bytes; 0 is no limit.
	MaxBytes int64 `json:"maxBytes" default:"1073741824" min:"0"`
	// EmbeddingTimeout bounds the wait for an embedding; a request that waited
	// in vain goes on as a miss. 0 is the default.
	EmbeddingTimeout Interval `json:"embeddingTimeout" default:"2 seconds"`
	// LookupTimeout bounds the database's part of a look-up likewise.
	LookupTimeout Interval `json:"lookupTimeout" default:"250 milliseconds"`
}

// Replay says how a streaming client gets an answer from the cache.
type Replay struct {
	// Mode is whole, at once in one piece, or paced, in the pieces and at the
	// times in which the answer first came.
	Mode string `json:"mode" default:"whole" enum:"whole|paced"`
	// Speed is the factor by which a paced answer is quicker than it first
	// was, above 0.
	Speed float64 `json:"speed" default:"1" above:"0" example:"4"`
}

// PersistSettings says what is kept of an application's requests.
type PersistSettings struct {
	// Content keeps prompts and answers; without it rows hold everything else.
	Content bool `json:"content" default:"true"`
}

// SearchContent names what is embedded of a request.
type SearchContent struct {
	// Term is the body's member that is embedded: messages for chat, prompt
	// for completions.
	Term string `json:"term" default:"messages" enum:"messages|prompt"`
	// IncludeRoles are the roles whose messages may be embedded, separated by
	// commas: system, user, assistant, developer, tool. All but the last user
	// message has to be equal anyway, so it tells whether that is embedded;
	// without user only the exact layer answers.
	IncludeRoles string `json:"includeRoles" default:"system,user,assistant" example:"\"system,user\""`
}

// MemorySettings turns conversation memory on for an application.
type MemorySettings struct {
	// UseMemory keeps conversations (x-thread-id). Memory must also be on for
	// the whole gateway (API_GATEWAY_STATE_MGMT).
	UseMemory bool `json:"useMemory" default:"false"`
	// MsgCount is the number of interactions kept of a conversation: the first
	// always, then the latest. Below 1 keeps all.
	MsgCount int `json:"msgCount" default:"0" example:"5"`
	// EntryExpiry is the time since its last use after which a conversation
	// has expired; without it conversations stay.
	EntryExpiry Interval `json:"entryExpiry" example:"\"1 hour\""`
	// MaxTokens is the most tokens of a prompt and the room for its answer
	// together: the oldest interactions are left out, never the first, until
	// they fit. The room is what the request's max_tokens asks for, else a
	// quarter. 0 is no bound.
	MaxTokens int `json:"maxTokens" default:"0" min:"0" max:"100000000" example:"16000"`
	// Affinity asks the endpoint that answered a conversation's last turn
	// first, whose prompt cache may still hold it.
	Affinity bool `json:"affinity" default:"false"`
}

// Timeouts are the four budgets of a call to an endpoint; 0 is no limit.
type Timeouts struct {
	// Connect bounds the dial and the TLS handshake. A service that needs
	// more than 5 seconds has lost a packet three times or is not there.
	Connect Interval `json:"connect" default:"5 seconds"`
	// FirstByte bounds the wait from the request sent to the answer's headers
	// and, in a stream, its first content. Reasoning models think for minutes
	// before either.
	FirstByte Interval `json:"firstByte" default:"5 minutes"`
	// Idle bounds the silence between two reads of an answer that has begun.
	Idle Interval `json:"idle" default:"2 minutes"`
	// Total bounds the whole call, all attempts together: 0, or no less than
	// connect.
	Total Interval `json:"total" default:"30 minutes"`
}

// Retry bounds the attempts of one request.
type Retry struct {
	// MaxAttempts is the number of endpoints tried for one request; 0 tries
	// every endpoint once.
	MaxAttempts int `json:"maxAttempts" default:"0" min:"0" example:"2"`
}
