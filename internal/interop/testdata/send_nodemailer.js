// Sends each FILE over one pooled connection with Nodemailer: send_nodemailer.js ADDR CAFILE|- FROM TO,TO FILE...
const fs = require("fs");
const nodemailer = require("nodemailer");

const [addr, ca, from, to, ...files] = process.argv.slice(2);
const [host, port] = addr.split(":");
const transport = nodemailer.createTransport({
	host, port: Number(port), secure: false, pool: true, maxConnections: 1,
	...(ca === "-" ? { ignoreTLS: true } : { requireTLS: true, tls: { ca: fs.readFileSync(ca), servername: "localhost" } }),
});

(async () => {
	for (const name of files) {
		await transport.sendMail({ envelope: { from, to: to.split(",") }, raw: fs.readFileSync(name) });
	}
	transport.close();
})().catch((err) => {
	console.error(err);
	process.exit(1);
});
