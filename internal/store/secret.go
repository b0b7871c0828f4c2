package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"parley/internal/store/sqldb"
)

// secretBytes is the length of a cluster secret.
const secretBytes = 32

// Secret returns the 32 random bytes that all nodes share under name, made by whoever asks first.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	get := func(db *sql.DB) (secret []byte, err error) {
		err = db.QueryRowContext(ctx, s.db.Rebind(`SELECT secret FROM cluster_secrets WHERE name = ?`), name).Scan(&secret)
		return secret, err
	}
	secret, err := get(s.db.Read)
	if !errors.Is(err, sql.ErrNoRows) {
		return secret, sqldb.Failed("read cluster secret", err)
	}
	fresh := make([]byte, secretBytes)
	rand.Read(fresh) // never fails (Go 1.24)
	_, err = s.db.Write.ExecContext(ctx, s.db.Rebind(`INSERT INTO cluster_secrets (name, secret, at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING`),
		name, fresh, time.Now().UnixMicro())
	if err != nil {
		return nil, sqldb.Failed("make cluster secret", err)
	}
	secret, err = get(s.db.Write) // another node may have been first
	return secret, sqldb.Failed("read cluster secret", err)
}
