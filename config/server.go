package config

// Caller is a client that may use some of the applications.
type Caller struct {
	// ID is the caller's name in logs, limits and stored rows, unique.
	ID string `json:"id" required:"true" example:"\"web-shop\""`
	// Key is what the caller presents, at least 8 characters, or sha256: and
	// the hex digest of it; or env:NAME or file:/path that holds either.
	Key Secret `json:"key" required:"true" example:"\"env:WEB_SHOP_KEY\""`
	// Apps are the application ids the caller may use; "*" is all of them.
	Apps []string `json:"apps" required:"true" example:"[\"aichatbotapp\"]"`
	// Tenant is the tenant that the caller's requests belong to, whatever they
	// say themselves.
	Tenant string `json:"tenant" example:"\"retail\""`
}

// Server is what concerns the listener and every application alike.
type Server struct {
	// ProtectInfo asks for the admin key on info pages and metrics.
	ProtectInfo bool `json:"protectInfo" default:"false"`
	// CORS says which browser origins may call.
	CORS CORS `json:"cors"`
	// TLS names the files of the server's certificate; both empty serves
	// cleartext.
	TLS TLS `json:"tls"`
	// DrainDelay is how long the gateway goes on accepting at shutdown while
	// readyz answers 503 already, so that load balancers turn away first. With
	// Kubernetes a few seconds, or a preStop hook.
	DrainDelay Interval `json:"drainDelay" default:"0"`
	// DrainTimeout bounds the wait for running requests at shutdown. 30
	// seconds is what Kubernetes gives a pod.
	DrainTimeout Interval `json:"drainTimeout" default:"30 seconds"`
	// WriteTimeout bounds one write to a client that does not read.
	WriteTimeout Interval `json:"writeTimeout" default:"30 seconds"`
	// BodyTimeout bounds the reading of a request's body: 10 MiB in 60 seconds
	// is a 1.4 Mbit/s line.
	BodyTimeout Interval `json:"bodyTimeout" default:"60 seconds"`
	// MaxHeaderBytes bounds a request's header, in bytes. 64 KiB is four times what common proxies let through.
	MaxHeaderBytes int `json:"maxHeaderBytes" default:"65536" min:"4096" max:"1048576"`
}

// CORS says which browser origins may call.
type CORS struct {
	// AllowedOrigins are origins as scheme://host[:port], with * for any
	// subdomain (https://*.example.com), or "*" for any origin. An empty list
	// allows none. Any is what the gateway's first releases allowed.
	AllowedOrigins []string `json:"allowedOrigins" default:"*" example:"[\"https://*.example.com\"]"`
}

// TLS names the files of the server's certificate; both empty serves cleartext.
type TLS struct {
	// CertFile is the path of the certificate and its chain, PEM.
	CertFile string `json:"certFile" restart:"true" example:"\"/etc/gateway/tls.crt\""`
	// KeyFile is the path of the certificate's private key, PEM.
	KeyFile string `json:"keyFile" restart:"true" example:"\"/etc/gateway/tls.key\""`
}
