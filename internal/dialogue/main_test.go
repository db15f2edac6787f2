package dialogue_test

import (
	"os"
	"testing"

	"github.com/postrider/postrider/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
