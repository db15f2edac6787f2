//go:build !race

package smtp

// manySessions is how many TestIdleSessions opens.
const manySessions = 10_000
