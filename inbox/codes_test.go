package inbox

import (
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// A coded mail is one with what is to be found in it.
type coded struct {
	subject, text, html string
	want                []string
}

// withCode is mail as services send it, in many languages and forms, with other numbers
// beside the code.
var withCode = []coded{
	{"", "482910 is your Acme code (valid until 2359).", "", []string{"482910", "2359"}},
	{"", "Room 7731: the code is 482910.", "", []string{"482910"}},
	{"Sign in", "Your verification code is 493021. It is valid for 10 minutes.", "", []string{"493021"}},
	{"Your code", "Use this one:\n\n  493-021  \n\nOrder 12345678", "", []string{"493-021"}},
	{"G-204518 is your Google verification code", "", "", []string{"G-204518"}},
	{"Login", "Enter\nAB12CD\nto log in with this code.", "", []string{"AB12CD"}},
	{"", "Your one-time PIN: 0042", "", []string{"0042"}},
	{"验证码", "您的验证码是 882211", "", []string{"882211"}},
	{"Bestätigungscode", "Ihr Bestätigungscode lautet 123 456", "", []string{"123 456"}},
	{"Your Acme verification code", "Hi Ann,\n\nYour verification code is:\n\n    481 502\n\nIt expires in 10 minutes.\n\n© 2026 Acme Inc., 1600 Main Street, Springfield, 90210", "", []string{"481 502"}},
	{"Ihr Anmeldecode", "Ihr Code lautet: 739204\n\nEr ist 15 Minuten gültig. Teilen Sie ihn mit niemandem.\n\nAcme GmbH, Hauptstraße 12, 10115 Berlin\nTel. +49 30 12345678\nHRB 123456", "", []string{"739204"}},
	{"Votre code de vérification", "Votre code de vérification est le 204 817. Il expire dans 10 minutes.", "", []string{"204 817"}},
	{"Código de verificación", "Tu código de verificación es 55-12-34 para entrar.", "", []string{"55-12-34"}},
	{"Tu código de acceso", "Introduce este código: 831204", "", []string{"831204"}},
	{"Il tuo codice", "Il tuo codice di verifica è 664210.", "", []string{"664210"}},
	{"Seu código de segurança", "Use o código 482915 para concluir o login.", "", []string{"482915"}},
	{"Je code", "Je verificatiecode is 119283", "", []string{"119283"}},
	{"Twój kod", "Twój kod weryfikacyjny: 772 190", "", []string{"772 190"}},
	{"Ваш код", "Ваш код подтверждения: 605512", "", []string{"605512"}},
	{"認証コード", "認証コードは 338190 です。", "", []string{"338190"}},
	{"인증번호", "인증번호 [448201]를 입력해 주세요.", "", []string{"448201"}},
	{"验证码", "【京东】验证码:558213,请勿泄露。", "", []string{"558213"}},
	{"Doğrulama kodu", "Doğrulama kodunuz: 920134", "", []string{"920134"}},
	{"Din kod", "Din engångskod är 4821.", "", []string{"4821"}},
	{"Vahvistuskoodi", "Vahvistuskoodisi on 559201", "", []string{"559201"}},
	{"Ověřovací kód", "Váš ověřovací kód je 640182", "", []string{"640182"}},
	{"Ellenőrző kód", "Az ellenőrző kódod: 210934", "", []string{"210934"}},
	{"رمز التحقق", "رمز التحقق الخاص بك هو 771205", "", []string{"771205"}},
	{"קוד אימות", "קוד האימות שלך הוא 330918", "", []string{"330918"}},
	{"รหัส", "รหัสยืนยันของคุณคือ 882014", "", []string{"882014"}},
	{"Mã xác minh", "Mã xác minh của bạn là 502817", "", []string{"502817"}},
	{"Κωδικός", "Ο κωδικός επαλήθευσης είναι 118273", "", []string{"118273"}},
	{"सत्यापन कोड", "आपका सत्यापन कोड 662019 है", "", []string{"662019"}},
	{"Код підтвердження", "Ваш код: 190283", "", []string{"190283"}},
	{"Your login code", "", "<html><head><style>.c{font-size:123456px}</style></head><body><p>Enter this code:</p><div class=c><span>4</span><span>8</span><span>1</span><span>5</span><span>0</span><span>2</span></div><p>&copy; 2026 Acme</p></body></html>", []string{"481502"}},
	{"Your login code", "", "<table><tr><td>Your code</td></tr></table><table><tr><td>7</td><td>3</td><td>9</td><td>2</td><td>0</td><td>4</td></tr></table><p>Acme Inc, 94107 San Francisco</p>", []string{"739204"}},
	{"Your login code", "", "<p>Your code is <b>739</b><b>204</b>.</p>", []string{"739204"}},
	{"Your login code", "", "<p>Your code is 739&nbsp;204.</p>", []string{"739 204"}},
	{"Your login code", "", "<p>Your code is 739&#8209;204.</p>", []string{"739-204"}},
	{"Your login code", "", "<p>Your code is <strong>739204</strong></p><p>Order 4711 of 2026</p>", []string{"739204"}},
	{"Login", "This message is in HTML. Please use a program that shows it.", "<p>Your security code: <code>XK4-91B</code></p>", []string{"XK4-91B"}},
	{"GitHub device verification", "Hey ann!\n\nA sign in attempt requires further verification because we did not recognize your device. To complete the sign in, enter the verification code on the unrecognized device.\n\nDevice: Firefox on Linux\nVerification code: 205113\n\nIf you did not attempt to sign in to your account, your password may be compromised. Visit https://github.com/settings/security to create a new, strong password.", "", []string{"205113"}},
	{"[Slack] Confirmation code: ABC-DEF", "Your confirmation code is below — enter it in your open browser window.\n\nABC-DEF\n", "", []string{"ABC-DEF"}},
	{"123456 is your Instagram code", "", "", []string{"123456"}},
	{"Amazon: Sign-in attempt", "To verify your identity, please use the following code:\n\n815203\n\nAmazon takes your account security very seriously. Order 112-7743922-1120231", "", []string{"815203"}},
	{"FB-73921 is your Facebook confirmation code", "", "", []string{"FB-73921"}},
	{"Steam Guard code", "Login Code\n\nR7K2P\n\nThis email was generated because of a login attempt from 203.0.113.7 at 14:22 on 2026-11-24.", "", []string{"R7K2P"}},
	{"Your one time passcode", "Passcode: a8f3k2", "", []string{"a8f3k2"}},
	{"Your tickets", "Booking code: QX7RT2. Flight LH1234, gate B22, 2026-11-24.", "", []string{"QX7RT2"}},
	{"Your code", "Code : 12 34 56", "", []string{"12 34 56"}},
	{"Your code", "Code: 1 2 3 4 5 6", "", []string{"123456"}},
	{"Your code", "Your code is *482910*.", "", []string{"482910"}},
	{"Your code", "Your code is \"482910\".", "", []string{"482910"}},
	{"Your code", "Your code is: <482910>", "", []string{"482910"}},
	{"Your code", "PIN:482910", "", []string{"482910"}},
	{"OTP", "482910 is your OTP for txn of INR 2500.00 at SHOP on card ending 1234.", "", []string{"482910"}},
	{"Two-factor", "Your backup codes:\n\n1234-5678\n8765-4321\n1111-2222\n", "", []string{"1234-5678", "8765-4321", "1111-2222"}},
	{"Your code", "Ihr TAN lautet 482 910. Betrag: 1.250,00 EUR. Konto DE89 3704 0044 0532 0130 00", "", []string{"482 910"}},
	{"Kode verifikasi", "Kode OTP Anda: 771 209", "", []string{"771 209"}},
	{"Einmalpasswort", "Ihr Einmalpasswort: 551207", "", []string{"551207"}},
	{"Sicherheitscode", "Ihr Sicherheitscode: 551207", "", []string{"551207"}},
	{"Mot de passe à usage unique", "Votre mot de passe à usage unique : 551207", "", []string{"551207"}},
	{"Verify your phone", "Use 493021 to verify your account.", "", []string{"493021"}},
	{"Sign in to Acme", "Enter 738201 to log in. It expires at 14:05.", "", []string{"738201"}},
	{"Acme", "Dear Ann,\r\n\r\nyour verification\r\ncode is 482910.\r\n\r\nBest,\r\nAcme\r\n", "", []string{"482910"}},
	{"Acme", "Please enter the following code within 15 minutes:\n482910\n\nIf you did not request this, ignore it.", "", []string{"482910"}},
	{"Acme", "Your code (valid for 10 minutes): 482910", "", []string{"482910"}},
	{"Acme", "Your code for order 4711 is 482910", "", []string{"482910"}},
	{"Acme", "Your authentication code is 482 910, Ann.", "", []string{"482 910"}},
	{"Your 2-Step Verification code", "", "<table role=presentation><tr><td><h1>Verify</h1><p>Enter this in your browser</p><div style='font-size:32px;letter-spacing:6px'>482910</div><p>Acme, 221B Baker Street, 2026</p></td></tr></table>", []string{"482910"}},
	{"Acme", "", "<p>Your code:</p><p><span>482</span>-<span>910</span></p>", []string{"482-910"}},
	{"Acme", "", "<p>Your code:</p><table><tr><td>4</td><td>8</td><td>2</td><td>-</td><td>9</td><td>1</td><td>0</td></tr></table>", []string{"482910"}},
	{"482910 - Acme code", "Use the number in the subject to log in.", "", []string{"482910"}},
	{"482910 is your Acme verification code", "Hi, the code is in the subject.", "", []string{"482910"}},
	{"Acme code 482910", "", "", []string{"482910"}},
	{"Your Uber code", "Your Uber code is 4821. Never share this code. Reply STOP 23423 to unsubscribe", "", []string{"4821"}},
	{"WhatsApp", "Your WhatsApp code: 482-910\n\nYou can also tap on this link to verify your phone: v.whatsapp.com/482910\n\nDon't share this code with others", "", []string{"482-910"}},
	{"Telegram", "Login code: 48291. Do not give this code to anyone, even if they say they are from Telegram!", "", []string{"48291"}},
	{"Apple", "Your Apple ID Code is: 482910. Don't share it with anyone.", "", []string{"482910"}},
	{"Your promo code", "Use code SAVE20 until 31 December 2026 and save 20%.", "", []string{"SAVE20"}},
	{"Parcel", "Your parcel 00340434161234567890 arrives. Pickup code: 4821", "", []string{"4821"}},
	{"Zugang", "Ihr Freischaltcode:  AB12-CD34-EF56", "", []string{"AB12-CD34-EF56"}},
	{"Acme", "Geben Sie den Code 482910 ein, um sich anzumelden.", "", []string{"482910"}},
	{"Acme", "Saisissez le code 482910 pour vous connecter.", "", []string{"482910"}},
}

// withoutCode has numbers that are none, and asks for no code.
var withoutCode = []coded{
	{"", "Your code comes by post. Call 48291034 then.", "", nil},
	{"Invoice 4711", "Please pay 12000 EUR by 2026-11-24.", "", nil},
	{"code", "See https://example.com/verify?code=999999 and call +491234567", "", nil},
	{"confirm", "on 2026-11-24, for $1234, confirm at a@1234567.example", "", nil},
	{"Your code", "CONFIRM ACCOUNT", "", nil},
	{"Confirm your email", "Welcome! To confirm your email, open https://acme.example/confirm/ab12cd34ef.\n\n© 2026 Acme Inc.", "", nil},
	{"Reset your password", "Somebody asked to reset the password for ann1984@example.com on 24 November 2026 at 14:05. Use this link: https://a.example/reset?token=12345678", "", nil},
	{"Notion login code", "Your temporary login code\n\nmogul-tarsus-lemon\n", "", nil},
	{"Order confirmation #4711", "Thank you! Order 20261124 of 24.11.2026, total 1299 EUR, was confirmed. Tracking number 003404341612. Call 0800 123456.", "", nil},
	{"Order confirmed", "Your order number is 48291034. It ships to 12345 Springfield.", "", nil},
	{"Invoice", "Invoice no. 202600123, customer number 884412, due 2026-12-01. Please confirm payment of $1,250.00.", "", nil},
	{"Security alert", "New sign-in on 24 Nov 2026, 14:05 from Chrome 131 on Windows 11. Your security is important. © 2026", "", nil},
	{"Welcome", "Welcome in 2026! Confirm by Friday. Our office: 1 Infinite Loop, CA 95014.", "", nil},
	{"Password changed", "Your password was changed. If this was not you, call 1-800-555-0199 and tell the security team reference 88291.", "", nil},
	{"Magic link", "Click to sign in: https://a.example/m/1b2c3d4e5f. This link expires in 1440 minutes.", "", nil},
	{"Verify", "Hello user12345, please verify your address. Ref: 9A8B7C6D", "", nil},
	{"20% off", "Your discount code WELCOME10 is valid until 2026-12-31.", "", nil},
	{"Newsletter", "Read our code of conduct. We moved to 10115 Berlin. In 2026 we had 12000 visitors.", "", nil},
	{"Build failed", "Exit code 137 in job 482910 of repository acme. Error code 5023.", "", nil},
	{"CI", "The code in commit a8f3k2b of acme was merged. 1024 lines.", "", nil},
	{"Access", "Your temporary password is Xk49!pQ2", "", nil},
}

func TestCodes(t *testing.T) {
	for _, c := range slices.Concat(withCode, withoutCode) {
		got := codes(&mail.Message{Subject: c.subject, Text: c.text, HTML: c.html})
		if !slices.Equal(got, c.want) {
			t.Errorf("%q, %q, %q: codes %q, want %q", c.subject, c.text, c.html, got, c.want)
		}
	}
}

// The beginning of a text is looked at, and of the text and the HTML each.
func TestCodesFar(t *testing.T) {
	for pages, want := range map[int]int{15 << 10: 1, 17 << 10: 0} {
		far := strings.Repeat("Dear reader, all is well.\n", pages/26)
		for _, m := range []*mail.Message{{Text: far + "Your code is 482913.\n"}, {HTML: "<p>" + strings.ReplaceAll(far, "\n", "<br>") + "Your code is 482913.</p>"}} {
			if got := codes(m); len(got) != want {
				t.Errorf("behind %d octets %d codes are found, want %d", len(far), len(got), want)
			}
		}
	}
}
