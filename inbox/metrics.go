package inbox

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Watching: figures in the text format that Prometheus reads. They are few enough
// to be written by hand; a library for them weighs more than all of this package.

// A meter counts what happens. Its fields are added to from anywhere.
type meter struct {
	received, octets   atomic.Int64 // messages that were kept, and what they held
	full, failed       atomic.Int64 // that were not, for want of room and otherwise
	sessions           atomic.Int64 // that have begun
	streams            atomic.Int64 // of events that are open
	accepted, released atomic.Int64 // recipients of what was released or sent: by whom accepted, and in all
	kept               durations    // how long it took to keep a message
}

// bounds are the upper ends of the durations that are told apart, in seconds.
var bounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

// durations counts durations by how long they are.
type durations struct {
	counts [len(bounds) + 1]atomic.Int64
	micros atomic.Int64
}

func (d *durations) add(took time.Duration) {
	// A bucket has its own bound in it, as le says: less or equal.
	i := 0
	for i < len(bounds) && took.Seconds() > bounds[i] {
		i++
	}
	d.counts[i].Add(1)
	d.micros.Add(took.Microseconds())
}

// write writes a histogram.
func (d *durations) write(b *strings.Builder, name, help string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name)
	// Prometheus wants each bucket to hold the ones before it. A duration that is added meanwhile may be in one and not in
	// the sum of time: the next scrape has both.
	sum := int64(0)
	for i, bound := range bounds {
		sum += d.counts[i].Load()
		fmt.Fprintf(b, "%s_bucket{le=\"%g\"} %d\n", name, bound, sum)
	}
	sum += d.counts[len(bounds)].Load()
	fmt.Fprintf(b, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %g\n%s_count %d\n", name, sum, name, float64(d.micros.Load())/1e6, name, sum)
}

// metrics answers with all figures.
func (in *Inbox) metrics(w http.ResponseWriter, r *http.Request) {
	// Less than a scraper's own patience, which is ten seconds by default: a store that hangs is then told as such.
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	stats, err := in.Store.Stats(ctx)
	if err != nil {
		in.logger().Error("no figures", "err", err)
		plain(w, http.StatusServiceUnavailable, "the store does not answer\n")
		return
	}
	var b strings.Builder
	figure := func(kind, name, help string, value int64) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %d\n", name, help, name, kind, name, value)
	}
	// Names end as Prometheus recommends: _total for what only grows, the unit before it.
	m := &in.meter
	figure("gauge", "postrider_inbox_messages", "Messages in the inbox.", int64(stats.Messages))
	figure("gauge", "postrider_inbox_unread_messages", "Messages that nobody has read.", int64(stats.Unread))
	figure("gauge", "postrider_inbox_bytes", "Octets of all messages.", stats.Bytes)
	figure("gauge", "postrider_inbox_unindexed_messages", "Messages that are not found by their words yet.", int64(stats.Unindexed))
	figure("counter", "postrider_messages_received_total", "Messages that were kept.", m.received.Load())
	figure("counter", "postrider_received_bytes_total", "Octets of messages that were kept.", m.octets.Load())
	figure("counter", "postrider_messages_refused_full_total", "Messages refused because the disk was full.", m.full.Load())
	figure("counter", "postrider_messages_failed_total", "Messages that could not be received or kept for other reasons.", m.failed.Load())
	figure("counter", "postrider_sessions_total", "SMTP sessions that have begun.", m.sessions.Load())
	figure("gauge", "postrider_sessions", "SMTP sessions that are open.", in.sessions.count())
	figure("counter", "postrider_faults_total", "Faults that have happened by rule.", in.faults.happened.Load())
	figure("gauge", "postrider_fault_rules", "Rules that are set.", int64(len(in.Faults())))
	figure("counter", "postrider_released_recipients_total", "Recipients to whom messages were released or sent.", m.released.Load())
	figure("counter", "postrider_released_recipients_accepted_total", "Those of them that were accepted.", m.accepted.Load())
	figure("gauge", "postrider_event_streams", "Streams of events that are open.", m.streams.Load())
	m.kept.write(&b, "postrider_keep_seconds", "How long it took to read a message and to have it on stable storage.")
	// By the names that Go's own collector has, so that boards made for that work.
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	figure("gauge", "go_goroutines", "Goroutines.", int64(runtime.NumGoroutine()))
	figure("gauge", "go_memstats_heap_inuse_bytes", "Octets of the heap that are in use.", int64(mem.HeapInuse))
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String())) // the client may have gone
}
