// Package inbox receives mail, keeps it and shows it on the web.
//
// An [Inbox] is an smtp.Handler and an http.Handler over one [Store]: what a
// server hands it is on stable storage before the client hears 250, and can be
// read a moment later on the page, as JSON and as the bytes that came in. What
// a message says of itself is read after the 250, by [Inbox.Run], so that
// accepting mail costs no more than writing it down.
//
// The page is made for mail that means harm. HTML is shown in a frame of an
// opaque origin under a policy that loads nothing and runs nothing, after it has
// been sanitised; requests that another site sends, or that come by a name that
// is not ours, are refused.
//
// It shows messages of RFC 5322 and RFC 2045, resolves cid: URLs by RFC 2392
// and sends events in the form that WHATWG HTML calls server-sent events.
package inbox
