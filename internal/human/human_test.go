package human_test

import (
	"testing"

	"github.com/postrider/postrider/internal/human"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 84_000: "84.0 kB", 999_999: "1000.0 kB", 1_250_000: "1.2 MB"} {
		if got := human.Size(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
