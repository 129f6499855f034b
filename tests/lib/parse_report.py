"""Takes a delivery report apart with Python's email package, a parser that shares nothing with ours.

Reads a message from standard input; prints one "name=value" line a field, white space collapsed.
"""

import email
import email.policy
import sys


def line(name, value):
    print(f"{name}={' '.join(str(value).split())}")


def groups_of(part):
    payload = part.get_payload()
    if part.get_content_type() == "message/delivery-status":
        return payload
    # the package knows only the ASCII kind: it takes the other for one message
    text = payload[0].as_bytes().decode()
    return [email.message_from_string(g, policy=email.policy.default) for g in text.split("\n\n") if g.strip()]


def main():
    raw = sys.stdin.buffer.read()
    assert raw.count(b"\n") == raw.count(b"\r\n"), "a bare line feed"
    longest = max(len(part) for part in raw.split(b"\r\n"))
    message = email.message_from_bytes(raw, policy=email.policy.default.clone(linesep="\n"))
    for name in ("Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
                 "MIME-Version", "Content-Transfer-Encoding"):
        if name in message:
            line(name, message[name])
    line("type", message.get_content_type())
    line("report-type", message.get_param("report-type"))
    line("long", longest > 998)
    line("ascii", raw.isascii())
    line("names", ",".join(message.keys()))
    parts = list(message.iter_parts())
    line("parts", len(parts))
    line("types", ",".join(p.get_content_type() for p in parts))
    line("encodings", ",".join(str(p["Content-Transfer-Encoding"]) for p in parts))
    for text in parts[0].get_content().splitlines():
        line("text", text)
    for i, group in enumerate(groups_of(parts[1])):
        for name, value in group.items():
            line(f"{i}.{name}", value)
    last = parts[2]
    if last.get_content_maintype() == "text":
        content = last.get_payload(decode=True)
    else:
        content = last.get_payload(0).as_bytes()
    line("original", ascii(content.replace(b"\r\n", b"\n"))[2:-1])
    for part in (message, *parts):
        for defect in part.defects:
            line("defect", defect)


main()
