package dialogue

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Where it does not matter how a server words its replies, a script names their
// codes (Player.Codes): "S: 250" is a reply of any number of lines with that
// code, "S: 5xx" any refusal, and of several words one must fit: "S: 503 554",
// "S: 5xx <close>". Behind "with" or "without" stands a word that a line of the
// reply must begin with, or none: "S: 250 with STARTTLS", "S: 500 with 5.*". Behind
// "times" stands how many such replies come: "S: 250 5xx <close> times 100".

// maxReply bounds the lines of a reply.
const maxReply = 1000

// expectReplies reads as many replies as want says, fewer only where the connection may
// have ended.
func (p *Player) expectReplies(want string) error {
	want, count, many := strings.Cut(want, " times ")
	if !many {
		_, err := p.expectReply(want)
		return err
	}
	n, err := strconv.Atoi(count)
	for more := true; more && err == nil && n > 0; n-- {
		more, err = p.expectReply(want)
	}
	return err
}

// expectReply reads a reply and holds it against want. It reports whether another one
// may follow.
func (p *Player) expectReply(want string) (more bool, err error) {
	codes, word, rest := strings.Fields(want), "", ""
	for i, w := range codes {
		if w == "with" || w == "without" {
			codes, word, rest = codes[:i], w, strings.Join(codes[i+1:], " ")
			break
		}
	}
	code, lines, err := p.reply()
	p.code = code
	if err != nil {
		if ends(err) && len(lines) == 0 {
			if slices.Contains(codes, Close) {
				return false, nil
			}
			return false, fmt.Errorf("got the end of the connection, want %s", want)
		}
		return false, fmt.Errorf("got %q (%w), want %s", lines, err, want)
	}
	fits := false
	for _, c := range codes {
		fits = fits || c == code || strings.HasSuffix(c, "xx") && c[0] == code[0]
	}
	begins := false
	for _, line := range lines {
		first, _, _ := strings.Cut(line[min(4, len(line)):], " ")
		begins = begins || Match(strings.ToUpper(rest), strings.ToUpper(first))
	}
	if !fits || word == "with" && !begins || word == "without" && begins {
		return false, fmt.Errorf("got %.300q, want %s", strings.Join(lines, " / "), want)
	}
	return true, nil
}

// reply reads the lines of one reply, whose form is checked (RFC 5321, 4.2).
func (p *Player) reply() (code string, lines []string, err error) {
	for len(lines) < maxReply {
		line, err := p.line()
		if err != nil {
			return code, lines, err
		}
		lines = append(lines, line)
		switch {
		case len(line) < 3 || line[0] < '2' || line[0] > '5' || strings.Trim(line[:3], "0123456789") != "":
			return code, lines, fmt.Errorf("no reply begins like this")
		case strings.ContainsAny(line, "\r\n\x00"):
			return code, lines, fmt.Errorf("a CR, LF or NUL in a reply")
		case code != "" && line[:3] != code:
			return code, lines, fmt.Errorf("two codes in one reply")
		}
		code = line[:3]
		if len(line) == 3 || line[3] == ' ' {
			return code, lines, nil
		}
		if line[3] != '-' {
			return code, lines, fmt.Errorf("neither a space nor a hyphen behind the code")
		}
	}
	return code, lines, fmt.Errorf("a reply of more than %d lines", maxReply)
}

// ends tells whether err is the end of a connection, however it was ended.
func ends(err error) bool {
	return err == io.EOF || err == io.ErrUnexpectedEOF || err == io.ErrClosedPipe ||
		strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe")
}
