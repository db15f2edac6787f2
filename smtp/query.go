package smtp

import (
	"strings"

	"github.com/postrider/postrider/internal/address"
)

// The verbs that ask and change nothing (RFC 5321, 3.5 and 4.1.1.6 to 4.1.1.8). They need
// no greeting before them and lead to no message, so that they are counted as idle. What
// VRFY and EXPN tell is worth something to whoever collects addresses (RFC 5321, 7.3):
// without a function nothing is told, and that is no error.

func (c *Conn) vrfy(arg string) {
	name, utf8 := queried(arg)
	var mailbox string
	if c.server.OnVerify != nil {
		err := c.call(func() (err error) { mailbox, err = c.server.OnVerify(c.ctx, c, name); return err })
		if e := c.handlerError(err); e != nil {
			c.refuse(e)
			return
		}
	}
	// Who cannot be verified may still be there: 550 would be a lie, and 250 another.
	if mailbox == "" {
		c.say(252, "2.0.0", "cannot verify, but will take mail and try") // RFC 5321, 3.5.3
		return
	}
	c.tell(utf8, "2.1.5", mailbox)
}

func (c *Conn) expn(arg string) {
	// RFC 5321, 3.5.2 has it announced where it is offered, and so it is not where not.
	if c.server.OnExpand == nil {
		c.wrong(502, "5.5.1", "lists are not told")
		return
	}
	list, utf8 := queried(arg)
	var mailboxes []string
	err := c.call(func() (err error) { mailboxes, err = c.server.OnExpand(c.ctx, c, list); return err })
	switch e := c.handlerError(err); {
	case e != nil:
		c.refuse(e)
	case len(mailboxes) == 0:
		c.say(252, "2.1.5", "a list without members")
	default:
		c.tell(utf8, "2.1.5", mailboxes...)
	}
}

// queried parts the argument of VRFY and EXPN from the word that permits UTF-8 in
// the reply (RFC 6531, 3.7.4.2).
func queried(arg string) (name string, utf8 bool) {
	if n := len(arg) - len(" SMTPUTF8"); n > 0 && strings.EqualFold(arg[n:], " SMTPUTF8") {
		return strings.TrimRight(arg[:n], " "), true
	}
	return arg, false
}

// tell answers with mailboxes, one a line. A client that has not said SMTPUTF8 might not
// be able to read others (RFC 6531, 3.7.4.2), and half a list would look like a whole one.
func (c *Conn) tell(utf8 bool, enhanced EnhancedCode, mailboxes ...string) {
	lines := make([]string, len(mailboxes))
	for i, mailbox := range mailboxes {
		if !utf8 && !address.IsASCII(mailbox) {
			c.refuse(&Error{Code: 553, Enhanced: "5.6.7", Text: "the answer needs SMTPUTF8"})
			return
		}
		lines[i] = strings.ReplaceAll(mailbox, "\n", " ") // a mailbox is one line, whoever made it
	}
	c.say(250, enhanced, strings.Join(lines, "\n"))
}

func (c *Conn) noop(string) { c.say(250, "2.0.0", "ok") }

// help names the verbs and no program or version: RFC 5321, 4.1.1.8 leaves the text to us,
// and who looks for old versions need not be helped.
func (c *Conn) help(string) {
	text := "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"
	if c.policy.LMTP {
		text = "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"
	}
	c.say(214, "2.0.0", text+"\nEXPN STARTTLS AUTH where announced; see RFC 5321")
}
