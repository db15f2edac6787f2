# Receives with aiosmtpd and keeps each message as it arrived in DIR/N.eml and its envelope in DIR/N.env:
# serve_aiosmtpd.py DIR CERT|- [KEY]. Refuses recipients that begin with nobody@ for good, and busy@ for now.
import asyncio
import itertools
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP

directory, cert, *key = sys.argv[1:]


class Keep:
    number = itertools.count(1)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if address.startswith("busy@"):
            return "450 4.2.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        base = os.path.join(directory, "%d" % next(self.number))
        with open(base + ".eml", "wb") as f:
            f.write(envelope.original_content)
        with open(base + ".env", "w") as f:
            f.write("\n".join([envelope.mail_from, *envelope.rcpt_tos]))
        return "250 2.0.0 kept"


context = None
if cert != "-":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key[0])


async def serve():
    def session():
        return SMTP(Keep(), hostname="aiosmtpd.example.com", tls_context=context, require_starttls=context is not None,
                    data_size_limit=64 << 20)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    print("listens on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
