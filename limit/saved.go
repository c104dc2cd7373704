package limit

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// version is that of the file's form.
const version = 1

// mostFile bounds the file that is read, in bytes: some 200 bytes for each quota
// of a full limit or two.
const mostFile = 256 << 20

// saved is what the file said of accounts whose purse has not been asked for
// since.
type saved struct {
	left    atomic.Int64      // how many
	written [sha256.Size]byte // digest of the file; Run's own

	mu       sync.Mutex // guards what follows
	accounts map[string]savedAccount
}

// savedFile is the file's form.
type savedFile struct {
	Format   string         `json:"format"`
	Version  int            `json:"version"`
	Mark     mark           `json:"mark"` // of the Shared that was told, zero for none
	Accounts []savedAccount `json:"accounts"`
}

const fileFormat = "aigateway quotas"

// savedAccount is what was used of one quota in one day or month.
type savedAccount struct {
	Key   string    `json:"key"` // with amount and date
	Used  int64     `json:"used"`
	Owed  int64     `json:"owed"` // the part of it that Shared was not told
	Until time.Time `json:"until"`
	Book  string    `json:"book"`
	Limit string    `json:"limit"` // id
}

// take returns what the file said of an account, once.
func (s *saved) take(key string, a amount, start int64) (used, owed int64) {
	if s.left.Load() == 0 {
		return 0, 0
	}
	key = dated(key, a, start)
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.accounts[key]
	if ok {
		delete(s.accounts, key)
		s.left.Add(-1)
	}
	return found.Used, found.Owed
}

// look returns what the file said of an account.
func (s *saved) look(key string, a amount, start int64) (used int64) {
	if s.left.Load() == 0 {
		return 0
	}
	key = dated(key, a, start)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[key].Used
}

// offer owes everything.
func (s *saved) offer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, a := range s.accounts {
		a.Owed = a.Used
		s.accounts[key] = a
	}
}

// forget forgets accounts of books that are not used.
func (l *Limits) forget(used map[string]bool) {
	s := &l.saved
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, a := range s.accounts {
		if !used[a.Book] {
			delete(s.accounts, key)
			s.left.Add(-1)
		}
	}
}

// load reads the file, if there is one. What is not ours, or broken, is put
// aside, so that it is neither believed nor lost.
func (l *Limits) load() error {
	if l.file == "" {
		return nil
	}
	f, err := os.Open(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, mostFile+1))
	if err != nil {
		return err
	}
	read, err := decode(data)
	if err != nil {
		aside := l.file + ".bad"
		l.log.Warn("quotas start afresh: their file cannot be understood", "file", l.file, "aside", aside, "error", err)
		return os.Rename(l.file, aside)
	}
	now := l.clock.now()
	l.together.mark = read.Mark
	l.saved.accounts = make(map[string]savedAccount, len(read.Accounts))
	for _, a := range read.Accounts {
		if a.Until.After(now) {
			a.Used, a.Owed = bounded(a.Used), min(max(a.Owed, -mostAsked), mostAsked)
			l.saved.accounts[a.Key] = a
		}
	}
	l.bound()
	l.saved.left.Store(int64(len(l.saved.accounts)))
	return nil
}

// bound forgets what the file said of more purses of a limit than it can have
// in memory, those that used least: else each process would add its own to the
// file.
func (l *Limits) bound() {
	used := map[string]map[string]int64{} // by limit and purse: of its greatest quota
	for _, a := range l.saved.accounts {
		of := used[a.Limit]
		if of == nil {
			of = map[string]int64{}
			used[a.Limit] = of
		}
		of[a.purse()] = max(of[a.purse()], a.Used)
	}
	forgotten := map[string]bool{}
	for limit, of := range used {
		more := len(of) - mostPurses
		if more <= 0 {
			continue
		}
		least := slices.SortedFunc(maps.Keys(of), func(a, b string) int {
			return cmp.Or(cmp.Compare(of[a], of[b]), strings.Compare(a, b))
		})
		for _, purse := range least[:more] {
			forgotten[purse] = true
		}
		l.log.Warn("quotas of accounts are forgotten: a limit had no room for so many", "limit", limit, "kept", mostPurses, "forgotten", more)
	}
	maps.DeleteFunc(l.saved.accounts, func(_ string, a savedAccount) bool { return forgotten[a.purse()] })
}

// purse returns the key of the purse: that of the account without amount and
// date.
func (a *savedAccount) purse() string {
	key := a.Key
	for range 2 {
		key = key[:max(strings.LastIndexByte(key, ' '), 0)]
	}
	return key
}

func decode(data []byte) (*savedFile, error) {
	if len(data) > mostFile {
		return nil, errors.New("it is too large")
	}
	var read savedFile
	if err := json.Unmarshal(data, &read); err != nil {
		return nil, err
	}
	if read.Format != fileFormat || read.Version != version {
		return nil, fmt.Errorf("it is no file of quotas of version %d", version)
	}
	return &read, nil
}

// save writes the file. A fault is logged: the next time may do better.
func (l *Limits) save() {
	if l.file == "" {
		return
	}
	if err := l.write(); err != nil {
		l.log.Warn("quotas are not saved", "file", l.file, "error", err)
	}
}

// write replaces the file, if anything has changed since.
func (l *Limits) write() error {
	data, err := json.Marshal(savedFile{Format: fileFormat, Version: version, Mark: l.together.mark, Accounts: l.accounts(l.clock.now())})
	if err != nil {
		return err
	}
	digest := sha256.Sum256(data)
	if digest == l.saved.written {
		return nil
	}
	if err := replace(l.file, data); err != nil {
		return err
	}
	l.saved.written = digest
	return nil
}

// replace writes a file in the place of another: whoever reads it, after a
// crash too, has one or the other.
func replace(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// accounts returns the quotas used in days and months that are not over.
func (l *Limits) accounts(now time.Time) []savedAccount {
	var all []savedAccount
	for _, b := range l.allBooks() {
		b.each(func(p *purse) {
			for i, c := range p.calendars {
				if c == nil {
					continue
				}
				for _, s := range []*span{&c.now, &c.before} {
					if a := amount(i); s.used > 0 && until(a, s.start).After(now) {
						all = append(all, savedAccount{dated(p.key, a, s.start), s.used, s.owed, until(a, s.start), b.name, b.limit})
					}
				}
			}
		})
	}
	l.saved.mu.Lock()
	defer l.saved.mu.Unlock()
	for _, a := range l.saved.accounts {
		if a.Until.After(now) {
			all = append(all, a)
		}
	}
	unsent := map[string]int64{}
	for _, list := range [][]Settlement{l.together.bundle.all, l.together.sending} {
		for _, s := range list {
			if s.Kind == Period {
				unsent[s.Key] += s.Delta
			}
		}
	}
	for i := range all {
		all[i].Owed += unsent[all[i].Key]
	}
	slices.SortFunc(all, func(a, b savedAccount) int { return strings.Compare(a.Key, b.Key) })
	return all
}
