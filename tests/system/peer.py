"""An SMTP server that is told how to behave, for what the relay says to its next hops.

It has threads, because a handshake that never ends must not keep the others from talking.
"""

import base64
import socket
import ssl
import subprocess
import threading


def make_authority(directory):
    """An authority, in ca.pem."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30", "-subj", "/CN=Test authority", "-keyout", directory / "ca.key",
                    "-out", directory / "ca.pem"], check=True, capture_output=True, timeout=30)
    return directory / "ca.pem"


def make_certificate(directory, name, alt, signed=True, days=30, key_type=("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
    """NAME.pem and NAME.key for a subjectAltName such as IP:127.0.0.1; by the authority or by itself."""
    key, pem = directory / f"{name}.key", directory / f"{name}.pem"
    issuer = ["-CA", directory / "ca.pem", "-CAkey", directory / "ca.key"] if signed else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", *key_type, "-nodes", "-days", str(days), "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName={alt}", "-addext", "basicConstraints=critical,CA:FALSE", *issuer, "-keyout", key, "-out", pem],
                   check=True, capture_output=True, timeout=30)
    return pem, key


class Peer:
    """extensions: what EHLO offers. starttls: the reply to STARTTLS. broken: no TLS follows it.
    users: name to password. refuse: the beginning of a command, and what it is answered."""

    def __init__(self, certificate=None, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"), starttls=None,
                 broken=False, implicit=False, users=None, mechanisms="PLAIN LOGIN", refuse=None, host="127.0.0.1",
                 port=0):
        self.extensions, self.starttls, self.broken = extensions, starttls or b"220 2.0.0 Go ahead\r\n", broken
        self.implicit, self.users, self.mechanisms = implicit, users, mechanisms
        self.refuse = refuse or {}
        self.use(certificate)
        self.messages = []     # what was accepted: a dict each
        self.commands = []     # (encrypted, line) of all connections
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        self.host = host
        self.at = f"smarthost:{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def use(self, certificate):
        """Another one, or none and no STARTTLS, from now on."""
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)

    def close(self):
        self.listener.close()

    def said(self, verb, encrypted=None):
        return [line for secure, line in self.commands
                if line.upper().startswith(verb) and encrypted in (None, secure)]

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._guarded, args=(client,), daemon=True).start()

    def _guarded(self, client):
        client.settimeout(30)
        try:
            if self.implicit:
                client = self.context.wrap_socket(client, server_side=True)
            self._talk(client)
        except (OSError, EOFError):
            pass
        finally:
            client.close()

    def _talk(self, client):
        Talk(self, client).run()


class Talk:
    def __init__(self, peer, client):
        self.peer = peer
        self.set(client, isinstance(client, ssl.SSLSocket))
        self.user = self.ehlo = None

    def set(self, client, secure):
        self.client, self.secure = client, secure
        self.file = client.makefile("rb")

    def line(self):
        line = self.file.readline(65536)
        if not line:
            raise EOFError
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def say(self, text):
        self.client.sendall(text if isinstance(text, bytes) else text.encode() + b"\r\n")

    def hello(self):
        offers = list(self.peer.extensions)
        if self.peer.context and not self.secure or self.peer.broken:
            offers.append("STARTTLS")
        if self.peer.users:
            offers.append(f"AUTH {self.peer.mechanisms}")
        for offer in offers:
            self.say(f"250-{offer}")
        self.say("250 SIZE 10000000")

    def starttls(self):
        self.say(self.peer.starttls)
        if not self.peer.starttls.startswith(b"220"):
            return True
        if self.peer.broken:
            self.client.recv(1)  # the client has begun
            self.say("this is no TLS")
            return False
        self.set(self.peer.context.wrap_socket(self.client, server_side=True), True)
        return True

    def auth(self, line):
        _, mechanism, *first = line.split(" ")
        decode = lambda text: base64.b64decode(text).decode()
        if mechanism == "LOGIN":
            self.say("334 VXNlcm5hbWU6")
            user = decode(self.line())
            self.say("334 UGFzc3dvcmQ6")
            password = decode(self.line())
        else:
            _, user, password = decode(first[0]).split("\0")
        if self.peer.users.get(user) != password:
            self.say("535 5.7.8 Authentication credentials invalid")
            return
        self.user = user
        self.say("235 2.7.0 Welcome")

    def data(self, mail, rcpts):
        self.say("354 Go ahead")
        lines = []
        while not lines or lines[-1] != b".\r\n":
            lines.append(self.file.readline(65536))
            if not lines[-1]:
                raise EOFError
        content = b"".join(line[1:] if line.startswith(b".") else line for line in lines[:-1])
        if not rcpts:
            self.say("554 5.5.1 No valid recipients")
            return
        self.peer.messages.append({"secure": self.secure and self.client.version(), "user": self.user, "mail": mail,
                                   "rcpts": rcpts, "content": content, "ehlo": self.ehlo,
                                   "from": self.client.getpeername()[0]})
        self.say("250 2.0.0 Ok")

    def run(self):
        self.say("220 peer.test.example ESMTP")
        mail, rcpts = None, []
        while True:
            line = self.line()
            verb = line.split(" ")[0].split(":")[0].upper()
            self.peer.commands.append((self.secure, line))
            refusal = next((text for start, text in self.peer.refuse.items() if line.startswith(start)), None)
            if refusal:
                self.say(refusal)
            elif verb == "EHLO":
                self.ehlo = line[5:]
                self.say("250-peer.test.example")
                self.hello()
            elif verb == "STARTTLS":
                if not self.starttls():
                    return
            elif verb == "AUTH":
                self.auth(line)
            elif verb == "MAIL":
                mail, rcpts = line, []
                self.say("250 2.1.0 Ok")
            elif verb == "RCPT":
                rcpts.append(line)
                self.say("250 2.1.5 Ok")
            elif verb == "DATA":
                self.data(mail, rcpts)
            elif verb == "QUIT":
                self.say("221 2.0.0 Bye")
                return
            else:
                self.say("250 2.0.0 Ok")
