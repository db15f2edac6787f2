package inbox_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Prometheus can read the figures, and has nothing to say against their names, units
// and explanations.
func TestMetricsByPrometheus(t *testing.T) {
	r := start(t, nil)
	r.mustDeliver("Subject: one\r\n\r\n")
	problems, err := promlint.New(strings.NewReader(r.ask("GET", "/metrics", "").body)).Lint()
	if err != nil {
		t.Errorf("Prometheus cannot read the figures: %v", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
