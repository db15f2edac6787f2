package smtp

import (
	"context"
	"net"
	"testing"
)

// A lateContext has ended when it is asked, and something happens just before.
type lateContext struct {
	context.Context
	before func()
}

func (c lateContext) Done() <-chan struct{} {
	c.before()
	return c.Context.Done()
}

// What was given to somebody at the moment of giving up is free again: the connection, and
// the leave to make one. Which of the two comes first is chance.
func TestGivenTooLate(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	tr := &Transport{MaxConns: 1, Window: 1}
	p := &pooled{Client: newClient(new(Dialer), here, "")}
	given := map[bool]int{}
	for range 100 {
		tr.dials = 1 // somebody else makes one, and fails
		got, err := tr.wait(lateContext{ended, func() {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.dials--
			tr.assign()
		}}, new(lease))
		if given[err == nil]++; err == nil && (got != nil || tr.dials != 1) || err != nil && tr.dials != 0 {
			t.Fatalf("leave to make one: got %v, %v, and %d connections are being made", got, err, tr.dials)
		}
	}
	tr.dials, tr.conns = 0, []*pooled{p}
	for range 100 {
		p.users = 1 // somebody else has it, and is done
		got, err := tr.wait(lateContext{ended, func() { tr.put(p) }}, new(lease))
		if given[err == nil]++; err == nil && (got != p || p.users != 1) || err != nil && p.users != 0 {
			t.Fatalf("a connection: got %v, %v, and it has %d users", got, err, p.users)
		}
	}
	p.expiry.Stop()
	if given[true] == 0 || given[false] == 0 {
		t.Errorf("given and given up: %v, want some of both", given)
	}
}
