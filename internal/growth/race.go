//go:build race

package growth

// raced tells that the race detector watches.
const raced = true
