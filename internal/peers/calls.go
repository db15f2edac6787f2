package peers

import (
	"regexp"
	"strings"
)

// What strace has seen of a program, so that a test can say in which order it asked the system for what: that a file was
// synced before it had its name, or a message before it was acknowledged. Threads are traced together, and a call of one
// may lie between the beginning and the end of another's.

// A Call is one system call. It begins and ends at a line of the trace.
type Call struct {
	Name, FD, Args string // FD is the first argument, with its path under strace -y
	Begin, End     int    // lines, from 1; End is 0 if it never returned
	Failed         bool
}

var (
	callLine = regexp.MustCompile(`^(\d+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$`)
	callEnd  = regexp.MustCompile(`\)\s+= (-?\d+)`)
)

// Calls reads what strace -f -o wrote.
func Calls(trace string) []*Call {
	var calls []*Call
	open := map[string]*Call{} // by thread
	number := 0
	for line := range strings.Lines(trace) {
		number++
		m := callLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue // signals and exits
		}
		thread, resumed, name, rest := m[1], m[2], m[3], m[4]
		c := open[thread]
		if resumed == "" {
			fd, _, _ := strings.Cut(strings.TrimRight(rest, ") "), ",")
			fd, _, _ = strings.Cut(fd, ")")
			fd, _, _ = strings.Cut(fd, " ")
			c = &Call{Name: name, FD: fd, Args: rest, Begin: number}
			calls = append(calls, c)
		}
		if c == nil {
			continue
		}
		if strings.HasSuffix(strings.TrimSpace(rest), "<unfinished ...>") {
			open[thread] = c
			continue
		}
		delete(open, thread)
		// The last one: what was written may look like an end too.
		if ends := callEnd.FindAllStringSubmatch(rest, -1); ends != nil {
			c.End, c.Failed = number, strings.HasPrefix(ends[len(ends)-1][1], "-")
		}
	}
	return calls
}
