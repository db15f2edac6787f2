package main

import (
	"runtime"
	"syscall"
	"time"
)

// What is measured inside this process: work without a connection.

// loop returns the contender that does work again and again for the time of a run. Its rate is runs a second, or with
// octets GB a second.
func loop(e effort, name string, octets int, work func() error) contender {
	return contender{name, func() (figure, error) {
		n, begin, before := 0, time.Now(), ownCPU()
		// The clock is read after each batch, which grows to about a millisecond: reading it is work too.
		for batch := 1; time.Since(begin) < e.time; batch = min(batch*2, max(1, int(float64(n)*1e-3/time.Since(begin).Seconds()))) {
			for range batch {
				if err := work(); err != nil {
					return figure{}, err
				}
			}
			n += batch
		}
		rate := float64(n) / time.Since(begin).Seconds()
		if octets > 0 {
			rate *= float64(octets) / 1e9
		}
		return figure{rate: rate, cpu: (ownCPU() - before).Seconds() * 1e6 / float64(n)}, nil
	}}
}

// ownCPU gives the CPU time of this process, the collector's included: what else the machine does is not in it.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // every Unix has it
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allocations returns the contender whose figure is how often work allocates.
func allocations(name string, work func() error) contender {
	return contender{name, func() (figure, error) {
		const rounds = 200
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if err := work(); err != nil {
				return figure{}, err
			}
		}
		runtime.ReadMemStats(&after)
		return figure{rate: float64(after.Mallocs-before.Mallocs) / rounds}, nil
	}}
}

// limit is a peer that is a number: what a row may be at most.
func limit(n float64) peer {
	return peer{contender{"limit", func() (figure, error) { return figure{rate: n}, nil }}, 1, false}
}
