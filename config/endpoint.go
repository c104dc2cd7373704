package config

// Endpoint is one upstream of an application.
type Endpoint struct {
	// ID is the endpoint's name for clients (x-gateway-endpoint), visible
	// ASCII, at most 128 characters, unique in its application.
	ID string `json:"id" absent:"its position, 0 first" example:"\"east-us\""`
	// URI is the address that is called: http or https, without user
	// information and fragment. For openai it is the base that operations are
	// added to, for azure_translator the base of all operations; any other is
	// called as written.
	URI string `json:"uri" required:"true" example:"\"https://my.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21\""`
	// APIKey is the service's key, or env:NAME or file:/path that holds it;
	// apiKey is read too. Only openai can do without.
	APIKey Secret `json:"apikey" alias:"apiKey" example:"\"env:EAST_US_KEY\""`
	// RPM is the most requests admitted in any 60 seconds; 0 is no limit. A
	// million a minute is far above what any service admits.
	RPM int `json:"rpm" default:"0" min:"0" max:"1000000" example:"60"`
	// Priority orders endpoints, lowest first; those with equal values are
	// ordered by the application's strategy.
	Priority int `json:"priority" absent:"its position under the priority strategy, else 0" min:"0" example:"1"`
	// Weight is the endpoint's share under the weighted and leastBusy
	// strategies, above 0.
	Weight float64 `json:"weight" default:"1" above:"0" example:"3"`
	// Model replaces the body's model member on the way to this endpoint.
	Model string `json:"model" example:"\"gpt-4o-mini\""`
	// Limits are what the endpoint may be used for by this application; a
	// request over one goes to the next endpoint, as with rpm. An amount of 0 is
	// no limit.
	Limits Amounts `json:"limits"`
	// Pool is the id of the pool whose throughput the endpoint draws on.
	Pool string `json:"pool" example:"\"ptu-east\""`
}
