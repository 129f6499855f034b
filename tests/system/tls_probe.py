"""Asks a TLS server what it would talk, byte by byte, so that no library on our side of it keeps anything old out of
the question. One connection a question; a handshake goes no further than the server's hello and what follows it."""

import os
import socket
import struct

SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304
SCSV_RENEGOTIATION, SCSV_FALLBACK = 0x00FF, 0x5600
# Every code that was ever assigned below TLS 1.3, and some that were not; those that ask for something else are left out.
ALL = [c for block in (0x00, 0xC0, 0xCC, 0xD0, 0xFE, 0xFF) for c in range(block << 8, (block << 8) + 256)
       if c != SCSV_RENEGOTIATION]
ALL_13 = range(0x1301, 0x1306)
GROUPS = (29, 23, 24, 25, 30, 256, 257)
SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601)
EXT_GROUPS, EXT_POINTS, EXT_SIGNATURES, EXT_HEARTBEAT, EXT_MASTER, EXT_TICKET = 10, 11, 13, 15, 23, 35
EXT_VERSIONS, EXT_SHARE, EXT_RENEGOTIATION = 43, 51, 0xFF01
ALERT_HANDSHAKE, ALERT_VERSION, ALERT_FALLBACK = 40, 70, 86
HELLO, CERTIFICATE, KEY_EXCHANGE = 2, 11, 12


def _vector(data, width):
    return len(data).to_bytes(width, "big") + data


def _numbers(values, width=2):
    return _vector(b"".join(v.to_bytes(2, "big") for v in values), width)


def hello(version, ciphers, compression=(0,), groups=GROUPS, signatures=SIGNATURES):
    """A ClientHello in its record."""
    extensions = {EXT_GROUPS: _numbers(groups), EXT_POINTS: b"\x01\x00", EXT_SIGNATURES: _numbers(signatures),
                  EXT_MASTER: b"", EXT_TICKET: b"", EXT_HEARTBEAT: b"\x01", EXT_RENEGOTIATION: b"\x00"}
    if version == TLS13:
        extensions[EXT_VERSIONS] = b"\x02\x03\x04"
        extensions[EXT_SHARE] = _vector(struct.pack(">H", 29) + _vector(os.urandom(32), 2), 2)
    body = struct.pack(">H", min(version, TLS12)) + os.urandom(32) + _vector(os.urandom(32), 1)
    body += _numbers(ciphers) + _vector(bytes(compression), 1)
    if version > SSL3:
        body += _vector(b"".join(struct.pack(">H", k) + _vector(v, 2) for k, v in extensions.items()), 2)
    message = b"\x01" + _vector(body, 3)
    return b"\x16" + struct.pack(">H", min(version, TLS10)) + _vector(message, 2)


class Answer:
    """What came back: `alert` (a number), or `version`, `cipher`, `compression`, `extensions` of the server's hello, and
    `group` of its key exchange. All None when the connection just ended."""

    def __init__(self, file):
        self.alert = self.version = self.cipher = self.compression = self.group = None
        self.extensions = {}
        pending = b""
        while True:
            record = file.read(5)
            if len(record) < 5:
                return
            kind, _, n = struct.unpack(">BHH", record)
            data = file.read(n)
            if kind == 21:
                self.alert = data[1]
                return
            if kind != 22:
                return
            pending += data
            while len(pending) >= 4 and len(pending) >= 4 + int.from_bytes(pending[1:4], "big"):
                n = int.from_bytes(pending[1:4], "big")
                if self._message(pending[0], pending[4:4 + n]):
                    return
                pending = pending[4 + n:]

    def _message(self, kind, data):
        """True when no more is to be seen."""
        if kind == HELLO:
            self.version = int.from_bytes(data[:2], "big")
            at = 35 + data[34]
            self.cipher, self.compression = struct.unpack_from(">HB", data, at)
            at += 5
            while at + 4 <= len(data):
                name, n = struct.unpack_from(">HH", data, at)
                self.extensions[name] = data[at + 4:at + 4 + n]
                at += 4 + n
            if EXT_VERSIONS in self.extensions:
                self.version = int.from_bytes(self.extensions[EXT_VERSIONS], "big")
            if self.version == TLS13:
                return True
        elif kind == KEY_EXCHANGE and data[0] == 3:
            self.group = int.from_bytes(data[1:3], "big")
            return True
        return kind == 14


class Probe:
    def __init__(self, port, starttls):
        self.port, self.starttls = port, starttls

    def send(self, data):
        with socket.create_connection(("127.0.0.1", self.port), 10) as s, s.makefile("rb") as file:
            if self.starttls:
                file.readline()
                s.sendall(b"EHLO probe.test.example\r\n")
                while file.readline()[3:4] == b"-":
                    pass
                s.sendall(b"STARTTLS\r\n")
                assert file.readline().startswith(b"220")
            s.sendall(data)
            try:
                return Answer(file)
            except ConnectionResetError:
                return Answer(open(os.devnull, "rb"))

    def ask(self, version, ciphers=None, **more):
        return self.send(hello(version, ciphers or (ALL_13 if version == TLS13 else ALL), **more))

    def ciphers(self, version):
        """All that the server would take, in the order in which it takes them."""
        offered, taken = list(ALL_13 if version == TLS13 else ALL), []
        while offered:
            answer = self.ask(version, offered)
            if answer.cipher is None:
                break
            assert answer.version == version and answer.cipher in offered
            taken.append(answer.cipher)
            offered.remove(answer.cipher)
        return taken
