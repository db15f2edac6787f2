//go:build !unix

package hook

import (
	"os"
	"os/exec"
)

// Groups of processes are Unix's: elsewhere the command alone is ended.

func ownGroup(*exec.Cmd) {}

func killGroup(p *os.Process) error { return p.Kill() }
