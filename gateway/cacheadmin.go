package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/cache"
)

// purgeBatch is how many entries one statement of a purge deletes, so that
// none holds its locks for long.
const purgeBatch = 1000

// shownEntry is a cache entry as its page shows it.
type shownEntry struct {
	ID        int64           `json:"id"`
	RequestID string          `json:"requestId,omitempty"`
	Scope     string          `json:"scope,omitempty"`
	Prompt    string          `json:"prompt"`
	Model     string          `json:"embeddingModel,omitempty"`
	Created   time.Time       `json:"created"`
	Used      time.Time       `json:"lastUsed"`
	Hits      int64           `json:"hits"`
	Bytes     int64           `json:"bytes"`
	Answer    json.RawMessage `json:"completion,omitempty"`
}

func entryPage(e *cache.Entry) shownEntry {
	return shownEntry{
		ID: e.ID, RequestID: e.RequestID, Scope: e.Scope, Prompt: e.Text, Model: e.Model,
		Created: e.Created.UTC(), Used: e.Used.UTC(), Hits: e.Hits, Bytes: e.Size(), Answer: e.Answer,
	}
}

// cachePage answers the admin about the entries of an application; do gets
// that application's id.
func (s *Server) cachePage(do func(c *gin.Context, app string) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		if err := s.adminOnly(c); err != nil {
			return err
		}
		if s.entries == nil {
			return &refusal{http.StatusNotFound, codeNotFound, "The semantic cache is off (API_GATEWAY_USE_CACHE).", ""}
		}
		id := c.Param("app")
		if app := s.live.Load().App(id); app != nil {
			id = app.AppID
		}
		err := do(c, id)
		var refused *refusal
		switch {
		case err == nil, errors.As(err, &refused):
			return err
		case errors.Is(err, cache.ErrNotFound):
			return &refusal{http.StatusNotFound, codeNotFound, "The application has no cache entry with this id.", ""}
		}
		return &storeError{err}
	}
}

// listEntries lists an application's entries, latest first: ?limit=, and
// ?before= the last id of the page before.
func (s *Server) listEntries(c *gin.Context, app string) error {
	limit, err := queryInt(c, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	before, err := queryInt(c, "before", 0, 0, 1<<53)
	if err != nil {
		return err
	}
	entries, err := s.entries.List(c.Request.Context(), app, int64(before), limit)
	if err != nil {
		return err
	}
	pages := make([]shownEntry, len(entries))
	for i, e := range entries {
		pages[i] = entryPage(e)
		pages[i].Answer = nil
	}
	c.JSON(http.StatusOK, gin.H{"entries": pages})
	return nil
}

func (s *Server) showEntry(c *gin.Context, app string) error {
	id, err := entryID(c)
	if err != nil {
		return err
	}
	e, err := s.entries.Entry(c.Request.Context(), app, id)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, entryPage(e))
	return nil
}

func (s *Server) deleteEntry(c *gin.Context, app string) error {
	id, err := entryID(c)
	if err != nil {
		return err
	}
	was, err := s.entries.Delete(c.Request.Context(), app, id)
	if err != nil {
		return err
	}
	s.cache.ForgetEntry(id)
	if !was {
		return cache.ErrNotFound
	}
	c.Status(http.StatusNoContent)
	return nil
}

// purgeEntries deletes every entry of an application.
func (s *Server) purgeEntries(c *gin.Context, app string) error {
	total := 0
	for {
		n, err := s.entries.Purge(c.Request.Context(), app, purgeBatch)
		total += n
		if err != nil {
			return err
		}
		if n < purgeBatch {
			break
		}
	}
	s.cache.Forget(app)
	c.JSON(http.StatusOK, gin.H{"deleted": total})
	return nil
}

func entryID(c *gin.Context) (int64, error) {
	id, err := strconv.ParseInt(c.Param("entry"), 10, 64)
	if err != nil || id < 1 {
		return 0, cache.ErrNotFound
	}
	return id, nil
}
