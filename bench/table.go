package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is what one run of one contender gave.
type figure struct {
	rate float64 // the unit is the row's
	cpu  float64 // µs of the contender's processes per message; 0: not measured
}

// contender is one of those who are measured in a row.
type contender struct {
	name string
	run  func() (figure, error)
}

// peer is a contender beside ours, and by how much ours must be ahead of it; 0: for comparison only.
type peer struct {
	contender
	target float64
	// byCPU: the target holds for CPU time a message too.
	byCPU bool
}

// row is one thing that is measured, with everyone's median.
type row struct {
	what, unit string
	name       string // of ours
	ours       figure
	peers      []standing
	note       string // in place of figures: why there are none
}

// standing is a peer's figure and how ours stands to it.
type standing struct {
	peer
	figure figure
	fewer  bool
}

func (s standing) ratio(ours figure) float64 {
	if s.fewer {
		return s.figure.rate / ours.rate
	}
	return ours.rate / s.figure.rate
}

func (s standing) cpuRatio(ours figure) float64 {
	if ours.cpu == 0 || s.figure.cpu == 0 {
		return 0
	}
	return s.figure.cpu / ours.cpu
}

// slack is how far below its target a ratio may be before the whole run fails: machines differ.
const slack = 0.9

// verdict says how ours stands to a target: met, near it, or missed and by how much.
func (s standing) verdict(ours figure) string {
	if s.target == 0 {
		return ""
	}
	worst := s.ratio(ours)
	if c := s.cpuRatio(ours); s.byCPU && c > 0 {
		worst = min(worst, c)
	}
	switch {
	case worst >= s.target:
		return "met"
	case worst >= s.target*slack:
		return "near"
	}
	return fmt.Sprintf("missed by %.0f %%", 100*(1-worst/s.target))
}

type table []row

// met reports whether no target is missed by more than the slack.
func (t table) met() bool {
	for _, r := range t {
		for _, s := range r.peers {
			if strings.HasPrefix(s.verdict(r.ours), "missed") {
				return false
			}
		}
	}
	return true
}

// bout is what duel is told.
type bout struct {
	what, unit string
	ours       contender
	peers      []peer
	fewer      bool
}

// duels returns a table of the rows of several bouts.
func duels(e effort, bouts ...bout) (table, error) {
	var t table
	for _, b := range bouts {
		r, err := duel(e, b.what, b.unit, b.ours, b.peers...)
		if err != nil {
			return nil, err
		}
		for i := range r.peers {
			r.peers[i].fewer = b.fewer
		}
		t = append(t, r)
	}
	return t, nil
}

// duel runs ours and each peer in turn, e.runs times, and returns the row of medians.
func duel(e effort, what, unit string, ours contender, peers ...peer) (row, error) {
	r := row{what: what, unit: unit, name: ours.name}
	all := []contender{ours}
	for _, p := range peers {
		all = append(all, p.contender)
	}
	figures := make([][]figure, len(all))
	for i := range e.runs {
		for j, c := range all {
			progress("%s: %s, run %d of %d", what, c.name, i+1, e.runs)
			f, err := c.run()
			if err != nil {
				return r, fmt.Errorf("%s: %s: %w", what, c.name, err)
			}
			figures[j] = append(figures[j], f)
		}
	}
	progress("")
	r.ours = median(figures[0])
	for i, p := range peers {
		r.peers = append(r.peers, standing{peer: p, figure: median(figures[i+1])})
	}
	return r, nil
}

// median returns the median of each figure by itself.
func median(list []figure) figure {
	middle := func(of func(figure) float64) float64 {
		var values []float64
		for _, f := range list {
			values = append(values, of(f))
		}
		slices.Sort(values)
		n := len(values)
		return (values[(n-1)/2] + values[n/2]) / 2
	}
	return figure{middle(func(f figure) float64 { return f.rate }), middle(func(f figure) float64 { return f.cpu })}
}

// progress shows what is being measured on a terminal's last line, and nothing elsewhere.
func progress(format string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\033[K"+format, args...)
	}
}

func heading(w io.Writer, e effort) {
	commit, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	fmt.Fprintf(w, "# Benchmarks\n\n%s, commit %s, %s %s/%s, %d processors shared by all. Medians of %d runs, contenders in turn.\n"+
		"A ratio above 1 means that ours is faster, or takes less CPU time a message. How to read this: docs/benchmarks.md.\n",
		time.Now().Format(time.DateOnly), strings.TrimSpace(string(commit)), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), e.runs)
}

func (t table) write(w io.Writer, title string) {
	fmt.Fprintf(w, "\n## %s\n\n| what | unit | ours (CPU µs) | peer | peer's (CPU µs) | ratio | CPU ratio | target | |\n|---|---|---|---|---|---|---|---|---|\n", title)
	for _, r := range t {
		if r.note != "" {
			fmt.Fprintf(w, "| %s | %s | %s | | | | | | |\n", r.what, r.unit, r.note)
		}
		for _, s := range r.peers {
			target := ""
			if s.target > 0 {
				target = fmt.Sprintf("≥ %g", s.target)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %.2f | %s | %s | %s |\n", r.what, r.unit, r.ours, s.name, s.figure,
				s.ratio(r.ours), decimal(s.cpuRatio(r.ours), 2), target, s.verdict(r.ours))
		}
	}
}

// String writes the rate with a precision that can be read, and the CPU time in brackets.
func (f figure) String() string {
	digits := 0
	switch {
	case f.rate < 10:
		digits = 2
	case f.rate < 100:
		digits = 1
	}
	if f.cpu == 0 {
		return decimal(f.rate, digits)
	}
	return fmt.Sprintf("%s (%.1f)", decimal(f.rate, digits), f.cpu)
}

// decimal writes f with digits after the point and commas between thousands; nothing for zero.
func decimal(f float64, digits int) string {
	if f == 0 {
		return ""
	}
	s := fmt.Sprintf("%.*f", digits, f)
	whole, rest, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest == "" {
		return whole
	}
	return whole + "." + rest
}
