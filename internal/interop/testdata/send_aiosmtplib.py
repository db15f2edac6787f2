# Sends each FILE in one session with aiosmtplib: send_aiosmtplib.py ADDR CAFILE|- FROM TO,TO FILE...
import asyncio
import sys

import aiosmtplib

addr, ca, sender, recipients, *files = sys.argv[1:]
host, port = addr.rsplit(":", 1)


async def send():
    # Left to itself it upgrades whenever the server offers it.
    secure = ca != "-"
    client = aiosmtplib.SMTP(hostname=host, port=int(port), timeout=60, start_tls=secure, cert_bundle=ca if secure else None)
    await client.connect()
    for name in files:
        with open(name, "rb") as f:
            refused, _ = await client.sendmail(sender, recipients.split(","), f.read(), mail_options=["BODY=8BITMIME"])
        if refused:
            sys.exit("refused: %r" % refused)
    await client.quit()


asyncio.run(send())
