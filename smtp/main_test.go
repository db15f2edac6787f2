package smtp_test

import (
	"net"
	"os"
	"testing"

	"github.com/postrider/postrider/internal/leak"
)

func TestMain(m *testing.M) {
	net.DefaultResolver = ownDNS
	os.Exit(leak.Main(m))
}
