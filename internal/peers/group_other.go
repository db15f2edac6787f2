//go:build !unix

package peers

import (
	"os"
	"os/exec"
)

// Elsewhere than on Unix there are no process groups: the process alone is ended, at once.

func ownGroup(*exec.Cmd) {}

func endGroup(p *os.Process) error { return p.Kill() }

func killGroup(p *os.Process) error { return p.Kill() }
