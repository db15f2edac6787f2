# Parses the messages named on standard input with Python's email package and prints what it finds, a line of JSON each.
import email.policy
import email.utils
import hashlib
import json
import sys
from datetime import timezone


def attempt(find):
    try:
        return find()
    except Exception:  # what it cannot read says nothing
        return None


def addresses(m, name):
    field = m[name]
    return [[a.display_name, a.addr_spec] for a in field.addresses] if field is not None else None


def date(m):
    field = m["date"]
    when = field.datetime if field is not None else None
    return int(when.replace(tzinfo=when.tzinfo or timezone.utc).timestamp()) if when else None


def text(m):
    part = m.get_body(("plain",))
    return part.get_content() if part is not None else None


def files(m):
    found = []
    for part in m.walk():
        if not part.is_multipart() and part.get_content_disposition() == "attachment" and part.get_filename():
            found.append([part.get_filename(), hashlib.sha256(part.get_payload(decode=True) or b"").hexdigest()])
    return found


for path in sys.stdin.read().splitlines():
    with open(path, "rb") as f:
        m = attempt(lambda: email.message_from_binary_file(f, policy=email.policy.default))
    found = {}
    for name, find in {
        "subject": lambda: None if m["subject"] is None else str(m["subject"]),
        "from": lambda: addresses(m, "from"), "to": lambda: addresses(m, "to"), "cc": lambda: addresses(m, "cc"),
        "date": lambda: date(m), "text": lambda: text(m), "files": lambda: files(m),
    }.items():
        found[name] = attempt(find)
    print(json.dumps(found))
