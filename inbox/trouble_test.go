package inbox

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A trouble is told when it begins, when it changes, when it is over, and else rarely.
func TestTrouble(t *testing.T) {
	var x trouble
	now := time.Unix(1, 0)
	var got []string
	for i, text := range []string{"", "a", "a", "a", "b", "b", "", "", "a"} {
		now = now.Add(time.Second)
		if text == "" && x.over() {
			got = append(got, fmt.Sprint(i, " over"))
		}
		if text != "" && x.tell(errors.New(text), now) {
			got = append(got, fmt.Sprint(i, " ", text))
		}
	}
	if want := []string{"1 a", "4 b", "6 over", "8 a"}; !slices.Equal(got, want) {
		t.Errorf("told were %q, want %q", got, want)
	}
	if x.tell(errors.New("a"), now.Add(troubleEvery-1)) || !x.tell(errors.New("a"), now.Add(troubleEvery)) {
		t.Errorf("the same again: want it told after %v and not before", troubleEvery)
	}
}
