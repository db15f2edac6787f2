//go:build !linux

package growth

import "time"

var start = time.Now()

// now gives the time on the wall.
func now() time.Duration { return time.Since(start) }
