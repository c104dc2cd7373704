package metrics

import (
	"aigateway/openai"
	"aigateway/persist"
)

// operation is what a request asked for, a closed set.
type operation int

const (
	opChat operation = iota
	opCompletions
	opEmbeddings
	opOther
	operations // their number
)

func (o operation) String() string {
	return [operations]string{"chat", "completions", "embeddings", "other"}[o]
}

func operationOf(s string) operation {
	switch s {
	case "chat":
		return opChat
	case "completions":
		return opCompletions
	case "embeddings":
		return opEmbeddings
	}
	return opOther
}

// outcome is how a request ended, a closed set.
type outcome int

const (
	outcomeOK            outcome = iota
	outcomeCached                // answered by the cache
	outcomeClientError           // 4xx, but 429
	outcomeThrottled             // 429: endpoints busy, or a caller over its limit
	outcomeBackendError          // 502, 504, or broken off
	outcomeInternalError         // any other status: our own fault
	outcomeAborted               // the client left before the end
	outcomes                     // their number
)

func (o outcome) String() string {
	return [outcomes]string{"ok", "cached", "client_error", "throttled", "backend_error", "internal_error", "aborted"}[o]
}

func outcomeOf(x *persist.Exchange) outcome {
	switch {
	case x.Aborted:
		return outcomeAborted
	case x.Cut:
		return outcomeBackendError
	case answered(x.Status) && x.Cached:
		return outcomeCached
	case answered(x.Status):
		return outcomeOK
	case x.Status == 429:
		return outcomeThrottled
	case x.Status == 502 || x.Status == 504:
		return outcomeBackendError
	case x.Status >= 400 && x.Status < 500:
		return outcomeClientError
	}
	return outcomeInternalError
}

// answered reports whether a status means that there was an answer.
func answered(status int) bool { return status >= 200 && status < 300 }

// attemptOutcome is how a call to an endpoint ended, a closed set.
type attemptOutcome int

const (
	attemptOK           attemptOutcome = iota
	attemptClientError                 // the endpoint blames the request
	attemptThrottled                   // 429
	attemptBackendError                // the endpoint's fault, or the way to it
	attemptTimeout
	attemptCanceled // the client left
	attemptOutcomes // their number
)

func (o attemptOutcome) String() string {
	return [attemptOutcomes]string{"ok", "client_error", "throttled", "backend_error", "timeout", "canceled"}[o]
}

// attemptOutcomeOf classes an attempt; cut says that its answer was broken off.
func attemptOutcomeOf(t *persist.Attempt, cut bool) attemptOutcome {
	switch t.Fault {
	case "canceled":
		return attemptCanceled
	case "timeout":
		return attemptTimeout
	case "":
	default:
		return attemptBackendError
	}
	switch {
	case cut:
		return attemptBackendError
	case answered(t.Status):
		return attemptOK
	case t.Status == 429:
		return attemptThrottled
	case t.Status == 401, t.Status == 403, t.Status == 404, t.Status == 408:
		return attemptBackendError // another endpoint may well answer it
	case t.Status >= 400 && t.Status < 500:
		return attemptClientError
	}
	return attemptBackendError
}

// tokenType is a kind of token, a closed set.
type tokenType int

const (
	tokensInput tokenType = iota
	tokensOutput
	tokensCachedInput // part of the input
	tokensReasoning   // part of the output
	tokenTypes        // their number
)

func (t tokenType) String() string {
	return [tokenTypes]string{"input", "output", "cached_input", "reasoning"}[t]
}

// usageKind is how far a count of tokens can be trusted, a closed set.
type usageKind int

const (
	usageReported  usageKind = iota // by the endpoint
	usageEstimated                  // by the gateway
	usageNone                       // unknown
	usageKinds                      // their number
)

func (k usageKind) String() string {
	return [usageKinds]string{"reported", "estimated", "none"}[k]
}

func usageKindOf(u *openai.Usage) usageKind {
	switch {
	case u.Reported:
		return usageReported
	case u.Estimated:
		return usageEstimated
	}
	return usageNone
}

// refusal is the status of a request that a limit refused, a closed set.
type refusal int

const (
	refusedRate   refusal = iota // 429: a rate, such as tokens per minute
	refusedQuota                 // 403: a quota, such as tokens per day
	refusedAlways                // 400: it asks for more than the limit ever allows
	refusals                     // their number
)

func (r refusal) String() string { return [refusals]string{"429", "403", "400"}[r] }

func refusalOf(status int) refusal {
	switch status {
	case 403:
		return refusedQuota
	case 400:
		return refusedAlways
	}
	return refusedRate
}
