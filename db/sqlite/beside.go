package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"aigateway/persist"
)

// Beside opens the ledger of a file that a gateway may have open, to be read
// only. close gives it back.
func Beside(ctx context.Context, path string, log *slog.Logger) (ledger persist.Ledger, closeFile func() error, err error) {
	there, err := exists(path)
	if err != nil || !there {
		return nil, nil, errors.Join(fmt.Errorf("there is no database %s: a gateway with API_GATEWAY_LEDGER=true makes it", path), err)
	}
	f := &file{path: path}
	reading, err := f.connect(2, "query_only(1)")
	if err != nil {
		return nil, nil, err
	}
	pending, schema, err := migrate(ctx, f, reading, true, log)
	if err == nil && len(pending) > 0 {
		err = fmt.Errorf("database %s has schema %d, older than this version of the gateway needs: start the gateway, or run `gateway migrate`", path, schema)
	}
	if err != nil {
		return nil, nil, errors.Join(err, reading.Close())
	}
	d := &DB{file: f, reader: newReader(reading), schema: schema, up: true}
	return d.Ledger(), reading.Close, nil
}
