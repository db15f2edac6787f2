// Package human writes figures as people read them, the same on the page and in
// a terminal.
package human

import "fmt"

// Size gives a number of octets in powers of ten, as disks have them: "27 B",
// "84.0 kB", "1.2 MB".
func Size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
