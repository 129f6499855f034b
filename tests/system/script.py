"""An SMTP receiver that follows a script and writes down, byte for byte, what it heard and said."""

import socket
import threading
import time

import harness

EHLO = b"250-script.example greets you\r\n250-SIZE 10000000\r\n250 ENHANCEDSTATUSCODES\r\n"
PIPELINING = EHLO.replace(b"250 ENH", b"250-PIPELINING\r\n250 ENH")
OK = {"EHLO": EHLO, "MAIL": b"250 2.1.0 Ok\r\n", "RCPT": b"250 2.1.5 Ok\r\n", "DATA": b"354 Go ahead\r\n",
      ".": b"250 2.0.0 Ok: queued as 4711\r\n", "QUIT": b"221 2.0.0 Bye\r\n", "RSET": b"250 2.0.0 Ok\r\n"}
DROP = None  # instead of a reply: ends the connection


class Script:
    """replies: verb (or the beginning of a command) to what is said, an iterable of pieces that are sent apart, or
    DROP. greeting likewise. `log` has ("relay", line) and ("host", line) of all connections, in order."""

    def __init__(self, replies=None, greeting=b"220 script.example ESMTP\r\n", pause=0):
        self.replies, self.greeting, self.pause = {**OK, **(replies or {})}, greeting, pause
        self.log, self.lock = [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.at = f"smarthost:127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def said(self, without=("QUIT", "221 ")):
        """What went over the wire but for the end of the session, which is no part of an attempt."""
        with self.lock:
            return [(by, line) for by, line in self.log if not line.startswith(without)]

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
            self._talk(client)
        except (OSError, EOFError):
            pass
        finally:
            client.close()

    def _say(self, client, reply):
        if reply is DROP:
            raise EOFError
        pieces = [reply] if isinstance(reply, bytes) else list(reply)
        with self.lock:
            self.log += [("host", line.decode("latin-1"))
                         for line in b"".join(p for p in pieces if p).replace(b"\r\n", b"\n").split(b"\n")[:-1]]
        for piece in pieces:
            if piece is DROP:
                raise EOFError
            time.sleep(self.pause)
            client.sendall(piece)

    def _content(self, file):
        n = 0
        for line in file:
            if line == b".\r\n":
                return n
            n += len(line) - line.startswith(b".")
        raise EOFError

    def _talk(self, client):
        file = client.makefile("rb")
        self._say(client, self.greeting)
        for line in file:
            line = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            with self.lock:
                self.log.append(("relay", line))
            start = next((s for s in self.replies if line.startswith(s) and len(s) > 4), line.split(" ")[0])
            reply = self.replies[start]
            self._say(client, reply)
            if start == "DATA" and reply.startswith(b"354"):
                n = self._content(file)
                with self.lock:
                    self.log.append(("relay", f"(the content: {n} bytes, and a dot)"))
                self._say(client, self.replies["."])
            elif start == "QUIT":
                return


def transcript(relay, message_id, n=-1, notes=False):
    """An attempt's lines as (by, text)."""
    attempts = relay.weir("show", message_id, "--transcript")
    lines = attempts[n]["transcript"]
    return [(line["by"], line["text"]) for line in lines if notes or line["by"] != "note"]


def settle(relay, to, event):
    """The event, and nothing more is on its way."""
    row = relay.wait_event(to, event)
    harness.wait_until(lambda: relay.weir("show", row["id"])["attempts"], what="an attempt")
    return row
