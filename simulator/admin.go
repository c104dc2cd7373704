package simulator

import (
	"encoding/json"
	"net/http"
)

// scripted is the body of POST /sim/script.
type scripted struct {
	Deployment string  `json:"deployment"`
	Faults     []Fault `json:"faults"`
}

// Stats is the answer of GET /sim/stats.
type Stats struct {
	Calls    map[string]int `json:"calls"`    // by deployment, since the last Reset
	Requests uint64         `json:"requests"` // since the start, these of /sim too
	Canceled int            `json:"canceled"` // calls whose client went away
	Open     int            `json:"open"`     // calls being answered
	Billed   int            `json:"billed"`   // calls billed since the last Reset; the invoice holds the first 200,000
}

// Stats returns the counts that GET /sim/stats shows to other processes.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make(map[string]int, len(s.deployments))
	for name, d := range s.deployments {
		calls[name] = d.calls
	}
	return Stats{Calls: calls, Requests: s.serial.Load(), Canceled: s.Canceled(), Open: s.Open(), Billed: s.billed}
}

// admin answers the simulator's own routes, which have no key: POST /sim/script and /sim/reset, GET
// /sim/stats and /sim/invoice.
func (c *call) admin() {
	h := c.w.Header()
	h.Set("Content-Type", kindJSON)
	refuse := func(status int, code, message string) {
		c.w.WriteHeader(status)
		c.write(azureError(status, code, message).body)
	}
	switch c.r.Method + " " + c.target.operation {
	case "GET stats":
		b, err := json.Marshal(c.s.Stats())
		if err != nil {
			refuse(http.StatusInternalServerError, "500", err.Error())
			return
		}
		c.write(b)
	case "GET invoice":
		c.writeInvoice()
	case "POST reset":
		c.s.Reset()
		c.w.WriteHeader(http.StatusNoContent)
	case "POST script":
		var ask scripted
		body := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, 1<<20))
		body.DisallowUnknownFields()
		if err := body.Decode(&ask); err != nil || ask.Deployment == "" {
			refuse(http.StatusBadRequest, "400", `The body must be {"deployment":"…","faults":["…"]}.`)
			return
		}
		for _, f := range ask.Faults {
			if err := f.Check(); err != nil {
				refuse(http.StatusBadRequest, "400", err.Error())
				return
			}
		}
		c.s.Script(ask.Deployment, ask.Faults...)
		c.w.WriteHeader(http.StatusNoContent)
	default:
		refuse(http.StatusNotFound, "404", "Resource not found")
	}
}
