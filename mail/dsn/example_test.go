package dsn_test

import (
	"fmt"
	"strings"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/mail/dsn"
)

// A bounce tells a program who is to be taken off its list.
func ExampleParse() {
	m, err := mail.Parse(strings.NewReader(`From: MAILER-DAEMON@mx.example.net
To: ann@example.com
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; bob@example.net
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user
--b
Content-Type: text/rfc822-headers

Message-ID: <minutes@example.com>
--b--
`))
	if err != nil {
		panic(err)
	}
	report, err := dsn.Parse(m)
	if err != nil {
		panic(err)
	}
	for _, r := range report.Recipients {
		fmt.Println(r.Address(), r.Action, r.Status, r.Diagnostic.Text)
	}
	fmt.Println(report.MessageID())
	// Output:
	// bob@example.net failed 5.1.1 550 5.1.1 no such user
	// minutes@example.com
}
