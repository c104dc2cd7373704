package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
	pgxvector "github.com/pgvector/pgvector-go/pgx"

	"aigateway/cache"
)

// server is the PostgreSQL server on which the benchmark makes databases of
// its own, which it drops again.
type server struct {
	url  *url.URL
	conn *pgx.Conn
	made []string // databases

	version    string
	fsync      string // as SHOW fsync says: what is measured without it says little of disks
	postmaster int    // process id; 0 when the server is not of this machine
}

// errNoServer tells how to get a server, or to do without.
var errNoServer = errors.New("TEST_DATABASE_URL is not set, which names the PostgreSQL server to measure with: " +
	"`make bench` starts one; -stores embedded, or -only small,large,streams,memory,limits,telemetry, does without")

const aboutSQL = `SELECT current_setting('server_version'), current_setting('fsync'), pg_backend_pid()`

func connectServer(ctx context.Context, address string) (*server, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("TEST_DATABASE_URL is not a URL")
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the server of TEST_DATABASE_URL: %w", err)
	}
	s := &server{url: u, conn: conn}
	var backend int
	if err := conn.QueryRow(ctx, aboutSQL).Scan(&s.version, &s.fsync, &backend); err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("asking the server of TEST_DATABASE_URL about itself: %w", err)
	}
	s.version, _, _ = strings.Cut(s.version, " ")
	s.postmaster = parentOf(backend, "postgres")
	return s, nil
}

// newDatabase makes a database, empty or with what another place holds.
func (s *server) newDatabase(ctx context.Context, like *place) (address string, err error) {
	name := "gateway_bench_" + strings.ToLower(rand.Text()[:12])
	statement := "CREATE DATABASE " + name
	if like != nil {
		other, err := url.Parse(like.url)
		if err != nil {
			return "", err
		}
		statement += " TEMPLATE " + pgx.Identifier{strings.TrimPrefix(other.Path, "/")}.Sanitize()
	}
	if _, err := s.conn.Exec(ctx, statement); err != nil {
		return "", fmt.Errorf("making a database: %w", err)
	}
	s.made = append(s.made, name)
	u := *s.url
	u.Path = "/" + name
	return u.String(), nil
}

// close drops the databases. It does so when the benchmark is interrupted too,
// which has broken the connection.
func (s *server) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	defer func() { _ = s.conn.Close(ctx) }()
	if s.conn.IsClosed() {
		conn, err := pgx.Connect(ctx, s.url.String())
		if err != nil {
			return
		}
		s.conn = conn
	}
	for _, name := range s.made {
		_, _ = s.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // the next may still be dropped
	}
}

// bare asks for nearest entries with nothing between: one connection, one
// prepared statement.
type bare struct{ conn *pgx.Conn }

// The width of the search is the gateway's; what it finds is not ranked again.
const (
	bareSettings = `SET hnsw.ef_search = 100; SET enable_sort = off; SET jit = off`
	bareSQL      = `SELECT id, prompt, timestamp_, 1 - (embedding <=> $3::vector) FROM apigtwycache
WHERE dims = 1536 AND aiappname = $1 AND bucket = $2
ORDER BY embedding::halfvec(1536) <=> $3::vector::halfvec(1536) LIMIT 5`
)

func newBare(ctx context.Context, address string) (*bare, error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	_, err = conn.PgConn().Exec(ctx, bareSettings).ReadAll()
	if err == nil {
		err = pgxvector.RegisterTypes(ctx, conn) // vectors go over as bytes, not as text
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return &bare{conn}, nil
}

// nearest returns the score of the nearest entry.
func (b *bare) nearest(ctx context.Context, q *cache.Query) (score float64, err error) {
	rows, err := b.conn.Query(ctx, bareSQL, q.App, q.Bucket[:], pgvector.NewVector(q.Vector))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	best := -1.0
	for rows.Next() {
		var id int64
		var text string
		var at time.Time
		if err := rows.Scan(&id, &text, &at, &score); err != nil {
			return 0, err
		}
		best = max(best, score)
	}
	return best, rows.Err()
}
