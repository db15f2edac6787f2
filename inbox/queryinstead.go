package inbox

import (
	"fmt"
	"strings"
)

// What other programs write in a search, and how the same is written here. Who
// comes from one of them types its words: they are no second language, but who
// types one is told what ours is, for the very thing that is looked for.

// instead is how a word of Mailpit's or Gmail's is written here; %[1]s is what is
// looked for. Parentheses keep a minus before it right.
var instead = map[string]string{
	"addressed":  "(from:%[1]s OR to:%[1]s OR cc:%[1]s OR bcc:%[1]s)",
	"message-id": "id:%[1]s", "rfc822msgid": "id:%[1]s",
	"label": "tag:%[1]s", "filename": "has:attachment %[1]s",
	"is:untagged": "-is:tagged", "has:tag": "is:tagged", "has:tags": "is:tagged",
}

// elsewhere is the error about a term of other programs, or nil if it is none that
// is known. The term goes from at to where p is, and its value begins at valueAt.
func (p *parser) elsewhere(at, valueAt int) error {
	name, value := strings.ToLower(p.query[at:valueAt-1]), p.query[valueAt:p.at]
	form := instead[name+":"+strings.ToLower(value)]
	if form == "" {
		form = instead[name]
	}
	if form == "" && strings.Contains(name, "-") { // only fields of a header are called so
		form = "header:" + name + "=%[1]s"
	}
	switch {
	case form == "":
		return nil
	case value == "": // it is being typed
		return p.wrong(at, "%s: is written %s here", name, fmt.Sprintf(form, "…"))
	case strings.Contains(form, "%"):
		form = fmt.Sprintf(form, value)
	}
	return &QueryError{At: p.place(at), Text: fmt.Sprintf("%s is written %s here", p.query[at:p.at], form), instead: p.query[:at] + form + p.query[p.at:]}
}
