package job

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryRunsAtEachIntervalUntilClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(slog.New(slog.DiscardHandler))
		runs := 0
		g.Every("count", time.Second, func(context.Context) { runs++ })
		time.Sleep(3500 * time.Millisecond) //nolint:forbidigo // the bubble's clock, not the machine's
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if runs != 3 {
			t.Errorf("%d runs in 3.5 s, want 3", runs)
		}
	})
}

func TestPanicIsLoggedAndTheNextRunComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := NewGroup(slog.New(slog.NewJSONHandler(&log, nil)))
		runs := 0
		g.Every("fragile", time.Second, func(context.Context) {
			runs++
			panic("broken")
		})
		time.Sleep(2500 * time.Millisecond) //nolint:forbidigo // the bubble's clock, not the machine's
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if runs != 2 || strings.Count(log.String(), `"job":"fragile"`) != 2 {
			t.Errorf("%d runs, log: %s", runs, log.String())
		}
	})
}

func TestCloseEndsContextsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(slog.New(slog.DiscardHandler))
		ended := false
		g.Go("long", func(ctx context.Context) {
			<-ctx.Done()
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock, not the machine's
			ended = true
		})
		if err := g.Close(t.Context()); err != nil || !ended {
			t.Errorf("closed with %v, job ended: %v", err, ended)
		}
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(slog.New(slog.DiscardHandler))
		release := make(chan struct{})
		g.Go("stuck", func(context.Context) { <-release })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Close(ctx); err == nil {
			t.Error("closed although a job runs")
		}
		close(release)
	})
}
