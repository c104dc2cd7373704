package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"aigateway/config"
)

// expireBatch is how many rows one statement of an invalidator deletes, so
// that none holds its locks for long.
const expireBatch = 500

// ExpireCache deletes the entries of every application that are past its
// expiry, and returns how many there were: contract section 11. Here and
// below progress, unless nil, is told of each batch.
func (s *Server) ExpireCache(ctx context.Context, progress func(rows int)) (int, error) {
	if s.entries == nil {
		return 0, nil
	}
	return s.expireApps(ctx, progress, func(app *App) func(time.Time) time.Time { return since(app.CacheSettings.EntryExpiry) }, s.entries.Expire)
}

// ExpireMemory deletes the conversations of every application that were not
// used for longer than its expiry.
func (s *Server) ExpireMemory(ctx context.Context, progress func(rows int)) (int, error) {
	if s.conversations == nil {
		return 0, nil
	}
	return s.expireApps(ctx, progress, func(app *App) func(time.Time) time.Time { return since(app.MemorySettings.EntryExpiry) }, s.conversations.Expire)
}

// errInUse: what is left cannot be deleted while somebody reads it.
var errInUse = errors.New("what is left is being read by somebody and cannot be deleted now")

// ExpirePrompts deletes stored requests that are older than their retention.
func (s *Server) ExpirePrompts(ctx context.Context, progress func(rows int)) (int, error) {
	if s.history == nil {
		return 0, nil
	}
	return s.expireRows(ctx, progress, s.live.Load().Config.Persist.Retention, s.history.Expire)
}

// ExpireLedger deletes rows of the ledger that are older than their retention.
func (s *Server) ExpireLedger(ctx context.Context, progress func(rows int)) (int, error) {
	if s.ledger == nil {
		return 0, nil
	}
	return s.expireRows(ctx, progress, s.live.Load().Config.Ledger.Retention, s.ledger.ExpireLedger)
}

func (s *Server) expireRows(ctx context.Context, progress func(rows int), retention config.Interval,
	expire func(ctx context.Context, before time.Time, limit int) (int, bool, error),
) (int, error) {
	oldest := since(retention)
	if oldest == nil {
		return 0, nil
	}
	before, total := oldest(s.now()), 0
	for {
		n, done, err := expire(ctx, before, expireBatch)
		total += n
		tell(progress, n)
		if err == nil && !done && n == 0 {
			err = errInUse
		}
		if err != nil {
			return total, fmt.Errorf("deleting old rows: %w", err)
		}
		if done {
			return total, nil
		}
	}
}

// expireApps goes through the applications; one that fails does not keep the
// others from their turn.
func (s *Server) expireApps(ctx context.Context, progress func(rows int), expiry func(*App) func(time.Time) time.Time,
	expire func(ctx context.Context, app string, before time.Time, limit int) (int, error),
) (int, error) {
	var faults []error
	total := 0
	for _, app := range s.live.Load().apps {
		oldest := expiry(app)
		if oldest == nil {
			continue
		}
		for before := oldest(s.now()); ; {
			n, err := expire(ctx, app.AppID, before, expireBatch)
			total += n
			tell(progress, n)
			if err != nil {
				faults = append(faults, fmt.Errorf("application %s: %w", app.AppID, err))
			}
			if err != nil || n < expireBatch {
				break
			}
		}
	}
	return total, errors.Join(faults...)
}

func tell(progress func(rows int), rows int) {
	if progress != nil && rows > 0 {
		progress(rows)
	}
}
