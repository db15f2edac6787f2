package smtp

import (
	"strconv"
	"strings"

	"github.com/postrider/postrider/internal/address"
)

// What a server takes at once, as it says itself (RFC 9422) or as it turns out.

// limits are what LIMITS announces; 0 is no limit.
type limits struct {
	mails   int // transactions in a session
	rcpts   int // recipients in a transaction
	domains int // domains of recipients in a session
}

// parseLimits reads the parameters of LIMITS. One that is not known, or has no value that
// it can have, is passed over; what is no list of parameters says nothing at all (RFC 9422,
// 3.7).
func parseLimits(params string) (l limits) {
	for word := range strings.FieldsSeq(params) {
		name, value, given := strings.Cut(word, "=")
		if !isLimit(name) || given && value == "" || strings.Contains(value, ";") {
			return limits{}
		}
		// RFC 9422, 4: one to six digits, of which the first is not 0.
		n, err := strconv.Atoi(value)
		if err != nil || len(value) > 6 || value[0] < '1' || value[0] > '9' {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			l.mails = n
		case "RCPTMAX":
			l.rcpts = n
		case "RCPTDOMAINMAX":
			l.domains = n
		}
	}
	return l
}

// isLimit tells whether name can be a limit's (RFC 9422, 3).
func isLimit(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// next parts those off who can be in the next transaction. Those whom this session does
// not take any more are given that fate.
func (s *sending) next(rest []int) (now, later []int) {
	c := s.c
	if c.limits.domains > 0 {
		c.mu.Lock()
		if c.domains == nil {
			c.domains = map[string]bool{}
		}
		kept := rest[:0]
		for _, i := range rest {
			_, domain, _ := address.Split(s.env.To[i].Address)
			domain = strings.ToLower(domain)
			if !c.domains[domain] && len(c.domains) >= c.limits.domains {
				s.results[i].Err = temporary(c.name()+" takes recipients of no more domains in a session", errUnsaid)
				continue
			}
			c.domains[domain] = true
			kept = append(kept, i)
		}
		rest = kept
		c.mu.Unlock()
	}
	if n := c.limits.rcpts; n > 0 && len(rest) > n {
		return rest[:n:n], rest[n:]
	}
	return rest, nil
}

// tooMany tells whether a recipient was refused because there were too many before it
// (RFC 5321, 4.5.3.1.10).
func tooMany(r Reply) bool {
	switch r.Enhanced {
	case "4.5.3", "5.5.3":
		return true
	case "":
		return r.Code == 452 || r.Code == 552
	}
	return false
}

// exhausted tells whether the server takes no more transactions in this session.
func (c *Client) exhausted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits.mails > 0 && c.mails >= c.limits.mails
}
