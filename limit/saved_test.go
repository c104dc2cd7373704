package limit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aigateway/config"
)

// quota returns limits of 100 tokens a day and 200 a month by user.
func quota() *config.Config {
	return one(config.Amounts{TokensPerDay: 100, TokensPerMonth: 200, TokensPerMinute: 1000}, "user")
}

func TestQuotasSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quotas.json")
	f := newFixture(t, Options{File: file}, quota())
	f.admit("a", Ask{User: "u", Tokens: 100}).Settle(70, 0)
	f.save()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}

	f.start(Options{File: file}, quota())
	f.save() // with accounts that nobody has asked for yet
	f.start(Options{File: file}, quota())
	f.refuse("a", Ask{User: "u", Tokens: 31})
	f.admit("a", Ask{User: "u", Tokens: 30}).Settle(30, 0)
	f.admit("a", Ask{User: "v", Tokens: 100})
	if got := f.used("a", Ask{User: "u"}, "l", "tokensPerMonth"); got != 100 {
		t.Errorf("%d tokens of the month are used, want 100", got)
	}
	f.save()

	f.clock.forward(12 * time.Hour) // the day is over
	f.start(Options{File: file}, quota())
	f.admit("a", Ask{User: "u", Tokens: 100}).Settle(100, 0)
	f.save()
	f.clock.forward(24 * time.Hour)
	f.start(Options{File: file}, quota())
	if refused := f.refuse("a", Ask{User: "u", Tokens: 1}); refused.Amount != "tokensPerMonth" {
		t.Errorf("refused by %s", refused.Amount)
	}
}

func TestFileForgetsLimitsThatAreGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quotas.json")
	f := newFixture(t, Options{File: file}, quota())
	f.admit("a", Ask{User: "u", Tokens: 100}).Settle(70, 0)
	f.save()
	f.start(Options{File: file}, apps([]string{"a"}))
	f.save()
	f.start(Options{File: file}, quota())
	f.admit("a", Ask{User: "u", Tokens: 100})
}

