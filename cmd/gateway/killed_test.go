package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tidwall/gjson"

	"aigateway/db/dbtest"
	"aigateway/simulator"
)

const (
	// killConnections hold conversations when the gateway is killed, after
	// killAfter answers. From holdAfter on prompts come no further than the spool.
	killConnections = 16
	holdAfter       = 300
	killAfter       = 1200
	turnsOfThread   = 4
	// lostBefore bounds what the kill may take of the prompts: those answered in
	// the last moment, which had not come from memory to the spool. That is a few
	// milliseconds, or, once a second, as long as the spool's disk takes to sync.
	lostBefore = 250 * time.Millisecond
)

// turn is a question of one conversation that was answered whole.
type turn struct {
	requestID, thread, nonce string
	at                       time.Time // when the client had the last byte
}

// told is what the clients of a killed gateway know.
type told struct {
	mu       sync.Mutex
	answered []turn          // guarded by mu, as the following
	asked    map[string]bool // request ids, of answered and unanswered ones
	faults   []string
}

// converse has conversations, one after the other, until the connection ends.
func (k *told) converse(ctx context.Context, url string, worker int, some, enough chan<- struct{}) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for n := 0; ; n++ {
		thread := ""
		for i := range turnsOfThread {
			nonce := fmt.Sprintf("nonce%02d%03d%d", worker, n, i)
			k.mu.Lock()
			k.asked[nonce] = true
			k.mu.Unlock()
			var err error
			thread, err = takeTurn(ctx, client, url, thread, nonce, (worker+i)%2 == 0)
			at := time.Now()
			k.mu.Lock()
			switch fault := new(wrongAnswer); {
			case errors.As(err, &fault):
				k.faults = append(k.faults, fault.Error())
			case err == nil:
				k.answered = append(k.answered, turn{nonce, thread, nonce, at})
				switch len(k.answered) {
				case holdAfter:
					close(some)
				case killAfter:
					close(enough)
				}
			}
			k.mu.Unlock()
			if err != nil {
				return
			}
		}
	}
}

// wrongAnswer is an answer that no kill explains.
type wrongAnswer struct{ nonce, seen string }

func (e *wrongAnswer) Error() string { return e.nonce + " was answered: " + e.seen }

// takeTurn asks for one turn and reads the answer whole. Its request id is its
// nonce.
func takeTurn(ctx context.Context, client *http.Client, url, thread, nonce string, stream bool) (string, error) {
	body := fmt.Sprintf(`{"stream":%t,"messages":[{"role":"user","content":"Tell me of %s"}]}`, stream, nonce)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", nonce)
	if thread != "" {
		req.Header.Set("X-Thread-Id", thread)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	started := resp.Header.Get("X-Thread-Id")
	whole := json.Valid(text)
	if stream {
		whole = bytes.HasSuffix(text, []byte("data: [DONE]\n\n"))
	}
	switch {
	case resp.StatusCode != http.StatusOK, !whole, !bytes.Contains(text, []byte(nonce)), started == "", thread != "" && started != thread, resp.Header.Get("X-Thread-Status") != "":
		return "", &wrongAnswer{nonce, fmt.Sprintf("%s, thread %q after %q, status %q: %s", resp.Status, started, thread, resp.Header.Get("X-Thread-Status"), text)}
	}
	return started, nil
}

// TestKillUnderLoadLosesNothingThatWasAnswered is killUnderLoad on PostgreSQL,
// with prompts held back on disk when the kill comes.
func TestKillUnderLoadLosesNothingThatWasAnswered(t *testing.T) {
	address := dbtest.Postgres(t)
	killUnderLoad(t, keepingEnv("DATABASE_URL="+address, "API_GATEWAY_DATA_DIR="+t.TempDir()),
		func() (release func()) { return holdPrompts(t, address) },
		func() eachRow {
			conn, err := pgx.Connect(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close(context.Background()) })
			return func(query string, f func(row []string)) { eachPostgresRow(t, conn, query, f) }
		})
}

// eachRow calls f with the columns of each row that a query finds, all texts.
type eachRow func(query string, f func(row []string))

