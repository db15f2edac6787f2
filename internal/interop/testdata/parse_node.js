// Parses the messages named on standard input with a module from npm, the argument, and prints what it finds, a line of JSON
// each: mailparser or postal-mime.
const { createHash } = require("crypto");
const { readFileSync } = require("fs");

const sha = (b) => createHash("sha256").update(Buffer.from(b || "")).digest("hex");
const list = (all) => all && all.flatMap((a) => a.group || a).map((a) => [a.name || "", a.address || ""]);
const when = (d) => (d && !isNaN(new Date(d)) ? Math.floor(new Date(d) / 1000) : null);
const none = (s) => (s === undefined ? null : s);

async function mailparser(raw) {
	const { simpleParser } = require("mailparser");
	// What it makes of HTML and of links is its own.
	const m = await simpleParser(raw, { skipHtmlToText: true, skipTextToHtml: true, skipTextLinks: true, skipImageLinks: true });
	const of = (a) => none(a && list([a].flat().flatMap((one) => one.value)));
	const files = m.attachments.filter((a) => a.contentDisposition === "attachment" && a.filename);
	return { subject: none(m.subject), from: of(m.from), to: of(m.to), cc: of(m.cc), date: m.headers.has("date") ? when(m.date) : null, text: none(m.text), files: files.map((a) => [a.filename, sha(a.content)]) };
}

async function postalMime(raw) {
	const PostalMime = require("postal-mime").default || require("postal-mime");
	const m = await PostalMime.parse(raw);
	const of = (a) => none(list(a && [a].flat()));
	const files = m.attachments.filter((a) => a.disposition === "attachment" && a.filename);
	return { subject: none(m.subject), from: of(m.from), to: of(m.to), cc: of(m.cc), date: when(m.date), text: none(m.text), files: files.map((a) => [a.filename, sha(a.content)]) };
}

async function main() {
	const parse = process.argv[2] === "mailparser" ? mailparser : postalMime;
	for (const path of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
		let found = {};
		try {
			found = await parse(readFileSync(path));
		} catch (e) {
			// what it cannot read says nothing
		}
		console.log(JSON.stringify(found));
	}
}

main();
