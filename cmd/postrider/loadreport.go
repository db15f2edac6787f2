package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/human"
	"github.com/postrider/postrider/smtp"
)

// What load measured.

// latencies counts how long replies took, by what was said. Steps of a sixteenth
// are finer than two runs agree.
type latencies struct{ counts map[string]*histogram }

// A histogram has sixteen steps to each power of two of nanoseconds.
type histogram struct {
	steps [64 * 16]int64
	n     int64
	most  time.Duration
}

func newLatencies() *latencies { return &latencies{map[string]*histogram{}} }

// add counts one reply.
func (l *latencies) add(what string, d time.Duration) {
	// A session knows beforehand neither how it will be secured nor whether it must authenticate.
	h := l.counts[what]
	if h == nil {
		h = new(histogram)
		l.counts[what] = h
	}
	h.steps[stepOf(d)]++
	h.n++
	h.most = max(h.most, d)
}

// trace returns a Trace that counts the replies from the connection on, and tells also; nil: nobody. A step of AUTH counts
// as AUTH.
func (l *latencies) trace(also func(smtp.Line)) func(smtp.Line) {
	// What comes before the client has said anything is the greeting: connecting counts to it.
	verb, begun := "connect", time.Now()
	return func(line smtp.Line) {
		if also != nil {
			also(line)
		}
		word, _, _ := strings.Cut(line.Text, " ")
		switch {
		case line.FromClient && verb != "AUTH":
			verb, begun = word, line.Time
		case line.FromClient:
			begun = line.Time
		case len(line.Text) < 4 || line.Text[3] == ' ': // the last line of a reply
			l.add(verb, line.Time.Sub(begun))
		}
	}
}

// stepOf finds the step of a duration, and below is where that step begins.
func stepOf(d time.Duration) int {
	// Below 16 nanoseconds there are no steps, and no replies.
	n := uint64(max(d, 16))
	power := bits.Len64(n) - 1
	return power*16 + int(n>>(power-4)&15)
}

func below(step int) time.Duration {
	return time.Duration((16 + uint64(step%16)) << (step / 16) >> 4)
}

// at returns the time in which a part of the replies had come, from 0 to 1.
func (h *histogram) at(part float64) time.Duration {
	// The end of the step is told: that long it took at most, and no less than a sixteenth less.
	want, seen := int64(part*float64(h.n)), int64(0)
	for step, n := range h.steps {
		if seen += n; n > 0 && seen > want {
			return min(below(step+1), h.most)
		}
	}
	return h.most
}

// A loadResult is what came of a run, and its JSON: seconds and octets, without
// prefixes, for whoever draws it.
type loadResult struct {
	Mode      string                 `json:"mode"`
	Sessions  int                    `json:"sessions"`
	Size      int                    `json:"size"`
	Accepted  int64                  `json:"accepted"`
	Seconds   float64                `json:"seconds"`
	Rate      float64                `json:"messages_per_second"`
	Octets    float64                `json:"octets_per_second"`
	Latencies map[string]loadLatency `json:"latencies"` // by what was said
}

// A loadLatency is how long one kind of reply took, in seconds.
type loadLatency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// result puts the sessions together. Its rate is of accepted messages over the whole
// time, connecting included: that is what whoever has them to send waits for.
func (r *loadRun) result(took time.Duration, all []*latencies) *loadResult {
	// Added up when all have ended, as nobody else looks at them then.
	sum := newLatencies()
	for _, l := range all {
		for what, h := range l.counts {
			if sum.counts[what] == nil {
				sum.counts[what] = new(histogram)
			}
			s := sum.counts[what]
			for i, n := range h.steps {
				s.steps[i] += n
			}
			s.n, s.most = s.n+h.n, max(s.most, h.most)
		}
	}
	n := r.accepted.Load()
	result := &loadResult{Mode: r.mode, Sessions: r.sessions, Size: r.size, Accepted: n, Seconds: took.Seconds(),
		Rate: float64(n) / took.Seconds(), Octets: float64(n) * float64(r.size) / took.Seconds(), Latencies: map[string]loadLatency{}}
	for what, h := range sum.counts {
		result.Latencies[what] = loadLatency{h.n, h.at(0.5).Seconds(), h.at(0.9).Seconds(), h.at(0.99).Seconds(), h.most.Seconds()}
	}
	return result
}

// print writes it for people.
func (r *loadResult) print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d messages of %s in %.2f s over %d connections, %s: %.0f messages/s, %s/s\n\n", r.Accepted, human.Size(int64(r.Size)), r.Seconds, r.Sessions, r.Mode, r.Rate, human.Size(int64(r.Octets)))
	fmt.Fprintf(&b, "%-8s %10s %10s %10s %10s %10s\n", "", "replies", "half", "90 %", "99 %", "longest")
	// In the order of a session; what is not in it comes first, as STARTTLS and AUTH do.
	order := []string{"connect", "EHLO", "MAIL", "RCPT", "DATA", "message", "QUIT"}
	for _, what := range slices.SortedFunc(maps.Keys(r.Latencies), func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }) {
		l := r.Latencies[what]
		fmt.Fprintf(&b, "%-8s %10d", what, l.Count)
		for _, seconds := range []float64{l.P50, l.P90, l.P99, l.Max} {
			fmt.Fprintf(&b, " %10s", time.Duration(seconds*float64(time.Second)).Round(time.Microsecond))
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}
