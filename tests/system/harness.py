"""What system tests stand on: the demo world, a relay, the command line, raw SMTP.

Nothing here has a fixed port or sleeps for a fixed time: programs say when they are ready, and
tests wait for what they expect with wait_until().
"""

import json
import os
import pathlib
import re
import select
import signal
import smtplib
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", ROOT / "build"))
WORLD = BUILD / "weir-world"
RELAYD = BUILD / "weir-relayd"
WEIR = BUILD / "weir"
SENDER = "app@shop.example"
LOG_LINE = re.compile(r"^\S+ (error|warn) (.*)$")
# A callback of more than 20 ms is logged; here it shares two cores with the world and the tests, and may just have
# waited for one of them.
NO_MATTER = re.compile(r"loop\.slow .* ms=\d\d$")


def wait_until(fn, timeout=15.0, what=None, interval=0.05):
    """Calls fn until it gives something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what or fn.__name__}; last: {value!r}")
        time.sleep(interval)


def free_port(host="127.0.0.1"):
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def read_line(pipe, timeout):
    """One line from a program's pipe, or what there was at the end of the time."""
    end = time.monotonic() + timeout
    data = b""
    while not data.endswith(b"\n"):
        left = end - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            break
        got = os.read(pipe.fileno(), 65536)
        if not got:
            break
        data += got
    return data.decode()


class World:
    """weir-world on free ports, and its control socket."""

    def __init__(self, directory, *options):
        self.process = subprocess.Popen(
            [WORLD, "--control", directory / "world.sock", "--seconds", "1800", "--keep", "5000", *options],
            stdout=subprocess.PIPE, stderr=open(directory / "world.err", "w"))
        line = read_line(self.process.stdout, 15)
        assert line, f"weir-world did not start: {(directory / 'world.err').read_text()}"
        self.ready = json.loads(line)
        self.dns = self.ready["dns"]
        self.smtp_port = self.ready["smtp_port"]
        self.addresses = {d["domain"]: d["addresses"] for d in self.ready["domains"]}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(self.ready["control"])
        self._file = self._socket.makefile("rw")

    def ask(self, line):
        """Sends a command; its answer as it is, errors too."""
        self._file.write(line + "\n")
        self._file.flush()
        return json.loads(self._file.readline())

    def do(self, line):
        answer = self.ask(line)
        assert "error" not in answer, f"{line}: {answer}"
        return answer

    def set(self, domain, behaviour, **params):
        words = [f'{k}="{v}"' for k, v in params.items()]
        return self.do(" ".join(["set", domain, behaviour, *words]))

    def stats(self, domain=None):
        stats = self.do("stats")
        return stats["domains"][domain] if domain else stats

    def messages(self, domain, limit=100000):
        return self.do(f"list {domain} {limit}")["messages"]

    def last(self, domain):
        return self.do(f"last {domain}")["content"]

    def protocol_errors(self):
        return {a: (s["protocol_errors"], s["last_protocol_error"])
                for a, s in self.do("stats")["sites"].items() if s["protocol_errors"]}

    def stop(self):
        self._socket.close()
        self.process.terminate()
        return self.process.wait(10)


