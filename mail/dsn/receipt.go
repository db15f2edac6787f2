package dsn

import (
	"strings"

	"github.com/postrider/postrider/mail"
)

// A Receipt is a message disposition notification: what a reader did with a message, or says so (RFC 8098). It comes from
// the recipient's program and proves nothing.
type Receipt struct {
	ReportingUA string // which program, often with its host
	Gateway     Value
	Original    Value // whom the sender had named
	Final       Value // who tells
	MessageID   string

	Disposition string   // "displayed", "deleted", "dispatched", "processed", or another, in lower case
	Automatic   bool     // no person did it
	Modifiers   []string // in lower case: "error" if something went wrong, which Error tells
	Error       string
	Header      mail.Header // all fields, as they are
}

// ParseReceipt reads the message/disposition-notification in a message. Without one the error is [ErrNoReport]; other
// errors are those of reading the message.
func ParseReceipt(m *mail.Message) (*Receipt, error) {
	s, _, err := found(m, "message/disposition-notification", "message/global-disposition-notification")
	if err != nil {
		return nil, err
	}
	return readReceipt(mail.ParseHeader(strings.TrimLeft(s, "\r\n"))), nil
}

// readReceipt takes the fields (RFC 8098, 3.2). They are one block: a receipt is about one recipient, who sends it.
func readReceipt(h mail.Header) *Receipt {
	r := &Receipt{
		ReportingUA: clean(h.Text("Reporting-UA")), Gateway: value(h, "MDN-Gateway"),
		Original: address(h, "Original-Recipient"), Final: address(h, "Final-Recipient"),
		MessageID: bare(h.Value("Original-Message-ID")), Error: clean(h.Text("Error")), Header: h,
	}
	// Disposition: action mode "/" sending mode ";" type "/" modifiers.
	// The mode says who acted, a person or a program, and who sent the receipt; only the first changes what it means.
	mode, what, ok := strings.Cut(strings.ToLower(clean(h.Value("Disposition"))), ";")
	if !ok {
		mode, what = "", mode // QUIRK: the modes are left out
	}
	r.Automatic = strings.HasPrefix(strings.TrimSpace(mode), "automatic-action")
	what, modifiers, _ := strings.Cut(what, "/")
	r.Disposition = strings.TrimSpace(what)
	for one := range strings.SplitSeq(modifiers, ",") {
		if one = strings.TrimSpace(one); one != "" {
			r.Modifiers = append(r.Modifiers, one)
		}
	}
	return r
}
