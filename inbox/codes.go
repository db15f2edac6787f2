package inbox

import (
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// One-time codes, as people find them: what looks like one and stands alone on its line
// near the word for it, or in one sentence with that word, nearer to it than anything
// else that looks so. Years, amounts, orders and telephone numbers are digits too; they
// have other words beside them.

// candidate is what a code looks like: four to eight digits, in groups too, single ones
// in boxes; or capitals and digits, in two groups perhaps; or small letters and digits.
var candidate = regexp.MustCompile(`\b(?:(?:[A-Z]{1,3}-)?(?:\d{3}[ -]\d{3}|\d{4}[ -]\d{4}|\d{2}[ -]\d{2}[ -]\d{2}|\d(?:(?: \| (?:- \| )?| )\d){3,7}|\d{4,8})|` +
	`[A-Z0-9]{3,5}(?:-[A-Z0-9]{3,5}){1,2}|[A-Z0-9]{5,10}|[a-z0-9]{6,8})\b`)

// codeWord is what such a code is called.
var codeWord = regexp.MustCompile(`(?i)codes?\b|\bcodi(?:ce|ci)\b|\b(?:otp|pin|tan|2fa|token)\b|\b(?:one[- ]time|temporary) password|\beinmal\pL+|usage unique|` +
	`c[óo]dig[oi]|k[oó]d(?:[eu]n?|unuz|ul|em|od|ja)?\b|koodi|mã x|код|κωδικ|رمز|کد|קוד|รหัส|कोड|验证码|驗證碼|校验码|动态码|認証番号|コード|인증|코드`)

// otherCode is called a code too, and never used once.
var otherCode = regexp.MustCompile(`(?i)\b(?:zip|post(?:al)?|promo(?:tion)?|discount|coupon|voucher|gift|error|exit|country|area|dialling|bar|qr|source|status|dress|sort|swift|tax)[ -]?codes?\b`)

// hint is what stands near a code that is called nothing.
var hint = regexp.MustCompile(`(?i)verif|confirm|log[- ]?in|sign[- ]?in|bestätig|anmeld|passwor|mot de passe|contraseña`)

// asked stands right before a code that is called nothing, either.
var asked = regexp.MustCompile(`(?i)\b(?:use|enter|type(?: in)?|eingeben:?) $`)

// sentenceEnd is also that of a paragraph, unless it announces the next one.
var sentenceEnd = regexp.MustCompile(`[.!?]["')]?\s|[。!?]|[^:\s]\s*\n\s*\n`)

// numbered stands before a number of something else, and measured behind one.
var (
	numbered = regexp.MustCompile(`(?i)(?:order|bestell\pL*|invoice|rechnung\pL*|card|ending|ticket|case|ref\pL*|nr|no|account|konto|customer|phone|tel|fax|version|flight|©|\(c\))[ .:#]*$|\d $`)
	measured = regexp.MustCompile(`^ ?(?i:min|hour|hrs|h\b|day|sec|stunde|tag|eur|usd|gbp|chf|[$€£%])|^ \d`)
	year     = regexp.MustCompile(`^(?:19|20)\d\d$`)
)

// near is how far from its name a code may stand, in octets: it is often on a line
// of its own below a sentence.
const near = 160

// same has what looks alike be one: blanks that do not break, hyphens of four kinds.
var same = strings.NewReplacer("\u00a0", " ", "\u2007", " ", "\u202f", " ", "\u2010", "-", "\u2011", "-", "\u2012", "-", "\u2013", "-")

// parted are what parts the groups of a code.
var parted = strings.NewReplacer(" ", "", "-", "", "|", "")

// codes returns what may be one-time codes, the likeliest first: those that stand
// alone on their line before those within a sentence.
func codes(m *mail.Message) []string {
	text, _ := cut(m.Text, maxCoded)
	page, _ := cut(m.HTML, indexHTML)
	page, _ = cut(mail.TextFromHTML(page), maxCoded)
	text = oneLine(m.Subject, 1000) + "\n\n" + text + "\n\n" + page
	// Tokens of links look like codes. Blanks take their places, so that what is near stays
	// so far.
	blank := func(s string) string { return strings.Repeat(" ", len(s)) }
	text = otherCode.ReplaceAllStringFunc(webAddress.ReplaceAllStringFunc(same.Replace(text), blank), blank)
	t := codeText{text: text, words: codeWord.FindAllStringIndex(text, maxMarks), hints: hint.FindAllStringIndex(text, maxMarks), ends: sentenceEnd.FindAllStringIndex(text, -1)}
	for _, at := range candidate.FindAllStringIndex(text, maxMarks) {
		if plausible(text, at) {
			t.found = append(t.found, at)
		}
	}
	return t.codes()
}

const (
	// maxCoded is how many octets of a text are looked at. Who sends a code does not hide it
	// below pages of something else, and the page of a message looks at it each time.
	maxCoded = 16 << 10
	maxMarks = 1000 // of a kind that are looked at in a text
)

// A codeText is a text with the places of what counts in it, in their order.
type codeText struct {
	text                      string
	words, hints, ends, found [][]int
}

// codes ranks what was found, and writes it as it is typed in.
func (t *codeText) codes() []string {
	var ranked [3][]string
	seen := map[string]bool{}
	for i, at := range t.found {
		code := t.text[at[0]:at[1]]
		plain := parted.Replace(code)
		if code[1] == ' ' { // in boxes
			code = plain
		}
		if rank, ok := t.rank(i); ok && !seen[plain] {
			seen[plain] = true
			ranked[rank] = append(ranked[rank], code)
		}
	}
	list := slices.Concat(ranked[:]...)
	return append([]string{}, list[:min(len(list), maxCodes)]...)
}

// rank tells how likely what was found is a code, 0 the most; false if it is none.
func (t *codeText) rank(i int) (rank int, ok bool) {
	at := t.found[i]
	close := func(marks [][]int) bool {
		n := firstBehind(marks, at[0]-near)
		return n < len(marks) && marks[n][0] < at[1]+near
	}
	own := onOwnLine(t.text, at)
	switch {
	case own && close(t.words):
		return 0, true
	case !own && (t.named(i) || asked.MatchString(t.text[max(0, at[0]-30):at[0]]) && close(t.hints)):
		return 1, true
	case own && close(t.hints) && !year.MatchString(t.text[at[0]:at[1]]):
		return 2, true
	}
	return 0, false
}

// named tells whether a code's name in its sentence means what was found there, and not
// something that is nearer to it.
func (t *codeText) named(i int) bool {
	at := t.found[i]
	begin, end := max(0, at[0]-near), min(len(t.text), at[1]+near)
	n := firstBehind(t.ends, at[0]+1)
	if n > 0 {
		begin = max(begin, t.ends[n-1][1])
	}
	if n < len(t.ends) {
		end = min(end, t.ends[n][0]+1)
	}
	// What could be anything has to follow at once: a year, a word with a digit in it.
	code := t.text[at[0]:at[1]]
	anything := year.MatchString(code) || strings.ToLower(code) == code && strings.ContainsFunc(code, unicode.IsLetter)
	n = firstBehind(t.words, at[0])
	if n > 0 && t.words[n-1][0] >= begin {
		word, far := t.words[n-1], at[0]-t.words[n-1][1]
		if nearer := i > 0 && t.found[i-1][1] > word[0]-far; !nearer && (!anything || far <= 10) {
			return true
		}
	}
	if n < len(t.words) && t.words[n][1] <= end && !anything {
		word, far := t.words[n], t.words[n][0]-at[1]
		return strings.TrimSpace(t.text[begin:at[0]]) == "" || i+1 == len(t.found) || t.found[i+1][0] >= min(end, word[1]+far)
	}
	return false
}

// firstBehind returns the first of some places that ends behind an octet.
func firstBehind(marks [][]int, at int) int {
	return sort.Search(len(marks), func(i int) bool { return marks[i][1] > at })
}

// plausible tells whether a candidate is neither a word nor a number of something else.
func plausible(text string, at []int) bool {
	code, before, after := text[at[0]:at[1]], text[max(0, at[0]-30):at[0]], text[at[1]:min(len(text), at[1]+30)]
	if !strings.ContainsFunc(code, unicode.IsDigit) {
		// Two groups of three letters are some services' form.
		return len(code) == 7 && code[3] == '-' && strings.ToUpper(code) == code
	}
	// It is a piece of something longer: a date, an amount, an address.
	last, _ := utf8.DecodeLastRuneInString(before)
	return !(before != "" && strings.ContainsRune("-./+#@_=$€£", last) || len(after) > 1 && strings.ContainsRune("-./@_:", rune(after[0])) && after[1] > ' ') &&
		!numbered.MatchString(before) && !measured.MatchString(after)
}

// onOwnLine tells whether nothing else stands on a line.
func onOwnLine(text string, at []int) bool {
	before := text[:at[0]]
	before = before[strings.LastIndexByte(before, '\n')+1:]
	after, _, _ := strings.Cut(text[at[1]:], "\n")
	return strings.TrimSpace(before) == "" && strings.TrimSpace(after) == ""
}
