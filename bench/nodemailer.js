// Sends messages one after another over one pooled connection with Nodemailer, for the time of the job that is its last
// argument, and prints how many.
const nodemailer = require("nodemailer");

const job = JSON.parse(process.argv[process.argv.length - 1]);
const [host, port] = job.Addr.split(":");
const transport = nodemailer.createTransport({ host, port: Number(port), pool: true, maxConnections: 1, maxMessages: Infinity, ignoreTLS: true });
const line = "abcdefghijklmnopqrstuvwxyz".repeat(3).slice(0, 76) + "\r\n";
let raw = "From: <sender@example.com>\r\nTo: <recipient@example.net>\r\nSubject: a message of a benchmark\r\n\r\n";
while (raw.length + line.length <= job.Size) raw += line;

(async () => {
	const envelope = { from: "sender@example.com", to: "recipient@example.net" };
	const begin = process.hrtime.bigint();
	const seconds = () => Number(process.hrtime.bigint() - begin) / 1e9;
	let messages = 0;
	for (; seconds() < job.Time / 1e9; messages++) await transport.sendMail({ envelope, raw });
	console.log(JSON.stringify({ Messages: messages, Seconds: seconds() }));
	transport.close();
})().catch((err) => {
	console.error(err);
	process.exit(1);
});
