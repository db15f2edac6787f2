package interop

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// postrider send delivers to other people's servers.

// sendCommand returns postrider send, with what every use of it here has in common.
func sendCommand(t *testing.T, addr string, id *identity, args ...string) *exec.Cmd {
	t.Helper()
	security := []string{"--tls", "none"}
	if id != nil {
		security = []string{"--tls", "starttls", "--ca-file", id.certFile}
	}
	return program(t, append(append([]string{"send", "--server", addr, "--from", sender}, security...), args...)...)
}

func TestSendCommandDelivers(t *testing.T) {
	eachServer(t, func(t *testing.T, s server, id *identity) {
		srv := s.start(t, id)
		list := samples()
		for i, file := range files(t, list, nil) {
			run(t, sendCommand(t, srv.addr, id, "--to", one+","+two, "--eml", file))
			list[i].raw = ended(list[i].raw)
		}
		compare(t, srv.arrived(len(list)), list)
	})
}

// TestSendCommandRefused sends to one who exists and one who does not: the message goes to the one, and the exit code and
// the JSON say what became of the other.
func TestSendCommandRefused(t *testing.T) {
	eachServer(t, func(t *testing.T, s server, id *identity) {
		if !s.refuses {
			return
		}
		srv := s.start(t, id)
		plain := samples()[:1]
		cmd := sendCommand(t, srv.addr, id, "--to", one, "--to", two, "--to", nobody, "--json", "--eml", files(t, plain, nil)[0])
		out, err := cmd.Output()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() == 0 || exit.ExitCode() == 75 {
			t.Errorf("got %v, want an exit code that is neither success nor temporary", err)
		}
		if !json.Valid(out) {
			t.Errorf("--json: got %q, want JSON", out)
		}
		compare(t, srv.arrived(1), plain)
	})
}

// TestSendCommandTurnsToTheNext sends by three servers: none listens at the first, the second does not take one of the
// recipients for now, and the third gets the message for that one alone.
func TestSendCommandTurnsToTheNext(t *testing.T) {
	eachServer(t, func(t *testing.T, s server, id *identity) {
		if !s.refuses || id != nil {
			return
		}
		peers.Find(t, peers.SMTPSink)
		second, last := s.start(t, nil), startSink(t, nil)
		plain := samples()[:1]
		run(t, sendCommand(t, peers.FreeAddr(t), nil, "--server", second.addr, "--server", last.addr,
			"--to", one, "--to", two, "--to", busy, "--eml", files(t, plain, nil)[0]))
		compare(t, second.arrived(1), plain)
		compare(t, last.arrived(1), plain)
	})
}
