package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The words that questions are made of: everyday ones without opposites,
// numbers or names, in four places. Two questions share three words at most;
// the simulator's embeddings of such have a cosine below 0.9.
var questionWords = [4][]string{
	strings.Fields("annual basic common daily digital federal formal general global joint legal local major manual mutual " +
		"national official optional personal plain regional remote rural seasonal shared special urban weekly"),
	strings.Fields("agenda allowance archive budget calendar catalog charter clause contract covenant deposit diagram directory " +
		"estimate forecast formula guideline invoice itinerary ledger licence manifest mandate memo notice permit roster tariff"),
	strings.Fields("airport bakery bridge cathedral chapel circus clinic college dairy embassy factory farm forest gallery garden " +
		"harbour hospital hotel laboratory library market museum orchard palace prison stadium theatre winery"),
	strings.Fields("actor barber botanist butcher carpenter chemist clerk dancer dentist engineer farmer gardener guard hunter " +
		"jeweller judge lawyer miner nurse painter pilot plumber poet sailor singer soldier surgeon tailor"),
}

// The words around them, which say nothing: two questions that differ in them
// alone ask the same, to the guards as to the simulator's embeddings.
var questionFrames = []string{
	"What is the %s %s of the %s for the %s?",
	"Please tell me what the %s %s of the %s for the %s is.",
	"Can you tell me the %s %s of the %s for the %s?",
	"I want to know the %s %s of the %s for the %s.",
	"Could you please explain the %s %s of the %s for the %s?",
	"Hello, what is the %s %s of the %s for a %s?",
	"Give me the %s %s of the %s for the %s, please.",
	"I would like to know what the %s %s of a %s for a %s is.",
	"Let me know what the %s %s of the %s is for the %s.",
	"Hi, could you give me the %s %s of this %s for a %s?",
}

// differentQuestions is how many there are.
const differentQuestions = 28 * 28 * 28 * 28

// question is the text of one of [differentQuestions], in one of its wordings.
func question(number, wording int) string {
	// Neighbours in number share no words: the step has no divisor in common
	// with their count.
	n := number * 278_917 % differentQuestions
	var words [4]any
	for i := range words {
		words[i] = questionWords[i][n%28]
		n /= 28
	}
	return fmt.Sprintf(questionFrames[wording%len(questionFrames)], words[:]...)
}

// chat is a request's body: a system message and what was said, in turn by the
// user and the assistant.
func chat(said ...string) string {
	var b strings.Builder
	b.WriteString(`{"model":"bench","temperature":0.2,"max_tokens":800,"messages":[{"role":"system","content":"You are a helpful assistant."}`)
	for i, text := range said {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		quoted, _ := json.Marshal(text)
		fmt.Fprintf(&b, `,{"role":%q,"content":%s}`, role, quoted)
	}
	b.WriteString("]}")
	return b.String()
}

// next is what a client that keeps nothing sends in a conversation.
func next(text string) string {
	quoted, _ := json.Marshal(text)
	return fmt.Sprintf(`{"model":"bench","temperature":0.2,"max_tokens":800,"messages":[{"role":"user","content":%s}]}`, quoted)
}

// questions hands out questions that nobody has asked yet.
type questions struct{ asked int }

func (q *questions) fresh(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = question(q.asked, 0)
		q.asked++
	}
	return list
}
