package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// events writes what go test -json would: one JSON object a line.
func events(t *testing.T, list ...event) string {
	t.Helper()
	var b strings.Builder
	for _, e := range list {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func out(pkg, name, text string) event {
	return event{Action: "output", Package: pkg, Test: name, Output: text}
}

func end(action, pkg, name string) event { return event{Action: action, Package: pkg, Test: name} }

func TestSummary(t *testing.T) {
	passing := events(t, out("p", "TestA", "=== RUN   TestA\n"), out("p", "TestA", "noise\n"), end("pass", "p", "TestA"),
		out("p", "", "PASS\n"), out("p", "", "ok  \tp\t0.1s\n"), end("pass", "p", ""))
	skipping := events(t, out("p", "TestB", "    b_test.go:12: swaks is not installed: apt-get install swaks\n"),
		out("p", "TestB", "--- SKIP: TestB (0.00s)\n"), end("skip", "p", "TestB"))
	other := events(t, out("p", "TestR", "    b_test.go:9: this test must run as root: it starts Postfix\n"), end("skip", "p", "TestR"))
	subtests := events(t, end("pass", "p", "TestC/one"), end("pass", "p", "TestC/two"), end("pass", "p", "TestC"))
	failing := events(t, out("p", "TestD/x", "    d_test.go:3: got 1, want 2\n"), end("fail", "p", "TestD/x"),
		out("p", "TestD", "--- FAIL: TestD (0.00s)\n"), end("fail", "p", "TestD"), out("p", "", "FAIL\tp\t0.1s\n"), end("fail", "p", ""))
	panicking := events(t, out("p", "TestE", "panic: boom\n"), out("p", "", "FAIL\tp\t0.1s\n"), end("fail", "p", ""))
	unbuilt := events(t, event{Action: "build-output", ImportPath: "p", Output: "./x.go:1: syntax error\n"},
		event{Action: "build-fail", ImportPath: "p"}, out("p", "", "FAIL\tp [build failed]\n"), end("fail", "p", ""))

	for _, tt := range []struct {
		name, in string
		require  bool
		ok       bool
		want     string // the last line
		shows    string
	}{
		{"pass", passing, true, true, "ok: 1 passed, 0 failed, 0 skipped", "ok  \tp\t0.1s\n"},
		{"skip", passing + skipping, false, true, "ok: 1 passed, 0 failed, 1 skipped (not installed: swaks; scripts/peers installs what tests use)", "--- SKIP: p TestB: swaks is not installed: apt-get install swaks\n"},
		{"skip of another kind", other, false, true, "ok: 0 passed, 0 failed, 1 skipped (1 for the reasons above)", "must run as root"},
		{"skip where all is required", passing + skipping, true, false, "FAIL: 1 passed, 0 failed, 1 skipped (not installed: swaks; scripts/peers installs what tests use)", ""},
		{"subtests count once", subtests, true, true, "ok: 2 passed, 0 failed, 0 skipped", ""},
		{"failure", failing, false, false, "FAIL: 0 passed, 1 failed, 0 skipped", "got 1, want 2\n"},
		{"panic", panicking, false, false, "FAIL: 0 passed, 0 failed, 0 skipped", "panic: boom\n"},
		{"does not build", unbuilt, false, false, "FAIL: 0 passed, 0 failed, 0 skipped", "syntax error\n"},
		{"nothing", "", false, false, "FAIL: 0 passed, 0 failed, 0 skipped", ""},
		{"no event at all", "go: no such module\n", false, false, "FAIL: 0 passed, 0 failed, 0 skipped", "no such module\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			s := &summary{w: &got, require: tt.require, output: map[test][]string{}, result: map[test]string{}}
			if err := s.read(strings.NewReader(tt.in)); err != nil {
				t.Fatal(err)
			}
			if ok := s.close(); ok != tt.ok {
				t.Errorf("close: got %v, want %v", ok, tt.ok)
			}
			if !strings.HasSuffix("\n"+got.String(), "\n"+tt.want+"\n") || !strings.Contains(got.String(), tt.shows) {
				t.Errorf("got\n%swant the last line %q, and %q shown", got.String(), tt.want, tt.shows)
			}
			if strings.Contains(got.String(), "noise") || strings.Contains(got.String(), "=== ") {
				t.Errorf("got\n%swant nothing of a test that passed", got.String())
			}
		})
	}
}