// killUnderLoad kills a gateway in the middle of conversations and counts what
// its clients were told against what the next one finds: every turn, each once
// and in order, and every prompt but those of the last moment. hold is called
// amid the load, and release after the kill; open opens the store.
func killUnderLoad(t *testing.T, env []string, hold func() (release func()), open func() eachRow) {
	t.Helper()
	sim, models := startModels(t)
	configuration := keepingConfig(models)
	env = append(env, "API_GATEWAY_LEDGER=true")
	first := startGateway(t, configuration, env...)

	known := told{asked: map[string]bool{}}
	some, enough, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var clients sync.WaitGroup
	for worker := range killConnections {
		clients.Go(func() { known.converse(t.Context(), first.Base+"/lb/chat", worker, some, enough) })
	}
	go func() {
		defer close(left)
		clients.Wait()
	}()
	wait := func(until <-chan struct{}) {
		select {
		case <-until:
		case <-left: // they all failed
		case <-time.After(startsWithin):
			t.Error("the clients hang")
		}
	}
	wait(some)
	release := hold()
	wait(enough)
	killedAt := time.Now()
	first.kill(t)
	<-left
	release() // what the dead one was inserting comes too: once, all the same
	if len(known.faults) > 0 || len(known.answered) < killAfter {
		t.Fatalf("%d answers, %d wrong ones: %s", len(known.answered), len(known.faults), strings.Join(known.faults, "\n"))
	}

	// The next one takes over what the first left on disk.
	second := startGateway(t, configuration, env...)
	if err := eventually(startsWithin, func() (bool, error) {
		page, err := readPage(second.Base + "/metrics?format=prometheus")
		return strings.Contains(page, "\ngateway_prompts_waiting 0\n"), err
	}); err != nil {
		t.Fatalf("the spool does not empty: %v", err)
	}

	each := open()
	known.checkTurns(t, each)
	known.checkPrompts(t, each, killedAt)
	checkLedger(t, each, sim.Invoice())
	known.checkNextTurn(t, second.Base+"/lb/chat")
}

