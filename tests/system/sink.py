"""An SMTP receiver that keeps every message byte for byte, which JSON on weir-world's socket cannot."""

import socketserver
import threading


class _Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def data(self):
        lines = []
        while True:
            line = self.rfile.readline()
            if line in (b".\r\n", b""):
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)

    def handle(self):
        self.say("220 sink.example ESMTP")
        while True:
            line = self.rfile.readline().decode("latin-1").strip()
            verb = line.upper()
            if verb.startswith("EHLO"):
                self.say("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 50000000")
            elif verb.startswith("DATA"):
                self.say("354 go on")
                message = self.data()
                with self.server.lock:
                    self.server.messages.append(message)
                self.say("250 2.0.0 kept")
            elif verb.startswith("QUIT"):
                self.say("221 bye")
                return
            elif not verb:
                return
            else:
                self.say("250 2.0.0 ok")


class Sink(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Session)
        self.port = self.server_address[1]
        self.lock = threading.Lock()
        self.messages = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def find(self, mark):
        """The message that has these bytes in it, or None."""
        with self.lock:
            return next((m for m in self.messages if mark in m), None)

    def stop(self):
        self.shutdown()
        self.server_close()
