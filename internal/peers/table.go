package peers

// Peer names a foreign program, or a module of a language, that tests talk to.
type Peer string

// The peers. Each is a row of the table below.
const (
	// Clients.
	Swaks      Peer = "swaks"
	Curl       Peer = "curl"
	Msmtp      Peer = "msmtp"
	SNail      Peer = "s-nail"
	Mutt       Peer = "mutt"
	GitSend    Peer = "git send-email"
	SMTPSource Peer = "smtp-source"
	Smtplib    Peer = "Python's smtplib"
	Aiosmtplib Peer = "aiosmtplib"
	LuaSocket  Peer = "LuaSocket"
	Racket     Peer = "racket"
	Nodemailer Peer = "nodemailer"
	PHP        Peer = "php"
	PHPMailer  Peer = "PHPMailer"
	NetSMTP    Peer = "Perl's Net::SMTP"
	PerlSASL   Peer = "Perl's Authen::SASL"
	Ruby       Peer = "Ruby's net/smtp"
	MsmtpMTA   Peer = "msmtpd"
	Cron       Peer = "cron"

	// Servers.
	SMTPSink   Peer = "smtp-sink"
	Postfix    Peer = "postfix"
	Aiosmtpd   Peer = "aiosmtpd"
	SMTPServer Peer = "smtp-server"
	Exim       Peer = "exim"
	OpenSMTPD  Peer = "OpenSMTPD"
	Dovecot    Peer = "dovecot"
	HAProxy    Peer = "haproxy"
	Nginx      Peer = "nginx's mail proxy"
	OpenDKIM   Peer = "opendkim"
	OpenDMARC  Peer = "opendmarc"
	Rspamd     Peer = "rspamd"
	PostgreSQL Peer = "postgresql"

	// Oracles.
	PythonEmail Peer = "Python's email"
	PythonSPF   Peer = "Python's spf"
	PythonDKIM  Peer = "Python's dkim"
	PythonAR    Peer = "Python's authres"
	PerlDKIM    Peer = "Mail::DKIM"
	PerlMIME    Peer = "MIME::Parser"
	Mailparser  Peer = "mailparser"
	PostalMIME  Peer = "postal-mime"
	DKIMTestKey Peer = "opendkim-testkey"

	// Tools.
	Chromium Peer = "chromium"
	AxeCore  Peer = "axe-core"
	Strace   Peer = "strace"
	Tshark   Peer = "tshark"
	Valgrind Peer = "valgrind"
	Script   Peer = "script"
)

// row says how a peer is found and how it is installed.
type row struct {
	program string   // its name, or its path where Debian's own is meant
	only    bool     // look nowhere else than at that path
	beside  string   // the package it is unpacked from beside the others, in Dir
	file    string   // a module that the program loads from there, without which it is as good as absent
	probe   []string // arguments with which the program exits 0 if the module is there
	node    bool     // needs the modules from npm
	debian  string   // the Debian packages that it comes with
	npm     string   // the npm package that it comes with
}

func (r row) install() string {
	switch {
	case r.npm != "":
		return "run scripts/peers, which gets " + r.npm + " from npm"
	case r.beside != "":
		return "run scripts/peers, which unpacks Debian's " + r.beside
	}
	return "apt-get install " + r.debian + ", or run scripts/peers"
}

// NginxMail is nginx's mail proxy, which Debian packs apart from nginx: a machine may well have one without the other.
const NginxMail = "/usr/lib/nginx/modules/ngx_mail_module.so"

// Debian's modules for Python belong to Debian's Python: another one that comes first in PATH does not see them.
const python = "/usr/bin/python3"