func TestFileOfMoreAccountsThanALimitCanHaveIsBounded(t *testing.T) {
	const more = 10
	file := filepath.Join(t.TempDir(), "quotas.json")
	cfg := apps([]string{"a"},
		config.Limit{ID: "l", Per: []string{"user"}, Allow: config.Amounts{TokensPerDay: 100, TokensPerMonth: 200}},
		config.Limit{ID: "other", Per: []string{"tenant"}, Allow: config.Amounts{TokensPerMonth: 1000}})
	f := newFixture(t, Options{File: file}, cfg)
	f.admit("a", Ask{User: "much", Tokens: 50}).Settle(50, 0) // of the month, for tomorrow
	f.clock.forward(12 * time.Hour)
	day, month := f.clock.now().Truncate(24*time.Hour), time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	f.save()
	f.start(Options{File: file}, cfg) // which many come to
	accounts := f.accounts(f.clock.now())
	book := f.rules.For("a").requests[0].book
	for i := range mostPurses - 1 + more {
		key := book.name + string(appendValue(nil, fmt.Sprint("name ", i)))
		used := int64(2)
		if i < more {
			used = 1
		}
		accounts = append(accounts,
			savedAccount{dated(key, tokensPerDay, day.Unix()), used, 0, until(tokensPerDay, day.Unix()), book.name, "l"},
			savedAccount{dated(key, tokensPerMonth, month.Unix()), used, 0, until(tokensPerMonth, month.Unix()), book.name, "l"})
	}
	data, err := json.Marshal(savedFile{Format: fileFormat, Version: version, Accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	f.start(Options{File: file, Log: slog.New(slog.NewTextHandler(&log, nil))}, cfg)
	if got, want := len(f.saved.accounts), 2*mostPurses-1+1; got != want { // one has none of today; and the other limit's
		t.Errorf("%d accounts are kept, want %d", got, want)
	}
	for name, want := range map[string]int64{"much": 50, "name 0": 0, fmt.Sprint("name ", more-1): 0, fmt.Sprint("name ", more): 2} {
		if got := f.used("a", Ask{User: name}, "l", "tokensPerMonth"); got != want {
			t.Errorf("%s has used %d, want %d", name, got, want)
		}
	}
	if said := log.String(); strings.Count(said, "forgotten") != 2 || !strings.Contains(said, "limit=l kept=100000 forgotten=10") {
		t.Errorf("logged %s", said)
	}
}

func TestBrokenFileIsPutAside(t *testing.T) {
	for name, text := range map[string]string{
		"empty":       "",
		"cut":         `{"format":"aigateway quotas","version":1,"acc`,
		"foreign":     `{"applications":[]}`,
		"later":       `{"format":"aigateway quotas","version":2,"accounts":[]}`,
		"other types": `{"format":"aigateway quotas","version":1,"accounts":[{"used":"many"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "quotas.json")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			f := newFixture(t, Options{File: file, Log: slog.New(slog.NewTextHandler(&log, nil))}, quota())
			f.admit("a", Ask{User: "u", Tokens: 100}).Settle(100, 0)
			f.save()
			if !strings.Contains(log.String(), "start afresh") {
				t.Errorf("logged %q", log.String())
			}
			if aside, err := os.ReadFile(file + ".bad"); err != nil || string(aside) != text {
				t.Errorf("aside is %q, %v", aside, err)
			}
			f.start(Options{File: file}, quota())
			f.refuse("a", Ask{User: "u", Tokens: 1})
		})
	}
}

func TestFileWithAbsurdNumbersIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quotas.json")
	f := newFixture(t, Options{File: file}, quota())
	f.admit("a", Ask{User: "u", Tokens: 100}).Settle(70, 0)
	f.save()
	for _, used := range []string{"-70", "9223372036854775807"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.ReplaceAll(string(text), `"used":70`, `"used":`+used))
		if err := os.WriteFile(file+used, text, 0o600); err != nil {
			t.Fatal(err)
		}
		f.start(Options{File: file + used}, quota())
		if got := f.used("a", Ask{User: "u"}, "l", "tokensPerDay"); got < 0 || got > mostAsked {
			t.Errorf("%d tokens are used", got)
		}
	}
}

func TestFileThatCannotBeReadIsAFault(t *testing.T) {
	if _, err := New(Options{File: t.TempDir()}); err == nil {
		t.Error("a folder was read as a file")
	}
}

func TestFaultOfSavingIsLoggedAndForgivesNothing(t *testing.T) {
	var log bytes.Buffer
	folder := filepath.Join(t.TempDir(), "none")
	f := newFixture(t, Options{File: filepath.Join(folder, "quotas.json"), Log: slog.New(slog.NewTextHandler(&log, nil))}, quota())
	f.admit("a", Ask{User: "u", Tokens: 100})
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // so that no folder can be made
		t.Fatal(err)
	}
	f.save()
	if !strings.Contains(log.String(), "quotas are not saved") {
		t.Errorf("logged %q", log.String())
	}
	f.refuse("a", Ask{User: "u", Tokens: 1})
}

func TestRunSavesAndPrunes(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "quotas.json")
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{File: file, Now: time.Now}, one(config.Amounts{TokensPerDay: 100, RequestsPerMinute: 5}, "user"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		f.admit("a", Ask{User: "u", Tokens: 30}).Settle(30, 0)
		f.admit("a", Ask{User: "idle"}).Settle(0, 0)
		<-time.After(housekeeping + time.Second)
		saved := func() string {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if !strings.Contains(saved(), `"used":30`) {
			t.Errorf("saved while running: %s", saved())
		}
		<-time.After(65*time.Second + housekeeping)
		if got := f.Readings().Accounts; got != 1 {
			t.Errorf("%d accounts are kept, want that of u", got)
		}
		f.admit("a", Ask{User: "u", Tokens: 10}).Settle(10, 0)
		cancel()
		<-done
		if !strings.Contains(saved(), `"used":40`) {
			t.Errorf("saved at the end: %s", saved())
		}
	})
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}