// holdPrompts keeps everybody from the table of prompts until it is released.
func holdPrompts(t *testing.T, address string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err == nil {
		_, err = conn.Exec(t.Context(), `BEGIN; LOCK TABLE apigtwyprompts IN ACCESS EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatalf("holding the prompts: %v", err)
	}
	return func() { conn.Close(t.Context()) }
}

// checkTurns: every answered turn is stored once, in the order of its
// conversation. One that was being answered may be stored too.
func (k *told) checkTurns(t *testing.T, each eachRow) {
	t.Helper()
	stored := map[string][]string{} // by thread, request ids in order
	each(`SELECT threadid, requestid, CAST(context AS text) FROM apigtwymemory ORDER BY id`, func(row []string) {
		if !strings.Contains(row[2], row[1]) {
			t.Errorf("turn %s is stored as %s", row[1], row[2])
		}
		if !k.asked[row[1]] {
			t.Errorf("turn %s is stored and was never asked", row[1])
		}
		stored[row[0]] = append(stored[row[0]], row[1])
	})
	answers := map[string][]string{}
	for _, a := range k.answered {
		answers[a.thread] = append(answers[a.thread], a.requestID)
	}
	for thread, want := range answers {
		got := stored[thread]
		if len(got) > len(want)+1 || fmt.Sprint(got[:min(len(got), len(want))]) != fmt.Sprint(want) {
			t.Errorf("thread %s has turns %q, its client was answered %q", thread, got, want)
		}
	}
	if unknown := len(stored) - len(answers); unknown > killConnections {
		t.Errorf("%d threads that no client knows, want at most one a connection", unknown)
	}
}

// checkPrompts: the prompt of every answer is stored once, but for those of
// the last moment.
func (k *told) checkPrompts(t *testing.T, each eachRow, killedAt time.Time) {
	t.Helper()
	stored := map[string]int{}
	each(`SELECT requestid, CAST(prompt AS text), CAST(completion AS text) FROM apigtwyprompts`, func(row []string) {
		stored[row[0]]++
		if !k.asked[row[0]] || !strings.Contains(row[1], row[0]) || !strings.Contains(row[2], row[0]) {
			t.Errorf("prompt %s is stored as %s, answered %s", row[0], row[1], row[2])
		}
	})
	lost := 0
	for _, a := range k.answered {
		switch n := stored[a.requestID]; {
		case n > 1:
			t.Errorf("prompt %s is stored %d times", a.requestID, n)
		case n == 0:
			lost++
			if before := killedAt.Sub(a.at); before > lostBefore {
				t.Errorf("prompt %s is not stored; it was answered %v before the kill", a.requestID, before)
			}
		}
	}
	t.Logf("%d answered, %d prompts stored, %d lost", len(k.answered), len(stored), lost)
}

// checkLedger: what is stored is booked once, with the tokens that the model
// billed; the totals are the rows' sums. Only what the kill took is not booked.
func checkLedger(t *testing.T, each eachRow, invoice []simulator.Line) {
	t.Helper()
	billed := map[string]simulator.Line{}
	for _, line := range invoice {
		billed[line.RequestID] = line
	}
	booked := map[string]string{} // tokens by request
	each(`SELECT requestid, CAST(prompttokens AS text), CAST(completiontokens AS text) FROM apigtwyledger WHERE operation = 'chat'`, func(row []string) {
		if _, twice := booked[row[0]]; twice {
			t.Errorf("%s is booked twice", row[0])
		}
		booked[row[0]] = row[1] + "+" + row[2]
	})
	rows, hits := 0, 0
	each(`SELECT requestid, CAST(attempts AS text) FROM apigtwyprompts`, func(row []string) {
		rows++
		told := gjson.Get(strings.ToLower(row[1]), "0.told") // the stores spell its members differently
		id := told.Get("requestid").String()
		want := "0+0"
		if line, asked := billed[id]; asked {
			want = fmt.Sprintf("%d+%d", line.PromptTokens, line.CompletionTokens)
		} else {
			hits++
		}
		if booked[row[0]] != want {
			t.Errorf("%s is booked with %q, billed with %q", row[0], booked[row[0]], want)
		}
		delete(billed, id)
	})
	if len(booked) != rows {
		t.Errorf("%d booked, %d stored", len(booked), rows)
	}
	var sums [2]string
	for i, table := range []string{
		`SELECT CAST(count(*) AS text), CAST(sum(prompttokens) AS text), CAST(sum(completiontokens) AS text) FROM apigtwyledger`,
		`SELECT CAST(sum(requests) AS text), CAST(sum(prompttokens) AS text), CAST(sum(completiontokens) AS text) FROM apigtwyusage`,
	} {
		each(table, func(row []string) { sums[i] = strings.Join(row, " ") })
	}
	if sums[0] != sums[1] {
		t.Errorf("the rows add up to %s, the totals to %s", sums[0], sums[1])
	}
	unbooked := 0
	for _, line := range billed {
		if line.Operation == "chat/completions" {
			unbooked++
		}
	}
	t.Logf("%d calls billed, %d requests booked (%d from the cache), %d calls cut off or lost by the kill", len(invoice), rows, hits, unbooked)
	if unbooked > killConnections+len(booked)/50 {
		t.Errorf("%d calls of the model are not booked", unbooked)
	}
}

// checkNextTurn: a conversation goes on where the kill left it.
func (k *told) checkNextTurn(t *testing.T, url string) {
	t.Helper()
	of := map[string]int{}
	last := k.answered[0].thread // whole, and not the one that the kill met
	for _, a := range k.answered {
		of[a.thread]++
	}
	next := postChat(t, url, "And now?", "x-thread-id", last)
	if want := fmt.Sprintf("It has read %d messages", 2*of[last]+1); next.status != http.StatusOK || !strings.Contains(next.body, want) {
		t.Errorf("the next turn after %d: status %d: %s", of[last], next.status, next.body)
	}
}

// eachPostgresRow is eachRow on PostgreSQL.
func eachPostgresRow(t *testing.T, conn *pgx.Conn, query string, f func(row []string)) {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	row := make([]string, len(rows.FieldDescriptions()))
	into := make([]any, len(row))
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		f(row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// readPage reads one of the gateway's pages.
func readPage(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	return string(page), err
}
