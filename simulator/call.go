package simulator

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// call is one request being answered.
type call struct {
	s           *Simulator
	w           http.ResponseWriter
	r           *http.Request
	target      target
	d           *deployment
	plan        plan
	body        []byte
	parsedQuery url.Values
	serial      uint64
	rate        [4]string // x-ratelimit-limit-requests, -remaining-requests, -limit-tokens, -remaining-tokens
	status      int       // as answered, for the log
	gone        bool      // a write told that the client left
	id          string    // the answer's request id, once it has one
	start       time.Time

	// What the invoice needs.
	bill     *bill  // nil: nothing is billed
	streamed bool   // the answer is a stream
	begun    bool   // some of the answer was sent, or a part of it generated
	said     int    // how many bytes of the bill's texts count
	ended    string // Ended…
}

// overlay puts the faults that the caller asks for over the call's: the header x-sim-fault, then the marker
// sim:<fault> in the body's user member, which passes through gateways.
func (c *call) overlay() {
	for _, f := range c.r.Header["X-Sim-Fault"] {
		c.plan.lay(Fault(f))
	}
	const marker = "sim:"
	if !bytes.Contains(c.body, []byte(marker)) || !valid(c.body) {
		return
	}
	if user := gjson.GetBytes(c.body, "user"); user.Type == gjson.String && len(user.Str) > len(marker) && user.Str[:len(marker)] == marker {
		c.plan.lay(Fault(user.Str[len(marker):]))
	}
}

// before does what comes before an answer: latency, silence, a reset, an error status. False: the call is over.
func (c *call) before() bool {
	p := &c.plan
	if p.err != nil {
		c.deliver(azureError(http.StatusBadRequest, "SimulatedFault", p.err.Error()))
		return false
	}
	if !c.wait(p.latency) {
		return false
	}
	switch {
	case p.hangFirst:
		c.hang()
		return false
	case p.reset:
		c.reset()
		return false
	case p.status >= 300 && !p.html && !p.garbage && !p.empty && !p.object:
		c.deliver(c.faultStatus())
		return false
	}
	return true
}

// answer checks what all operations have in common and then runs the target's.
func (c *call) answer() reply {
	if refusal, ok := c.apiVersion(); !ok {
		return refusal
	}
	a := c.target.answer(c)
	if c.plan.big > len(a.body) && a.kind == kindJSON && !a.failed && len(a.body) > 2 && a.body[0] == '{' {
		a.body = append(a.body[:len(a.body)-1], `,"padding":"`...) // answers without a text of their own
		a.body = append(a.body, bytes.Repeat([]byte("x"), c.plan.big)...)
		a.body = append(a.body, `"}`...)
	}
	return a
}

// wait waits for d; false when the client left meanwhile.
func (c *call) wait(d time.Duration) bool {
	if d <= 0 {
		return c.r.Context().Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.Context().Done():
		return false
	}
}

// hang says nothing more until the client leaves or the server stops.
func (c *call) hang() { <-c.r.Context().Done() }

// reset breaks the connection with a TCP reset where it can, so that the client sees no orderly end.
func (c *call) reset() {
	h, ok := c.w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Only makes the end rougher; the connection closes either way.
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// abort breaks off an answer already begun.
func (c *call) abort() {
	c.ended = EndedBroken
	panic(http.ErrAbortHandler)
}

// headers sets what every answer of the service carries, then the fault's own.
func (c *call) headers(a *reply) {
	h := c.w.Header()
	h["Content-Type"] = []string{a.kind}
	c.id = c.requestID()
	id := []string{c.id}
	h["X-Request-Id"] = id
	took := []string{strconv.FormatInt(c.plan.latency.Milliseconds()+7, 10)}
	switch c.target.service {
	case serviceOpenAI:
		h["Openai-Processing-Ms"] = took
		h["Openai-Version"] = []string{"2020-10-01"}
	case serviceSearch:
		h["Request-Id"] = id
		h["Elapsed-Time"] = []string{"7"}
		fallthrough
	default:
		h["Apim-Request-Id"] = id
		h["X-Ms-Region"] = c.s.region
		h["X-Envoy-Upstream-Service-Time"] = took
		h["Strict-Transport-Security"] = []string{"max-age=31536000; includeSubDomains; preload"}
		h["X-Content-Type-Options"] = []string{"nosniff"}
	}
	if c.target.service == serviceAzure {
		h["Azureml-Model-Session"] = c.s.session
		h["X-Ms-Deployment-Name"] = []string{c.target.deployment}
	}
	if mine := c.r.Header["X-Ms-Client-Request-Id"]; len(mine) > 0 {
		h["X-Ms-Client-Request-Id"] = mine[:1]
	}
	if c.rate[1] != "" {
		h["X-Ratelimit-Limit-Requests"] = c.rate[0:1]
		h["X-Ratelimit-Remaining-Requests"] = c.rate[1:2]
		h["X-Ratelimit-Limit-Tokens"] = c.rate[2:3]
		h["X-Ratelimit-Remaining-Tokens"] = c.rate[3:4]
	}
	for i := 0; i+1 < len(a.header); i += 2 {
		h[a.header[i]] = a.header[i+1 : i+2]
	}
	for i := 0; i+1 < len(c.plan.header); i += 2 {
		h[c.plan.header[i]] = c.plan.header[i+1 : i+2]
	}
}

// requestID is the call's id in the form of a UUID.
func (c *call) requestID() string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], mix(c.s.seed+c.serial))
	binary.BigEndian.PutUint64(raw[8:], mix(c.s.seed^c.serial<<32))
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80 // version 4, as Azure's
	var id [36]byte
	hex.Encode(id[0:8], raw[0:4])
	hex.Encode(id[9:13], raw[4:6])
	hex.Encode(id[14:18], raw[6:8])
	hex.Encode(id[19:23], raw[8:10])
	hex.Encode(id[24:36], raw[10:16])
	id[8], id[13], id[18], id[23] = '-', '-', '-', '-'
	return string(id[:])
}

// appendID appends prefix and a text that no other call of this simulator has.
func (c *call) appendID(dst []byte, prefix string) []byte {
	dst = append(dst, prefix...)
	const digits = "0123456789abcdefghijklmnopqrstuv"
	for n, i := mix(c.s.seed+c.serial), 0; i < 13; i++ {
		dst = append(dst, digits[n&31])
		n >>= 5
	}
	return strconv.AppendUint(dst, c.serial, 36)
}

// mix spreads the bits of n: the finaliser of SplitMix64.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
