// Receives with smtp-server and keeps each message as it arrived in DIR/N.eml and its envelope in DIR/N.env:
// serve_smtp_server.js DIR CERT|- [KEY]. Refuses recipients that begin with nobody@ for good, and busy@ for now.
const fs = require("fs");
const path = require("path");
const { SMTPServer } = require("smtp-server");

const [dir, cert, key] = process.argv.slice(2);
let number = 0;

function refuse(callback, code, text) {
	const err = new Error(text);
	err.responseCode = code;
	callback(err);
}

const server = new SMTPServer({
	authOptional: true,
	disabledCommands: cert === "-" ? ["AUTH", "STARTTLS"] : ["AUTH"],
	...(cert === "-" ? {} : { cert: fs.readFileSync(cert), key: fs.readFileSync(key) }),
	onRcptTo(address, session, callback) {
		if (address.address.startsWith("nobody@")) return refuse(callback, 550, "no such user");
		if (address.address.startsWith("busy@")) return refuse(callback, 450, "try again later");
		callback();
	},
	onData(stream, session, callback) {
		const base = path.join(dir, String(++number));
		const { mailFrom, rcptTo } = session.envelope;
		fs.writeFileSync(base + ".env", [mailFrom ? mailFrom.address : "", ...rcptTo.map((r) => r.address)].join("\n"));
		stream.pipe(fs.createWriteStream(base + ".eml")).on("finish", () => callback(null, "kept"));
	},
});
server.listen(0, "127.0.0.1", () => console.log("listens on 127.0.0.1:" + server.server.address().port));
process.on("SIGTERM", () => process.exit(0));
