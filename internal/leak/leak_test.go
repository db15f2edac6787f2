package leak

import (
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// Who is left is named; who ends in time is not.
func TestLeft(t *testing.T) {
	stop := make(chan struct{})
	go forgotten(stop)
	if err := left(0); err == nil || !strings.Contains(err.Error(), "forgotten") {
		t.Errorf("got %v, want the goroutine that is there", err)
	}
	close(stop)
	if err := left(patience); err != nil {
		t.Errorf("got %v, want nothing left", err)
	}
}

func forgotten(stop chan struct{}) { <-stop }
