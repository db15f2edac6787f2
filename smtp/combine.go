package smtp

import (
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/postrider/postrider/internal/address"
)

// Senders made of Senders. All of them keep Send's contract: a fate for each recipient,
// and nobody is tried again whose fate is unknown. They may be used by several goroutines
// at once if what they are made of may.

// A SenderFunc is a Sender that is a function.
type SenderFunc func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error)

// Send implements Sender.
func (f SenderFunc) Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
	return f(ctx, env, msg)
}

// prepared makes a Sender that may send a message several times: fn gets it so that it can.
func prepared(fn SenderFunc) Sender {
	return SenderFunc(func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
		msg, err := Prepare(msg)
		if err != nil {
			return failAll(env, "", err)
		}
		defer release(msg)
		return fn(ctx, env, msg)
	})
}

// resend sends to those who can be tried again, whose fate then is the new one.
func resend(ctx context.Context, s Sender, env *Envelope, msg io.WriterTo, results []Result) {
	index := deferred(results)
	if index == nil || ctx.Err() != nil {
		return
	}
	for n, r := range fates(ctx, s, env.only(index), msg) {
		results[index[n]] = r
	}
}

// Failover returns a Sender that tries senders in turn. Each is given the recipients that
// those before it have deferred, as when a server cannot be reached; a refusal for good
// stays one. A sender that no reply came from is asked after the others for the next half
// minute, so that a host that has vanished does not hold up each message. Without senders
// everything is deferred.
func Failover(senders ...Sender) Sender {
	g := newGroup(senders)
	return prepared(func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
		return g.send(ctx, env, msg, 0)
	})
}

// RoundRobin returns a Sender that gives each message to the next of senders, and what is
// deferred to the one after it, as Failover does.
func RoundRobin(senders ...Sender) Sender {
	g := newGroup(senders)
	var turn atomic.Uint32
	return prepared(func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
		return g.send(ctx, env, msg, int(turn.Add(1)-1)%max(len(senders), 1))
	})
}

// A group is several Senders that stand in for each other.
type group struct {
	senders []Sender
	silent  []atomic.Int64 // until when each is asked last, in nanoseconds of Unix time
}

// avoided is how long a sender is asked last that no reply came from.
const avoided = 30 * time.Second

func newGroup(senders []Sender) *group {
	return &group{senders, make([]atomic.Int64, len(senders))}
}

// send asks the senders in turn, from first on.
func (g *group) send(ctx context.Context, env *Envelope, msg io.WriterTo, first int) ([]Result, error) {
	results, _ := failAll(env, "", temporary("there is nobody to send by", ctx.Err()))
	now := time.Now().UnixNano()
	var order, last []int
	for n := range g.senders {
		i := (first + n) % len(g.senders)
		if g.silent[i].Load() > now {
			last = append(last, i)
		} else {
			order = append(order, i)
		}
	}
	for _, i := range append(order, last...) {
		resend(ctx, g.senders[i], env, msg, results)
		switch index := deferred(results); {
		case index == nil:
			return outcome(results)
		case ctx.Err() == nil && !answered(results, index):
			g.silent[i].Store(time.Now().Add(avoided).UnixNano())
		}
	}
	return outcome(results)
}

// answered tells whether anybody said why one of those was deferred.
func answered(results []Result, index []int) bool {
	for _, i := range index {
		if findError(results[i].Err) != nil {
			return true
		}
	}
	return false
}

// A Retry is a Sender that tries again what was deferred, and nothing else: not who was
// refused for good, and not who may have the message. Where the enhanced codes say that
// time is what all who are left need (a mailbox or a disk that is full, greylisting, a
// limit on rates), MaxWait is waited at once and no attempt is wasted. It keeps the message in memory
// or in a temporary file meanwhile, and Send waits: what must outlive the program belongs
// into a queue.
type Retry struct {
	Sender   Sender
	Attempts int           // in all; 5 if zero
	Wait     time.Duration // before the second attempt; twice as long before each further one; 1 second if zero
	MaxWait  time.Duration // the longest; 1 minute if zero
}

// Send implements Sender. When ctx ends the deferred keep the fate that they had last.
func (r *Retry) Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
	return prepared(func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
		results, err := outcome(fates(ctx, r.Sender, env, msg))
		wait := or(r.Wait, time.Second)
		for range orInt(r.Attempts, 5) - 1 {
			if err == nil || deferred(results) == nil {
				break
			}
			// Between a half and the whole, so that what failed together does not come
			// back together.
			if allSlow(results) {
				wait = or(r.MaxWait, time.Minute)
			}
			if !sleep(ctx, wait/2+rand.N(wait/2+1)) {
				break
			}
			resend(ctx, r.Sender, env, msg, results)
			_, err = outcome(results)
			wait = min(2*wait, or(r.MaxWait, time.Minute))
		}
		return results, err
	}).Send(ctx, env, msg)
}

