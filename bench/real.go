package main

import (
	"bytes"
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Parsing mail that other projects test with: real, broken and made to be hard.

// realMail reads the messages below POSTRIDER_CORPORA, else ../../shared/data; there may be none.
func realMail() (all [][]byte, octets int) {
	dir := cmp.Or(os.Getenv("POSTRIDER_CORPORA"), filepath.Join("..", "..", "shared", "data"))
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, string(filepath.Separator)+"messages"+string(filepath.Separator)) {
			return nil
		}
		switch ext := filepath.Ext(path); {
		case ext == ".json" || ext == ".xml" || ext == ".out" || strings.Contains(path, "_decoded"):
			return nil
		}
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(":")) {
			all, octets = append(all, raw), octets+len(raw)
		}
		return nil
	})
	return all, octets
}

// measureReal gives how much of such mail each parser reads at all, how fast it goes over all of it, and what memory that
// takes. Who refuses a message is quick with it: a rate says little without the part that is read.
func measureReal(e effort) (table, error) {
	all, octets := realMail()
	if len(all) == 0 {
		return nil, nil
	}
	var read, speed, memory []contender
	for _, p := range []struct {
		name  string
		parse func(raw []byte) func() error
	}{{"postrider", parsePostrider}, {"net/mail + multipart", parseStandard}, {"go-message", parseGoMessage}, {"enmime", parseEnmime}} {
		works := make([]func() error, len(all))
		for i, raw := range all {
			works[i] = p.parse(raw)
		}
		// What is refused is not the bench's failure.
		over := func() (n int) {
			for _, work := range works {
				if work() == nil {
					n++
				}
			}
			return n
		}
		read = append(read, contender{p.name, func() (figure, error) { return figure{rate: 100 * float64(over()) / float64(len(all))}, nil }})
		speed = append(speed, loop(e, p.name, octets, func() error { over(); return nil }))
		memory = append(memory, contender{p.name, func() (figure, error) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			over()
			runtime.ReadMemStats(&after)
			return figure{rate: float64(after.TotalAlloc-before.TotalAlloc) / float64(octets)}, nil
		}})
	}
	against := func(c []contender) []peer { return []peer{{c[1], 0, false}, {c[2], 0, false}, {c[3], 0, false}} }
	return duels(e,
		bout{"messages of other projects", "% that is read", read[0], against(read), false},
		bout{"messages of other projects", "GB/s", speed[0], against(speed), false},
		bout{"messages of other projects", "memory for their length, fewer is better", memory[0], against(memory), true})
}
