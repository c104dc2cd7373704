package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFile bounds a configuration file, in bytes: a thousand applications with
// ten endpoints each take about 3 MB.
const maxFile = 16 << 20

// Source is where a configuration comes from.
type Source interface {
	// Read returns the configuration's bytes and a version that changes when
	// they do.
	Read(ctx context.Context) (data []byte, version string, err error)
}

// File is a Source that is one file, or a link to one, as Kubernetes mounts
// a ConfigMap.
type File struct{ Path string }

// Read reads the whole file. The version is the hex SHA-256 of its bytes.
func (f File) Read(ctx context.Context) (data []byte, version string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("reading configuration %s: %w", f.Path, err)
	}
	file, err := os.Open(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", fmt.Errorf("no configuration file at %s: create it or name another in API_GATEWAY_CONFIG_FILE: %w", f.Path, reason(err))
	case errors.Is(err, fs.ErrPermission):
		return nil, "", fmt.Errorf("configuration file %s may not be read: let the gateway's user read it: %w", f.Path, reason(err))
	case err != nil:
		return nil, "", fmt.Errorf("opening configuration file %s: %w", f.Path, reason(err))
	}
	defer file.Close()
	if stat, err := file.Stat(); err != nil {
		return nil, "", fmt.Errorf("reading configuration file %s: %w", f.Path, reason(err))
	} else if stat.IsDir() {
		return nil, "", fmt.Errorf("configuration file %s is a directory: name the file in it in API_GATEWAY_CONFIG_FILE", f.Path)
	}
	data, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, "", fmt.Errorf("reading configuration file %s: %w", f.Path, reason(err))
	}
	if len(data) > maxFile {
		return nil, "", fmt.Errorf("configuration file %s is larger than %d MiB", f.Path, maxFile>>20)
	}
	return data, hash(data), nil
}

// hash returns the hex SHA-256 of data.
func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