// allSlow tells whether all who are deferred are so for a reason that does not pass in a
// moment, as their enhanced codes have it (RFC 3463, 3.3, 3.4 and 3.8).
func allSlow(results []Result) bool {
	for _, i := range deferred(results) {
		e := findError(results[i].Err)
		switch {
		case e == nil:
			return false // a connection
		case e.Enhanced == "4.2.2", e.Enhanced == "4.3.1": // mailbox full, no room for mail
		case strings.HasPrefix(string(e.Enhanced), "4.7."): // policy: who we are, how much we send
		default:
			return false
		}
	}
	return true
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A RateLimit is a Sender that waits, so that messages do not go out faster than they
// should. Transport.Rate limits what one server gets; this one limits all that passes, and
// what each domain gets.
type RateLimit struct {
	Sender    Sender
	PerSecond float64 // messages in all; 0: no limit
	PerDomain float64 // messages a second to each domain of recipients; 0: no limit
	Burst     int     // messages that may go out at once after a pause; 1 if zero

	once    sync.Once
	all     *rate.Limiter
	mu      sync.Mutex
	domains map[string]*rate.Limiter
}

// maxDomains bounds how many domains are remembered. Beyond it those that have been
// silent for long enough are forgotten.
const maxDomains = 10_000

// Send implements Sender. A message whose time does not come before ctx ends is deferred.
func (l *RateLimit) Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
	l.once.Do(func() {
		l.all = l.limiter(l.PerSecond)
		l.domains = map[string]*rate.Limiter{}
	})
	err := l.all.Wait(ctx)
	seen := map[string]bool{}
	for _, to := range env.To {
		_, domain, _ := address.Split(to.Address)
		domain = strings.ToLower(domain)
		if err == nil && l.PerDomain > 0 && !seen[domain] {
			seen[domain] = true
			err = l.domain(domain).Wait(ctx)
		}
	}
	if err != nil {
		return failAll(env, "", temporary("waiting for a rate limit", err))
	}
	return l.Sender.Send(ctx, env, msg)
}

func (l *RateLimit) limiter(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), orInt(l.Burst, 1))
}

func (l *RateLimit) domain(name string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.domains[name]; d != nil {
		return d
	}
	if len(l.domains) >= maxDomains {
		for name, d := range l.domains {
			if d.Tokens() >= float64(d.Burst()) { // as if it had never been used
				delete(l.domains, name)
			}
		}
	}
	d := l.limiter(l.PerDomain)
	l.domains[name] = d
	return d
}

// Tee returns a Sender that sends by s, and then, if anybody was accepted, by copies too,
// such as an archive. The fates are those of s; what becomes of the copies is theirs to
// tell.
func Tee(s Sender, copies ...Sender) Sender {
	return prepared(func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
		results, err := outcome(fates(ctx, s, env, msg))
		for _, r := range results {
			if r.Err == nil {
				for _, c := range copies {
					c.Send(ctx, env, msg)
				}
				break
			}
		}
		return results, err
	})
}

// Redirect returns a Sender that sends everything to the addresses in to, and nothing to
// anybody else: for staging. Every recipient is told the fate of the worst of them.
func Redirect(s Sender, to ...string) Sender {
	return SenderFunc(func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
		instead := NewEnvelope(env.From, to...)
		instead.Options = env.Options
		if len(to) == 0 {
			return failAll(env, "", permanent("nobody to redirect to", nil))
		}
		there := fates(ctx, s, instead, msg)
		fate := there[0]
		for _, r := range there {
			if r.Err != nil {
				fate = r
			}
		}
		results := make([]Result, len(env.To))
		for i := range results {
			results[i] = fate
			results[i].Rcpt = env.To[i].Address
		}
		return outcome(results)
	})
}

// Allow returns a Sender that sends to those recipients whose address allowed returns true
// for. The others are refused for good, and never heard of.
func Allow(s Sender, allowed func(address string) bool) Sender {
	return SenderFunc(func(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
		results, _ := failAll(env, "", permanent("this recipient is not on the list of those allowed", nil))
		var index []int
		for i, to := range env.To {
			if allowed(to.Address) {
				index = append(index, i)
			}
		}
		if index != nil {
			for n, r := range fates(ctx, s, env.only(index), msg) {
				results[index[n]] = r
			}
		}
		return outcome(results)
	})
}
