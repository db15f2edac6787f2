# Sends each FILE in one session with Python's smtplib: send_smtplib.py ADDR CAFILE|- FROM TO,TO FILE...
import smtplib
import ssl
import sys

addr, ca, sender, recipients, *files = sys.argv[1:]
host, port = addr.rsplit(":", 1)
with smtplib.SMTP(host, int(port), timeout=60) as client:
    if ca != "-":
        client.starttls(context=ssl.create_default_context(cafile=ca))
    for name in files:
        with open(name, "rb") as f:
            refused = client.sendmail(sender, recipients.split(","), f.read(), mail_options=["BODY=8BITMIME"])
        if refused:
            sys.exit("refused: %r" % refused)
