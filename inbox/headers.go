package inbox

import (
	"strings"

	"github.com/postrider/postrider/mail"
)

// Fields, explained: what each is for, in a sentence, and where it is written. The
// sentences are for who debugs an application, not for who writes a mail server:
// they say what a reader's program or a filter does with the field. One that no
// RFC has says in its place whose it is.

// An explained field is one line of the header as it is shown.
type explained struct {
	Name, Text string
	Meaning    string // "" if it is not known
	RFC        string
}

// meanings are the fields that mail has. A row whose name ends in * stands for
// all that begin so, and comes behind those it would hide: the first that fits is
// taken.
var meanings = []struct{ name, rfc, meaning string }{
	{"Return-Path", "RFC 5321, 4.4", "The envelope's sender, noted at the final delivery: where reports go."},
	{"Received", "RFC 5321, 4.4", "One hop: the server that names itself behind “by” took the message. The newest is at the top."},
	{"Received-SPF", "RFC 7208, 9.1", "What a receiver found when it asked whether the client may send for the domain."},
	{"Delivered-To", "in use", "The mailbox it was put into; servers find loops by it."},
	{"X-Original-To", "in use", "The recipient before aliases were followed."},
	{"Date", "RFC 5322, 3.6.1", "When its author called it finished."},
	{"From", "RFC 5322, 3.6.2", "Who wrote it. Readers show this, and DMARC judges it."},
	{"Sender", "RFC 5322, 3.6.2", "Who sent it, if that is not the author."},
	{"Reply-To", "RFC 5322, 3.6.2", "Where answers go instead of to From."},
	{"To", "RFC 5322, 3.6.3", "Whom it is addressed to. The envelope alone says who gets it."},
	{"Cc", "RFC 5322, 3.6.3", "Others who are to know."},
	{"Bcc", "RFC 5322, 3.6.3", "Hidden recipients. It should not be in a message that was sent."},
	{"Disposition-Notification-To", "RFC 8098, 2.1", "Asks the reader's program for a receipt."},
	{"Message-ID", "RFC 5322, 3.6.4", "Names this message, once in the world."},
	{"In-Reply-To", "RFC 5322, 3.6.4", "The message that this one answers."},
	{"References", "RFC 5322, 3.6.4", "The messages of the thread so far; readers group by it."},
	{"Thread-Topic", "Outlook", "The subject that Outlook groups by."},
	{"Thread-Index", "Outlook", "The place in Outlook's thread."},
	{"Subject", "RFC 5322, 3.6.5", "What it is about."},
	{"Comments", "RFC 5322, 3.6.5", "A remark."},
	{"Keywords", "RFC 5322, 3.6.5", "Words that describe it."},
	{"Content-Language", "RFC 3282", "The language it is in."},
	{"Importance", "RFC 2156, 5.3.4", "low, normal or high."},
	{"Priority", "RFC 2156, 5.3.6", "How urgent its delivery is."},
	{"X-Priority", "in use", "1 is highest, 5 lowest; many readers show a mark for 1."},
	{"Auto-Submitted", "RFC 3834, 5", "Other than “no” says that a machine wrote it: others must not answer by themselves."},
	{"X-Auto-Response-Suppress", "Exchange", "Asks Exchange not to answer by itself."},
	{"Precedence", "in use", "“bulk” or “list” keeps automatic answers away; Auto-Submitted is the standard's way."},
	{"List-Unsubscribe-Post", "RFC 8058", "With “List-Unsubscribe=One-Click” a reader can unsubscribe with one click, by POST."},
	{"List-Unsubscribe", "RFC 2369, 3.2", "Where to unsubscribe. Gmail and Yahoo want it of bulk mail."},
	{"List-Id", "RFC 2919", "Names the list; filters go by it."},
	{"List-*", "RFC 2369", "How to use the list."},
	{"Feedback-ID", "Gmail", "By it Gmail groups complaints for the sender."},
	{"DKIM-Signature", "RFC 6376", "A domain's signature over the body and the fields in h=."},
	{"Authentication-Results", "RFC 8601", "What the receiving server found of SPF, DKIM and DMARC. Only that of your own server is to be believed."},
	{"ARC-*", "RFC 8617", "What an earlier hop found, sealed, so that forwarding does not lose it."},
	{"MIME-Version", "RFC 2045, 4", "Says that the message has MIME; always 1.0."},
	{"Content-Type", "RFC 2045, 5", "What the body is: a media type, a charset, or the boundary between parts."},
	{"Content-Transfer-Encoding", "RFC 2045, 6", "How the body was made fit for transport."},
	{"Content-Disposition", "RFC 2183", "Whether it is shown or a file, and under which name."},
	{"Content-ID", "RFC 2392", "The name by which HTML shows this part: cid:."},
	{"Content-*", "RFC 2045, 9", "Describes the body."},
	{"User-Agent", "in use", "The program that wrote it."},
	{"X-Mailer", "in use", "The program that wrote it."},
	{"X-Originating-IP", "in use", "The address from which a webmail user wrote."},
	{"X-Spam-*", "SpamAssassin", "What a spam filter found."},
	{"Resent-*", "RFC 5322, 3.6.6", "Somebody sent the message on as it was, and this is who, when and to whom."},
	{"X-*", "", "The sender's own; no standard gives it a meaning."},
}

// explain lists a header with what its fields mean.
func explain(h mail.Header) []explained {
	// In the order of the message: that of Received is its path, and who added what
	// can be seen by what stands above it.
	var out []explained
	for f := range h.All() {
		e := explained{Name: f.Name(), Text: f.Text()}
		for _, m := range meanings {
			prefix, any := strings.CutSuffix(m.name, "*")
			if strings.EqualFold(e.Name, m.name) || any && len(e.Name) > len(prefix) && strings.EqualFold(e.Name[:len(prefix)], prefix) {
				e.Meaning, e.RFC = m.meaning, m.rfc
				break
			}
		}
		out = append(out, e)
	}
	return out
}
