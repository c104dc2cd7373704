package persist

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// rejectedBytes bounds rejected.jsonl; at that size it becomes
// rejected.1.jsonl, so that both together hold at most 64 MiB.
const rejectedBytes = 32 << 20

// rejectedRow is a line of rejected.jsonl.
type rejectedRow struct {
	At time.Time
	ID string
	// What it was for, so that whoever stores it after all knows.
	Ledger, NoHistory bool `json:",omitempty"`
	Exchange
	Prompt, Completion json.RawMessage
}

// reject keeps the records at some positions of a batch, which the database
// will never take, in a file beside the spool.
func (w *Writer) reject(records []*Record, positions []int) {
	w.rejected.Add(int64(len(positions)))
	w.log.Error("database rejected rows of history", "rows", len(positions), "first_id", records[positions[0]].ID)
	own := w.ownFolder()
	if own == nil {
		return
	}
	for _, i := range positions {
		if err := own.keepRejected(w.now(), records[i]); err != nil {
			w.fault("spool", err)
			w.log.Error("rejected row of history cannot be kept", "id", records[i].ID, "error", err)
		}
	}
}

func (f *folder) keepRejected(at time.Time, r *Record) error {
	line, err := json.Marshal(rejectedRow{at, r.ID, r.Ledger, r.NoHistory, r.Exchange, readable(r.Prompt), readable(r.Completion)})
	if err != nil {
		return err
	}
	path := filepath.Join(f.path, "rejected.jsonl")
	if info, err := os.Stat(path); err == nil && info.Size()+int64(len(line)) >= rejectedBytes {
		if err := os.Rename(path, filepath.Join(f.path, "rejected.1.jsonl")); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = out.Write(append(line, '\n'))
	return err
}

// readable returns JSON as it is, and anything else as a JSON string.
func readable(raw json.RawMessage) json.RawMessage {
	if raw == nil || json.Valid(raw) {
		return raw
	}
	quoted, _ := json.Marshal(strings.ToValidUTF8(string(raw), "\ufffd")) // strings always can be
	return quoted
}
