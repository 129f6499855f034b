"""A name server that says what a table says: {(name, type): [data, …]}; names that are not in it do not exist.

It speaks as a validating resolver would: what lies in a signed zone has the AD bit, for who asks with it."""

import ipaddress
import socket
import struct
import threading

TYPES = {1: "A", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 52: "TLSA"}


def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".") if label) + b"\0"


def _data(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind == "MX":
        preference, host = value.split()
        return struct.pack(">H", int(preference)) + _name(host)
    if kind == "TLSA":
        usage, selector, matching, data = value.split()
        return bytes([int(usage), int(selector), int(matching)]) + bytes.fromhex(data)
    if kind == "TXT":
        text = value.encode()
        return b"".join(bytes([len(text[i:i + 255])]) + text[i:i + 255] for i in range(0, len(text), 255))
    return _name(value)


class Names:
    def __init__(self, table=None):
        self.table = table or {}
        self.signed = ()         # zones
        self.unsigned = set()    # (name, type) that are not, all the same
        self.failing = set()     # (name, type) that are answered with SERVFAIL
        self.asked = []          # (name, type)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            self.socket.sendto(self._answer(question), peer)

    def _answer(self, q):
        at, labels = 12, []
        while q[at]:
            labels.append(q[at + 1:at + 1 + q[at]].decode().lower())
            at += q[at] + 1
        kind = TYPES.get(struct.unpack(">H", q[at + 1:at + 3])[0])
        name = ".".join(labels)
        self.asked.append((name, kind))
        values = self.table.get((name, kind), [])
        if (name, kind) in self.failing:
            return q[:2] + struct.pack(">HHHHH", 0x8182, 1, 0, 0, 0) + q[12:at + 5]
        signed = any(name == z or name.endswith("." + z) for z in self.signed) and (name, kind) not in self.unsigned
        rcode = 0 if any(n == name for n, _ in self.table) else 3
        out = q[:2] + struct.pack(">HHHHH", 0x8180 | (q[3] & 0x20 if signed else 0) | rcode, 1, len(values), 0, 0) + q[12:at + 5]
        for v in values:
            data = _data(kind, v)
            out += b"\xc0\x0c" + q[at + 1:at + 3] + struct.pack(">HIH", 1, 60, len(data)) + data
        return out

    def stop(self):
        self.socket.close()
