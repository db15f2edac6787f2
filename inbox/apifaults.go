package inbox

import (
	"net/http"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Faults and sessions as JSON. A rule has two forms: its pieces by name, for programs
// that make them, and the one line that people write. Both are answered, so that a
// client shows the one and changes the other.

// A faultJSON is a rule; times are durations such as "5s".
type faultJSON struct {
	Verb        string  `json:"verb"`
	Pattern     string  `json:"pattern,omitempty"`
	Probability float64 `json:"probability,omitempty"`
	Limit       int     `json:"limit,omitempty"`
	Per         string  `json:"per,omitempty"`
	Greylist    string  `json:"greylist,omitempty"`
	Delay       string  `json:"delay,omitempty"`
	Disconnect  bool    `json:"disconnect,omitempty"`
	Code        int     `json:"code,omitempty"`
	Enhanced    string  `json:"enhanced,omitempty"`
	Text        string  `json:"text,omitempty"`
	Rule        string  `json:"rule,omitempty"` // all of it in a line; may stand for the others
}

// faultsJSON is what GET answers and PUT takes.
type faultsJSON struct {
	Faults []faultJSON `json:"faults"`
}

// faultOf makes a rule of its JSON.
func faultOf(j *faultJSON) (Fault, error) {
	if j.Rule != "" {
		alone := faultJSON{Rule: j.Rule}
		if *j != alone {
			// Of the one that is sent both forms must say the same.
			if f, err := ParseFault(j.Rule); err == nil {
				alone = jsonOf(f)
			}
			if *j != alone { // what GET has answered may be put back as it is
				return Fault{}, refuse(http.StatusBadRequest, "a fault has a rule or the other fields, not both")
			}
		}
		return ParseFault(j.Rule)
	}
	f := Fault{Verb: j.Verb, Pattern: j.Pattern, Probability: j.Probability, Limit: j.Limit, Disconnect: j.Disconnect,
		Reply: smtp.Reply{Code: j.Code, Enhanced: smtp.EnhancedCode(j.Enhanced), Text: j.Text}}
	for _, d := range []struct {
		to   *time.Duration
		text string
	}{{&f.Per, j.Per}, {&f.Greylist, j.Greylist}, {&f.Delay, j.Delay}} {
		if d.text == "" {
			continue // its zero means that there is none, as in a Fault
		}
		var err error
		if *d.to, err = time.ParseDuration(d.text); err != nil {
			return f, refuse(http.StatusBadRequest, "%q is no duration: write 5s, 2m or 1h", oneLine(d.text, 50))
		}
	}
	return f, nil
}

// jsonOf makes the JSON of a rule.
func jsonOf(f Fault) faultJSON {
	// Left out where it is zero: "0s" would look as if somebody had asked for it.
	text := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return d.String()
	}
	return faultJSON{f.Verb, f.Pattern, f.Probability, f.Limit, text(f.Per), text(f.Greylist), text(f.Delay), f.Disconnect,
		f.Reply.Code, string(f.Reply.Enhanced), f.Reply.Text, f.String()}
}

// apiFaults answers with the rules that are set.
func (in *Inbox) apiFaults(w http.ResponseWriter, _ *http.Request) error {
	j := faultsJSON{Faults: []faultJSON{}}
	for _, f := range in.Faults() {
		j.Faults = append(j.Faults, jsonOf(f))
	}
	answer(w, http.StatusOK, j)
	return nil
}

// apiSetFaults replaces the rules; an empty list switches them off.
func (in *Inbox) apiSetFaults(w http.ResponseWriter, r *http.Request) error {
	var j faultsJSON
	if err := decode(w, r, &j, "faults, a list of rules"); err != nil {
		return err
	}
	// Whoever forgets the list does not mean to switch off what others have set.
	if j.Faults == nil {
		return refuse(http.StatusBadRequest, "faults is missing; an empty list switches them off")
	}
	var rules []Fault
	for i := range j.Faults {
		f, err := faultOf(&j.Faults[i])
		if err != nil {
			return refuse(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "inbox: "))
		}
		rules = append(rules, f)
	}
	// All of them or none: half of a list would be other rules, since their order counts.
	if err := in.SetFaults(rules); err != nil {
		return refuse(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "inbox: "))
	}
	// As they are now, so that what was sent in a line can be read in its pieces.
	return in.apiFaults(w, r)
}

// apiSession answers with the session that brought a message.
func (in *Inbox) apiSession(w http.ResponseWriter, r *http.Request) error {
	// The store gives the first line with the entry, and the rest where it is asked for: no
	// list pays for what was said.
	e, err := in.Store.Entry(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if e.Session == "" {
		return refuse(http.StatusNotFound, "the message did not come in a session, or before sessions were kept")
	}
	s, err := ParseSession(e.Session)
	if err != nil {
		return err // it is what the store was given: damage, and no fault of the client's
	}
	type line struct {
		After float64 `json:"after"` // seconds since the session started
		From  string  `json:"from"`  // client or server
		Text  string  `json:"text"`
	}
	// In words and seconds, as programs in any language have them; Go's own duration would
	// be nanoseconds that nobody expects.
	lines := []line{}
	for _, l := range s.Lines {
		from := "server"
		if l.FromClient {
			from = "client"
		}
		lines = append(lines, line{l.After.Seconds(), from, l.Text})
	}
	answer(w, http.StatusOK, struct {
		ID         string   `json:"id"`
		Protocol   string   `json:"protocol"`
		TLS        string   `json:"tls"`
		Started    string   `json:"started"` // RFC 3339
		Extensions []string `json:"extensions"`
		Lines      []line   `json:"lines"`
	}{s.ID, s.Protocol, s.TLS, s.Started.UTC().Format(timeFormat), append([]string{}, s.Extensions()...), lines})
	return nil
}
