//go:build race

package smtp

// manySessions is how many TestIdleSessions opens: the race detector bears some
// 8,000 goroutines, and a session has three there.
const manySessions = 2000
