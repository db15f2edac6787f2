package inbox

import (
	"fmt"
	"testing"
)

// Who has fallen behind is told to read the list again before anything else, and hears
// what comes then; who keeps up hears all, in its order.
func TestListenerBehind(t *testing.T) {
	var h hub
	slow, quick := h.listen(), h.listen()
	for i := range eventsBehind + 1 {
		h.publish(Event{Kind: EventMessage, ID: fmt.Sprint(i)})
		if e := <-quick.events; e.ID != fmt.Sprint(i) {
			t.Fatalf("heard %+v in place of %d", e, i)
		}
	}
	h.publish(Event{Kind: EventDelete, ID: "last"})
	for _, want := range []Event{{Kind: EventReset}, {Kind: EventDelete, ID: "last"}} {
		if e := <-slow.events; e != want {
			t.Errorf("behind, %+v is heard, want %+v", e, want)
		}
	}
	slow.close()
	h.publish(Event{Kind: EventReset})
	if len(slow.events) != 0 || len(quick.events) != 2 {
		t.Errorf("%d events for who has gone, %d for who has not read; want 0 and 2", len(slow.events), len(quick.events))
	}
}
