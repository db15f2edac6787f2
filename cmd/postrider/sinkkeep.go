package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/disk"
)

// What sink --durable keeps. A session writes and syncs its own file; the sync of the
// directory, without which the name could be lost, is one for all sessions that wait
// for it: the first of them does it for those that came while the one before ran.

// A keeper writes each message to a file of its own in a directory. It may be used by
// many at once.
type keeper struct {
	dir  string
	turn sync.Mutex // held by whoever syncs the directory
	mu   sync.Mutex // guards next
	next *renamed
}

// A renamed batch has names that the next sync of the directory makes durable.
type renamed struct {
	done chan struct{}
	err  error // once done
}

// keep returns the file's name when the message is on the disk under it.
func (k *keeper) keep(m io.WriterTo) (name string, err error) {
	name = fmt.Sprintf("%d.%s.eml", time.Now().Unix(), rand.Text())
	// Whoever looks for *.eml does not see it before it is complete.
	temp := filepath.Join(k.dir, "."+name+".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = m.WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, filepath.Join(k.dir, name))
	}
	if err != nil {
		os.Remove(temp)
		return "", err
	}
	return name, k.sync()
}

// sync returns when a sync of the directory that began after the call has ended.
func (k *keeper) sync() error {
	k.mu.Lock()
	b := k.next
	first := b == nil
	if first {
		b = &renamed{done: make(chan struct{})}
		k.next = b
	}
	k.mu.Unlock()
	if first {
		k.turn.Lock()
		k.mu.Lock()
		k.next = nil // who comes now may have been too late for this one
		k.mu.Unlock()
		b.err = disk.SyncDir(k.dir)
		k.turn.Unlock()
		close(b.done)
	}
	<-b.done
	return b.err
}
