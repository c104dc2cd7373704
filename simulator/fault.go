package simulator

import (
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Fault says how calls go wrong, as a list of words separated by semicolons:
//
//	latency=200ms        wait before the headers       cadence=10ms   wait between two events
//	status=503           an error of that status       retry-after=2  a response header; so are retry-after-ms and x-…
//	reset                reset before headers          hang           say nothing until the client leaves
//	hang=3               fall silent after 3 events    cut=5          break the connection after 5 events
//	truncate             half of the promised bytes    garbage        bytes that no parser takes
//	html, empty, object  an HTML page, nothing, {}     nochoices      an answer without choices
//	big=10485760         a text of that many bytes     words=200      a text of that many words
//	split                writes that end in the middle of a character
//	errorevent=2         an error event after 2 content events, 0 is first of all
//	stall=2              silence after 2 content events   nousage     no usage reported
//	badusage=strings     counts of no use, also negative and huge
//	cachedprompt=100     prompt tokens from the cache     reasoning=64 tokens of reasoning
//	crlf, nodone, nofinish, onechunk, asyncfilter      spellings of a stream
//
// Later words win over earlier ones. The empty Fault is none.
type Fault string

// maxText bounds big=, which callers choose, in bytes. maxWords bounds words=: a streamed word takes half a kilobyte.
const (
	maxText  = 32 << 20
	maxWords = 1 << 17
)

// Check returns an error that names the word of f which cannot be read.
func (f Fault) Check() error {
	p := newPlan()
	p.lay(f)
	return p.err
}

// plan is what a call does besides answering: faults, read.
type plan struct {
	latency, cadence time.Duration
	status           int      // 0: the answer's own
	header           []string // name, value, name, value…

	reset, hangFirst                  bool
	truncate, garbage, html           bool
	empty, object, noChoices          bool
	split, crlf, noDone, noFinish     bool
	oneChunk, asyncFilter             bool
	noUsage                           bool
	cut, hang, errorEvent, big, words int    // -1: not asked for
	stall, cachedPrompt, reasoning    int    // -1: not asked for
	badUsage                          string // strings, negative, huge, or empty

	err error // the first word that could not be read
}

func newPlan() plan {
	return plan{cut: -1, hang: -1, errorEvent: -1, big: -1, words: -1, stall: -1, cachedPrompt: -1, reasoning: -1}
}

// lay puts the words of f over those p has.
func (p *plan) lay(f Fault) {
	for rest := string(f); rest != ""; {
		var word string
		word, rest, _ = strings.Cut(rest, ";")
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		name, value, _ := strings.Cut(word, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if err := p.set(name, strings.TrimSpace(value), strings.Contains(word, "=")); err != nil && p.err == nil {
			p.err = fmt.Errorf("fault %q: %w", word, err)
		}
	}
}

func (p *plan) set(name, value string, given bool) error {
	if flag := p.flag(name); flag != nil && !(name == "hang" && given) {
		if given {
			return fmt.Errorf("takes no value")
		}
		*flag = true
		return nil
	}
	switch name {
	case "latency":
		return setDuration(&p.latency, value)
	case "cadence":
		return setDuration(&p.cadence, value)
	case "status":
		return setNumber(&p.status, value, 200, 599)
	case "cut":
		return setNumber(&p.cut, value, 0, maxText)
	case "hang":
		return setNumber(&p.hang, value, 0, maxText)
	case "errorevent":
		return setNumber(&p.errorEvent, value, 0, maxText)
	case "big":
		return setNumber(&p.big, value, 0, maxText)
	case "words":
		return setNumber(&p.words, value, 0, maxWords)
	case "stall":
		return setNumber(&p.stall, value, 0, maxText)
	case "cachedprompt":
		return setNumber(&p.cachedPrompt, value, 0, maxText)
	case "reasoning":
		return setNumber(&p.reasoning, value, 0, maxText)
	case "badusage":
		return p.setBadUsage(value)
	}
	if strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "retry-after") {
		if strings.ContainsAny(name, " \t\r\n:") {
			return fmt.Errorf("is no header name")
		}
		// A new array each time: plans are copied, and copies share what is behind a slice.
		p.header = append(p.header[:len(p.header):len(p.header)], textproto.CanonicalMIMEHeaderKey(name), value)
		return nil
	}
	return fmt.Errorf("is not a word of the fault grammar")
}

// flag is where a word without a value is kept; nil when there is no such word.
func (p *plan) flag(name string) *bool {
	switch name {
	case "reset":
		return &p.reset
	case "hang":
		return &p.hangFirst
	case "truncate":
		return &p.truncate
	case "garbage":
		return &p.garbage
	case "html":
		return &p.html
	case "empty":
		return &p.empty
	case "object":
		return &p.object
	case "nochoices":
		return &p.noChoices
	case "split":
		return &p.split
	case "crlf":
		return &p.crlf
	case "nodone":
		return &p.noDone
	case "nofinish":
		return &p.noFinish
	case "onechunk":
		return &p.oneChunk
	case "asyncfilter":
		return &p.asyncFilter
	case "nousage":
		return &p.noUsage
	}
	return nil
}

func (p *plan) setBadUsage(value string) error {
	switch value {
	case "strings", "negative", "huge":
		p.badUsage = value
		return nil
	}
	return fmt.Errorf("wants strings, negative or huge, not %q", value)
}

func setDuration(to *time.Duration, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return fmt.Errorf("wants a duration such as 200ms, not %q", value)
	}
	*to = d
	return nil
}

func setNumber(to *int, value string, least, most int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return fmt.Errorf("wants a number from %d to %d, not %q", least, most, value)
	}
	*to = n
	return nil
}
