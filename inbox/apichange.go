package inbox

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"
)

// The JSON interface's changes: of one message by its id, and of all that a query
// finds. What a request says of a message it says of many in the same words.

// changeOf reads a change of unread and tags.
func changeOf(w http.ResponseWriter, r *http.Request) (Change, error) {
	var j struct {
		Unread *bool     `json:"unread"`
		Tags   *[]string `json:"tags"`
		Tag    []string  `json:"tag"`
		Untag  []string  `json:"untag"`
	}
	if err := decode(w, r, &j, "unread (true or false), tags, tag or untag (lists of strings)"); err != nil {
		return Change{}, err
	}
	c := Change{j.Unread, j.Tags, j.Tag, j.Untag}
	for _, list := range [][]string{*cmp.Or(c.Tags, &[]string{}), c.Tag, c.Untag} {
		if len(list) > maxTags || slices.ContainsFunc(list, func(tag string) bool { return !isTag(tag) }) {
			return c, refuse(http.StatusBadRequest, "tags are up to %d strings of 1 to %d octets, without invisible characters, and no space at an end", maxTags, maxTag)
		}
	}
	return c, nil
}

// apiUpdate changes what a person may change of a message.
func (in *Inbox) apiUpdate(w http.ResponseWriter, r *http.Request) error {
	change, err := changeOf(w, r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	// Nothing is asked first: it may be deleted between the question and the change.
	if n, err := in.Store.Update(r.Context(), change, id); n == 0 {
		return cmp.Or(err, ErrNotFound)
	}
	e, err := in.Store.Entry(r.Context(), id)
	if err != nil {
		return err
	}
	in.hub.publish(Event{Kind: EventUpdate, ID: e.ID})
	answer(w, http.StatusOK, summaryOf(e))
	return nil
}

// apiUpdateMany changes what a query finds, or every message if that is said.
func (in *Inbox) apiUpdateMany(w http.ResponseWriter, r *http.Request) error {
	query, err := many(r)
	if err != nil {
		return err
	}
	change, err := changeOf(w, r)
	if err != nil {
		return err
	}
	n, err := in.updateFound(r.Context(), query, change)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]int{"updated": n})
	return nil
}

// apiDelete deletes one message. A second request for the same one is told that
// there is none, so that of two who delete it at once each knows what it did.
func (in *Inbox) apiDelete(w http.ResponseWriter, r *http.Request) error {
	// Others are told of it by the id that the store writes: the client may have used
	// small letters.
	e, err := in.Store.Entry(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	n, err := in.Store.Delete(r.Context(), e.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	in.hub.publish(Event{Kind: EventDelete, ID: e.ID})
	answer(w, http.StatusOK, map[string]int{"deleted": n})
	return nil
}

// apiDeleteMany deletes what a query finds, or everything if that is said.
func (in *Inbox) apiDeleteMany(w http.ResponseWriter, r *http.Request) error {
	query, err := many(r)
	if err != nil {
		return err
	}
	n, err := in.deleteFound(r.Context(), query)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]int{"deleted": n})
	return nil
}

// many reads which messages are meant: a forgotten parameter must not empty the
// inbox.
func many(r *http.Request) (Expr, error) {
	// One of the two, and not both: who says all=true beside a query means one of them,
	// and which one is not to be guessed.
	values := r.URL.Query()
	query, err := ParseQuery(values.Get("query"), time.Now())
	if err == nil && (values.Get("all") == "true") == (query.Op != Every) {
		err = refuse(http.StatusBadRequest, "say which messages: query=…, or all=true for every one")
	}
	return query, err
}

// updateFound changes what matches, a page at a time from the newest on: a change
// may be what makes a message match no longer. What arrives meanwhile stays as it
// is. With an error comes how many were changed before it.
func (in *Inbox) updateFound(ctx context.Context, query Expr, c Change) (updated int, err error) {
	defer func() {
		if updated > 0 {
			in.hub.publish(Event{Kind: EventReset})
		}
	}()
	// What was accepted before the request is meant, whether it has been read or not.
	in.settle(ctx)
	// Page by page, so that neither memory nor one transaction grows with the inbox, and
	// mail that comes in meanwhile waits for no more than one of them.
	for q := (Query{Match: query, Limit: MaxLimit}); ; {
		page, err := in.Store.List(ctx, q)
		if err != nil {
			return updated, err
		}
		ids := page.ids()
		n, err := in.Store.Update(ctx, c, ids...)
		updated += n
		// A change may have made some of them match no longer: on from the last one, by its
		// id and not by how many there were.
		if err != nil || !page.More {
			return updated, err
		}
		q.Before = ids[len(ids)-1]
	}
}

// deleteFound deletes what matches, a page at a time, until nothing does: what
// arrives meanwhile and matches goes too. With an error comes how many went before
// it.
func (in *Inbox) deleteFound(ctx context.Context, query Expr) (deleted int, err error) {
	defer func() {
		if deleted > 0 {
			in.hub.publish(Event{Kind: EventReset})
		}
	}()
	if query.Op == Every {
		return in.Store.DeleteAll(ctx) // at once, and without reading what there is
	}
	in.settle(ctx)
	for {
		page, err := in.Store.List(ctx, Query{Match: query, Limit: MaxLimit})
		if err != nil || len(page.Entries) == 0 {
			return deleted, err
		}
		n, err := in.Store.Delete(ctx, page.ids()...)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
}

func (p *Page) ids() []string {
	ids := make([]string, len(p.Entries))
	for i := range p.Entries {
		ids[i] = p.Entries[i].ID
	}
	return ids
}

// A countJSON is a Count.
type countJSON struct {
	Name     string `json:"name"`
	Messages int    `json:"messages"`
	Unread   int    `json:"unread"`
}

// apiTags answers with the tags that there are and how many messages have each.
func (in *Inbox) apiTags(w http.ResponseWriter, r *http.Request) error {
	return counted(w, r, "tags", in.Store.Tags)
}

// apiInboxes answers with the inboxes that have messages and how many.
func (in *Inbox) apiInboxes(w http.ResponseWriter, r *http.Request) error {
	return counted(w, r, "inboxes", in.Store.Inboxes)
}

func counted(w http.ResponseWriter, r *http.Request, what string, count func(context.Context) ([]Count, error)) error {
	list, err := count(r.Context())
	if err != nil {
		return err
	}
	out := []countJSON{}
	for _, c := range list {
		out = append(out, countJSON(c))
	}
	answer(w, http.StatusOK, map[string][]countJSON{what: out})
	return nil
}