class Raw:
    """A socket that sends exactly what it is told and reads SMTP replies."""

    def __init__(self, host, port, timeout=10):
        self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")

    def reply(self):
        """The code and the text of the next reply; code 0 at the end of the connection."""
        text = []
        while True:
            try:
                line = self.file.readline().decode("utf-8", "replace")
            except ConnectionResetError:
                line = ""
            if not line:
                return 0, "".join(text)
            text.append(line)
            if line[3:4] != "-":
                return int(line[:3]), "".join(text)

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def say(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.socket.close()


class WeirError(Exception):
    """The command line ended with another status than 0."""

    def __init__(self, args, status, stdout, stderr):
        super().__init__(f"weir {' '.join(args)}: status {status}\n{stdout}{stderr}")
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    @property
    def error(self):
        return json.loads(self.stderr)["error"]


CONFIG = """\
hostname  = "relay.test.example"
state-dir = "{state}"

control {{
	socket = "{socket}"
	mode   = "0600"
}}

listen submission {{
	address = "127.0.0.1:{port}"
	tls     = "none"
	auth    = "none"
}}

dns      {{ servers = {{"{dns}"}} }}
delivery {{ port = {smtp_port} }}
"""


class Relay:
    """weir-relayd in a directory of its own, and weir talking to it."""

    def __init__(self, directory, world, extra="", state=None):
        self.directory = directory
        self.socket = directory / "control.sock"
        # Held as long as this is: also while the relay is down, nobody else is given it.
        self.reserved = socket.socket()
        self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reserved.bind(("127.0.0.1", 0))
        self.port = self.reserved.getsockname()[1]
        self.state = state or directory / "state"
        self.state.mkdir(exist_ok=True)
        self.config = directory / "relayd.conf"
        self.config.write_text(CONFIG.format(state=self.state, socket=self.socket, port=self.port,
                                             dns=world.dns, smtp_port=world.smtp_port) + extra)
        self.log = directory / "relayd.err"
        self.expected = []  # regular expressions of log lines at warn or error that are all right
        self.process = None

    def start(self, ahead=None):
        """`ahead`: under a clock that is so far ahead, such as "+3d"; skips without faketime."""
        env = None
        if ahead:
            fake = next(iter(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
            if fake is None or BUILD.name.endswith(("san", "tsan")):  # a sanitizer wants to be loaded first
                import pytest
                pytest.skip("faketime is not installed, or does not go with this build")
            env = {**os.environ, "LD_PRELOAD": str(fake), "FAKETIME": ahead}
        self.process = subprocess.Popen([RELAYD, "-c", self.config], stdout=subprocess.DEVNULL,
                                        stderr=open(self.log, "a"), env=env)
        wait_until(self._answers, 20, "the relay's banner")
        return self

    def _answers(self):
        assert self.process.poll() is None, \
            f"weir-relayd ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as s:
                s.settimeout(5)
                return s.recv(512).startswith(b"220") and self.socket.exists()
        except OSError:
            return False

    def stop(self):
        """Ends it as an administrator would; it has to be quick and clean."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        self.process = None
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        assert self.stop() == 0
        return self.start()

    def bad_log_lines(self):
        bad = [line for line in self.log.read_text(errors="replace").splitlines()
               if LOG_LINE.match(line) and not NO_MATTER.search(line) and not any(re.search(e, line) for e in self.expected)]
        crashes = [line for line in self.log.read_text(errors="replace").splitlines()
                   if "AddressSanitizer" in line or "runtime error" in line or "assertion" in line]
        return bad + crashes

    def run(self, *args, json_output=True, input=None, timeout=30):
        command = [WEIR, "-r", f"unix:{self.socket}", *(["--json"] if json_output else []), *args]
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, input=input,
                              stdin=subprocess.DEVNULL if input is None else None, timeout=timeout)

    def weir(self, *args, **kwargs):
        """Runs weir --json and gives what it printed; WeirError when it failed."""
        result = self.run(*args, **kwargs)
        if result.returncode != 0:
            raise WeirError([str(a) for a in args], result.returncode, result.stdout, result.stderr)
        return json.loads(result.stdout)

    def allow(self):
        self.weir("allow", "add", "127.0.0.0/8", "--note", "system test")
        return self

    def smtp(self):
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.test.example", timeout=30)

    def raw(self):
        return Raw("127.0.0.1", self.port)

    def send(self, *to, sender=SENDER, subject="A system test", tag=None, body="Hello.\r\n", headers=""):
        """Submits one message; gives the id of the reply to DATA if there is one in it."""
        with self.smtp() as s:
            s.ehlo()
            code, text = s.mail(sender)
            assert code == 250, (code, text)
            for rcpt in to:
                code, text = s.rcpt(rcpt)
                assert code == 250, (code, text)
            code, text = s.data(letter(sender, to[0], subject, tag, body, headers))
            assert code == 250, (code, text)
        return text.decode()

    def recipients(self, where=None):
        """Rows of `weir messages`, one a recipient."""
        return self.weir("messages", "--limit", "1000", *(["--where", where] if where else []))

    def queued(self):
        return self.weir("status")["queued"]

    def row(self, to):
        """The one queued row of a recipient, or None."""
        rows = self.recipients(f"to:{to}")
        assert len(rows) <= 1, rows
        return rows[0] if rows else None

    def wait_state(self, to, state, timeout=15):
        """Waits until a recipient is queued in this state, with an attempt behind it if deferred."""
        def arrived():
            row = self.row(to)
            if not row or row["state"] != state or (state == "deferred" and not row["last_reply"]):
                return None
            return row
        return wait_until(arrived, timeout, f"{to} to be {state}")

    def events(self, to, event=None):
        rows = self.weir("events", "--where", f"to:{to}")
        return [r for r in rows if event is None or r["event"] == event]

    def wait_event(self, to, event, timeout=15):
        return wait_until(lambda: self.events(to, event), timeout, f"{to} to be {event}")[-1]

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def letter(sender, to, subject="A system test", tag=None, body="Hello.\r\n", headers=""):
    tag_field = f"X-Weir-Test: {tag}\r\n" if tag else ""
    return (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n"
            f"Date: Tue, 24 Nov 2026 03:12:07 +0000\r\n"
            f"Message-ID: <{tag or 'x'}.{time.monotonic_ns()}@test.example>\r\n"
            f"{tag_field}{headers}\r\n{body}").encode()
