package main

import (
	"io"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/postrider/postrider/smtp"
)

// Progress, for eyes only: on a terminal, and of what takes long enough to wonder.

// showFrom is the size of a message whose sending is shown.
const showFrom = 1 << 20

// bar begins to show something that goes from nothing to total. The two functions
// tell how far it is, and that it is over.
func bar(w io.Writer, what string, total int64, units progress.Units) (at func(int64), done func(error)) {
	p := progress.NewWriter()
	p.SetOutputWriter(w)
	p.SetStyle(progress.StyleBlocks)
	p.SetUpdateFrequency(100 * time.Millisecond)
	p.SetTrackerPosition(progress.PositionRight)
	p.Style().Visibility.ETA = true
	p.Style().Visibility.Speed = true
	p.Style().Visibility.Time = true
	// The end of the message is not the end of the wait: the server's reply is.
	t := &progress.Tracker{Message: what, Total: total, Units: units, AutoStopDisabled: true}
	p.AppendTracker(t)
	rendered := make(chan struct{})
	go func() {
		defer close(rendered)
		p.Render()
	}()
	return t.SetValue, func(err error) {
		if err != nil {
			t.MarkAsErrored()
		} else {
			t.MarkAsDone()
		}
		p.Stop()
		<-rendered
	}
}

// showing shows how far something is that goes to total, 0 if nobody knows, unless there
// is no terminal to show it on or less than least to be done.
func showing(s streams, what string, total, least int64, units progress.Units) (at func(int64), done func(error)) {
	if !isTerminal(s.err) || total > 0 && total < least {
		return func(int64) {}, func(error) {}
	}
	return bar(s.err, what, total, units)
}

// withProgress shows how much of a message is written, if it is large and there is
// a terminal to show it on. The function it returns ends that.
func withProgress(msg io.WriterTo, s streams) (io.WriterTo, func(error)) {
	m, ok := msg.(smtp.Sizer)
	if !ok || !isTerminal(s.err) {
		return msg, func(error) {}
	}
	size, err := m.Size()
	if err != nil || size < showFrom {
		return msg, func(error) {}
	}
	// It begins when the server has agreed to take the message, and not before. A
	// message may still be written when its sending has been cancelled.
	var mu sync.Mutex
	var at func(int64)
	done := func(error) {}
	show := smtp.WithProgress(msg, func(written int64) {
		mu.Lock()
		defer mu.Unlock()
		if at == nil {
			at, done = bar(s.err, "sending", size, progress.UnitsBytes)
		}
		at(written)
	})
	return show, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		done(err)
	}
}
