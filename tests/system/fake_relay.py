"""A relay's control socket in a few lines: scripted answers, for what a real relay does too rarely."""

import json
import os
import socket
import threading


class FakeRelay:
    """Answers methods from `answers`: a value, or a function of (params) or an exception to raise.

    `calls` are the (method, params) that came; `lines` what came on which connection.
    """

    def __init__(self, directory, role="admin"):
        self.path = str(directory / "fake.sock")
        self.role = role
        self.answers = {}
        self.calls = []
        self.connections = []
        self.subs = []
        self.lock = threading.Lock()
        self.listener = None
        self.open()

    def open(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """As if the relay had stopped: no socket, no connection."""
        os.unlink(self.path)
        self.listener.close()
        self.drop()

    def drop(self):
        with self.lock:
            gone, self.connections, self.subs = self.connections, [], []
        for c in gone:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.close()

    def _accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _send(self, c, doc):
        try:
            c.sendall(json.dumps(doc).encode() + b"\n")
        except OSError:
            pass

    def _serve(self, c):
        self._send(c, {"jsonrpc": "2.0", "method": "hello", "params": {
            "protocol": 1, "relay": "fake.example", "version": "0", "role": self.role, "user": "root",
            "features": [], "now_at": "2026-11-24T03:12:07Z"}})
        try:
            for line in c.makefile("r", encoding="utf-8"):
                self._answer(c, json.loads(line))
        except (OSError, ValueError):
            pass

    def _answer(self, c, request):
        method, params = request["method"], request.get("params", {})
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        if method == "ping":
            return self._send(c, {**reply, "result": {"now_at": "2026-11-24T03:12:07Z"}})
        with self.lock:
            self.calls.append((method, params))
        if method == "sub.open":
            with self.lock:
                self.subs.append((c, len(self.subs) + 1, params))
                return self._send(c, {**reply, "result": {"sub": len(self.subs)}})
        try:
            answer = self.answers[method]
            answer = answer(params) if callable(answer) else answer
        except Refused as r:
            return self._send(c, {**reply, "error": {"code": -32000, "message": r.args[1], "data": {
                "name": r.args[0], **r.args[2]}}})
        if answer is not None:
            self._send(c, {**reply, "result": answer})

    def push(self, topic, data, resync=False):
        with self.lock:
            subs = [s for s in self.subs if s[2]["topic"] == topic]
        for c, number, _ in subs:
            self._send(c, {"jsonrpc": "2.0", "method": "push", "params": {
                "sub": number, "topic": topic, "seq": 1, "data": data, "resync": resync}})

    def of(self, method):
        with self.lock:
            return [p for m, p in self.calls if m == method]


class Refused(Exception):
    """Refused(wire name, message, {"param": …, "column": …})"""

    def __init__(self, name, message, data=None):
        super().__init__(name, message, data or {})
