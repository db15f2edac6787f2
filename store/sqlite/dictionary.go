package sqlite

// The dictionary of packed bodies. A database holds frames that were made with it, so
// that it must never change: another one gets another number, and the decoder knows
// both.
const dictionaryID = 1

// dictionary has what mail begins with, the rarest first: what stands near the end is
// referred to in fewer bits.
const dictionary = "X-Mailer: \r\nX-Priority: 3\r\nAuto-Submitted: auto-generated\r\nPrecedence: bulk\r\nFeedback-ID: \r\n" +
	"List-Id: <\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Unsubscribe: <https://www.example.com/unsubscribe?\r\n" +
	"Authentication-Results: mx.example.net; dkim=pass header.d=; spf=pass smtp.mailfrom=; dmarc=pass header.from=\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=; s=; t=; h=from:to:subject:date:message-id:mime-version:content-type; bh=; b=\r\n" +
	"Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\nContent-Type: image/png; name=\"\r\nContent-ID: <\r\n" +
	"Content-Disposition: inline; filename=\"\r\nContent-Type: application/pdf; name=\"\r\nContent-Disposition: attachment; filename=\"\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\nContent-Type: multipart/mixed; boundary=\"\r\nContent-Type: multipart/related; boundary=\"\r\n" +
	"<!DOCTYPE html>\r\n<html lang=\"en\">\r\n<head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\r\n" +
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1.0\">\r\n<title></title>\r\n<style type=\"text/css\">\r\n</style>\r\n</head>\r\n<body>\r\n" +
	"<table width=\"100%\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" role=\"presentation\"><tr><td align=\"center\" style=\"font-family: Arial, Helvetica, sans-serif; " +
	"font-size: 16px; line-height: 1.5; color: #333333; padding: 0; margin: 0; background-color: #ffffff; text-decoration: none; display: block; width: 100%; max-width: 600px;\">\r\n" +
	"<a href=\"https://www.example.com/\" target=\"_blank\"><img src=\"https://www.example.com/.png\" alt=\"\" width=\"\" height=\"\"></a></td></tr></table>\r\n" +
	"<h1></h1>\r\n<div><p><strong></strong><br>\r\n</p></div>\r\n</body>\r\n</html>\r\nHello,\r\nThank you for your order. Please confirm your email address. " +
	"Your verification code is: \r\nKind regards\r\nIf you did not request this, you can ignore this message. To unsubscribe, click here: https://\r\n" +
	"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nContent-Transfer-Encoding: 7bit\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"\r\n\r\n--\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\n\r\n" +
	"Received: from client.example.com (localhost [127.0.0.1]) by mx.example.net with ESMTPS id for <>; Mon, 01 Jan 2026 00:00:00 +0000 (UTC)\r\nReturn-Path: <>\r\nReply-To: \r\n" +
	"In-Reply-To: <\r\nReferences: <\r\nCc: \r\nBcc: \r\nFrom: \"\" <@example.com>\r\nTo: <@example.com>\r\nSubject: =?utf-8?q?Re: \r\nDate: Tue, 01 Dec 2026 00:00:00 +0000\r\nMessage-ID: <@example.com>\r\n" +
	"<100 220 localhost ESMTP ready\n>1000 EHLO localhost\n<1000 250-localhost\n<1000 250-PIPELINING\n<1000 250-SIZE 52428800\n<1000 250-8BITMIME\n" +
	"<1000 250-SMTPUTF8\n<1000 250-CHUNKING\n<1000 250-ENHANCEDSTATUSCODES\n<1000 250-STARTTLS\n<1000 250-DSN\n<1000 250-LIMITS RCPTMAX=1000\n<1000 250-HELP\n<1000 250 AUTH PLAIN LOGIN\n" +
	">2000 AUTH PLAIN ***\n<2000 235 2.7.0 authenticated\n>2000 BDAT LAST\n>2000 MAIL FROM:<@example.com> SIZE= BODY=8BITMIME\n<2000 250 2.1.0 sender ok\n" +
	">2000 RCPT TO:<@example.com>\n<2000 250 2.1.5 recipient ok\n>2000 DATA\n<2000 354 go ahead"
