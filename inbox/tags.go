package inbox

import (
	"context"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Tags: a person puts them on and takes them off, and who sends a message may name
// some in its X-Tags fields, with commas between. Those are put on once, when the
// message is read for the first time, so that what somebody takes off stays off.

const (
	maxTag  = 100 // octets of a tag
	maxTags = 100 // that a request names at once
	maxSent = 20  // that a message names: who has made it is not asked
)

// isTag tells what can be a tag. It is a word on the page and a term of a query: what
// cannot be shown in a line, or typed, is none.
func isTag(tag string) bool {
	return tag != "" && len(tag) <= maxTag && strings.TrimSpace(tag) == tag && !strings.ContainsFunc(tag, invisible)
}

// sentTags are the tags that a message names. What is no tag is passed over.
func sentTags(h mail.Header) []string {
	var list []string
	for f := range h.Named("X-Tags") {
		for tag := range strings.SplitSeq(f.Text(), ",") {
			if tag = strings.TrimSpace(tag); isTag(tag) && len(list) < maxSent {
				list = append(list, tag)
			}
		}
	}
	return list
}

// A tagging gathers messages that are read for the first time and name tags, by
// these: what arrives together mostly names the same.
type tagging map[string][]*Entry

// add notes the tags that a message names.
func (t tagging) add(e *Entry, h mail.Header) {
	if tags := sentTags(h); len(tags) > 0 {
		key := strings.Join(tags, ",") // which no tag has in it
		t[key] = append(t[key], e)
	}
}

// put puts them on, and tells whoever has heard of the messages already.
func (t tagging) put(ctx context.Context, in *Inbox) error {
	for key, entries := range t {
		change := Change{Tag: strings.Split(key, ",")}
		page := &Page{}
		for _, e := range entries {
			e.Tags, _ = change.Apply(e.Tags)
			page.Entries = append(page.Entries, *e)
		}
		if _, err := in.Store.Update(ctx, change, page.ids()...); err != nil {
			return err
		}
		for _, e := range entries {
			in.hub.publish(Event{Kind: EventUpdate, ID: e.ID})
		}
	}
	return nil
}