var table = map[Peer]row{
	Swaks:      {program: "swaks", debian: "swaks"},
	Curl:       {program: "curl", debian: "curl"},
	Msmtp:      {program: "msmtp", debian: "msmtp"},
	SNail:      {program: "s-nail", debian: "s-nail"},
	Mutt:       {program: "mutt", debian: "mutt"},
	GitSend:    {program: "git", probe: []string{"send-email", "--dump-aliases"}, debian: "git-email"},
	SMTPSource: {program: "smtp-source", debian: "postfix"},
	Smtplib:    {program: python, probe: []string{"-c", "import smtplib"}, debian: "python3"},
	Aiosmtplib: {program: python, probe: []string{"-c", "import aiosmtplib"}, debian: "python3-aiosmtplib"},
	LuaSocket:  {program: "lua5.4", probe: []string{"-e", `require "socket.smtp"; require "ssl"`}, debian: "lua5.4 lua-socket lua-sec"},
	Racket:     {program: "racket", debian: "racket"},
	Nodemailer: {program: "node", probe: []string{"-e", `require("nodemailer")`}, node: true, npm: "nodemailer"},
	PHP:        {program: "php", debian: "php-cli"},
	PHPMailer:  {program: "php", probe: []string{"-r", `require "/usr/share/php/libphp-phpmailer/autoload.php";`}, debian: "php-cli libphp-phpmailer"},
	NetSMTP:    {program: "perl", probe: []string{"-MNet::SMTP", "-MIO::Socket::SSL", "-e", "1"}, debian: "perl libio-socket-ssl-perl"},
	PerlSASL:   {program: "perl", probe: []string{"-MNet::SMTP", "-MAuthen::SASL", "-e", "1"}, debian: "perl libauthen-sasl-perl"},
	Ruby:       {program: "ruby", probe: []string{"-e", `require "net/smtp"`}, debian: "ruby"},
	MsmtpMTA:   {program: "msmtpd", beside: "msmtp-mta"},
	Cron:       {program: "cron", beside: "cron"},

	SMTPSink:   {program: "smtp-sink", debian: "postfix"},
	Postfix:    {program: "postfix", debian: "postfix"},
	Aiosmtpd:   {program: python, probe: []string{"-c", "import aiosmtpd.smtp"}, debian: "python3-aiosmtpd"},
	SMTPServer: {program: "node", probe: []string{"-e", `require("smtp-server")`}, node: true, npm: "smtp-server"},
	Exim:       {program: "exim4", beside: "exim4-daemon-light"},
	OpenSMTPD:  {program: "smtpd", beside: "opensmtpd"},
	HAProxy:    {program: "haproxy", debian: "haproxy"},
	Nginx:      {program: "nginx", file: NginxMail, debian: "nginx libnginx-mod-mail"},
	Dovecot:    {program: "dovecot", debian: "dovecot-lmtpd"},
	OpenDKIM:   {program: "opendkim", debian: "opendkim"},
	OpenDMARC:  {program: "opendmarc", debian: "opendmarc"},
	Rspamd:     {program: "rspamd", debian: "rspamd"},
	PostgreSQL: {program: "pg_ctlcluster", debian: "postgresql"},

	PythonEmail: {program: python, probe: []string{"-c", "import email"}, debian: "python3"},
	PythonSPF:   {program: python, probe: []string{"-c", "import spf"}, debian: "python3-spf"},
	PythonDKIM:  {program: python, probe: []string{"-c", "import dkim"}, debian: "python3-dkim"},
	PythonAR:    {program: python, probe: []string{"-c", "import authres"}, debian: "python3-authres"},
	PerlDKIM:    {program: "perl", probe: []string{"-MMail::DKIM::Verifier", "-e", "1"}, debian: "libmail-dkim-perl"},
	PerlMIME:    {program: "perl", probe: []string{"-MMIME::Parser", "-e", "1"}, debian: "libmime-tools-perl"},
	Mailparser:  {program: "node", probe: []string{"-e", `require("mailparser")`}, node: true, npm: "mailparser"},
	PostalMIME:  {program: "node", probe: []string{"-e", inNodeModules("postal-mime")}, node: true, npm: "postal-mime"},
	DKIMTestKey: {program: "opendkim-testkey", debian: "opendkim-tools"},

	Chromium: {program: "chromium", debian: "chromium"},
	AxeCore:  {program: "node", probe: []string{"-e", `require("axe-core")`}, node: true, npm: "axe-core"},
	Strace:   {program: "strace", debian: "strace"},
	Tshark:   {program: "tshark", debian: "tshark"},
	Valgrind: {program: "valgrind", debian: "valgrind"},
	Script:   {program: "script", debian: "bsdutils"},
}

// inNodeModules returns a script that fails unless the module is there: one that can only be imported is not found by
// require, and import does not look in NODE_PATH.
func inNodeModules(name string) string {
	return `require("fs").accessSync(process.env.NODE_PATH + "/` + name + `/package.json")`
}
