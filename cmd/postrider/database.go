package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/postrider/postrider/store/sqlite"
)

// The database opened: by serve, export and import alike. That of an older version is
// migrated first, which takes minutes if it is large; whoever waits for it, a person in a
// terminal or a supervisor with a time limit, is told what goes on.

// openStore opens the database in dir. notify is told what systemd's manager wants to know.
func openStore(ctx context.Context, dir string, s streams, log *slog.Logger, notify func(state string)) (*sqlite.DB, error) {
	var at func(int64)
	done := func(error) {}
	percent := int64(-1)
	c := sqlite.Config{OnMigrate: func(m sqlite.Migration) {
		if at == nil {
			log.Warn("the database is of an older version: it is copied, then brought up to date", "from", m.From, "to", m.To, "copy", m.Backup, "octets", m.Octets)
			at, done = showing(s, "copying", m.Octets, showFrom, progress.UnitsBytes)
		}
		at(m.Copied)
		if now := 100 * m.Copied / max(m.Octets, 1); now != percent {
			percent = now
			notify(fmt.Sprintf(migrating, percent))
		}
	}}
	db, err := c.Open(ctx, dir)
	done(err)
	if at != nil && err == nil {
		log.Info("the database is up to date")
		notify(migrated)
	}
	if err != nil {
		return nil, dataError(err)
	}
	return db, nil
}

// dataError says in one line why the directory cannot be used. What the store has
// no name for is the file system's: it cannot be written.
func dataError(err error) error {
	// What sqlite has named has its code; 69 and 65 tell a script that trying again with the same
	// directory helps later, or never.
	code := exitCannotWrite
	for _, own := range []error{sqlite.ErrLocked, sqlite.ErrNewer, sqlite.ErrForeign, sqlite.ErrCorrupt} {
		if errors.Is(err, own) {
			code = exitCode(own)
		}
	}
	return exitf(code, "mail cannot be kept: %w", err)
}
