package mail

import (
	"fmt"
	"net/url"
	"strings"
)

// Unsubscribe sets List-Unsubscribe to URLs that end the subscription (RFC 2369, 3.2), the best one first: mailto:, http:
// or https:. With one of https, List-Unsubscribe-Post says that a POST to it is enough, without a question (RFC 8058);
// readers then show a button, and the large hosts want it of everybody who sends to many. Both fields must be signed by
// DKIM for that. The error names the URL that cannot be used, and nothing is set.
func (h *Header) Unsubscribe(urls ...string) error {
	if len(urls) == 0 {
		return fmt.Errorf("mail: List-Unsubscribe: no URL is given")
	}
	var list []string
	oneClick := false
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil {
			return fmt.Errorf("mail: List-Unsubscribe: %.60q is no URL: %w", s, err)
		}
		// The field's syntax gives these characters a meaning of their own, also inside of a URL.
		if strings.ContainsAny(s, "<>, \t\r\n") || !isASCII(s) {
			return fmt.Errorf("mail: List-Unsubscribe: %.60q holds a character that must be percent-encoded", s)
		}
		switch u.Scheme {
		case "https":
			oneClick = true
		case "mailto", "http":
		default:
			return fmt.Errorf("mail: List-Unsubscribe: %.60q is not https, http or mailto", s)
		}
		list = append(list, "<"+s+">")
	}
	// A URL that no line can hold is found here, while its author is at hand.
	value := strings.Join(list, ", ")
	if _, err := appendField(nil, "List-Unsubscribe", value); err != nil {
		return err
	}
	h.Replace("List-Unsubscribe", value)
	h.Remove("List-Unsubscribe-Post")
	if oneClick {
		h.Append("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	}
	return nil
}
