package sqlite

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"aigateway/db/spec"
	"aigateway/openai"
	"aigateway/persist"
)

func TestTheLedgerCanBeReadBesideTheGateway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	log := slog.New(slog.DiscardHandler)
	if _, _, err := Beside(t.Context(), path, log); err == nil {
		t.Error("a file that is not there was opened")
	}
	db, err := Open(t.Context(), path, spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := &persist.Record{ID: uuid.NewString(), Ledger: true, NoHistory: true, Exchange: persist.Exchange{
		App: "bot", Start: at, Status: 200, Usage: openai.Usage{Reported: true, PromptTokens: 3, TotalTokens: 3},
		Attempts: []persist.Attempt{{ID: "east", Status: 200, Start: at}},
	}}
	if _, err := db.Prompts().Insert(t.Context(), []*persist.Record{record}); err != nil {
		t.Fatal(err)
	}
	ledger, closeFile, err := Beside(t.Context(), path, log)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ledger.Usage(t.Context(), persist.UsageQuery{From: at, To: at.Add(time.Second), By: []string{persist.ByApp}}, 10)
	if err != nil || len(rows) != 1 || rows[0].Prompt != 3 || rows[0].App != "bot" {
		t.Errorf("got %+v, %v", rows, err)
	}
	if err := closeFile(); err != nil {
		t.Error(err)
	}
}
