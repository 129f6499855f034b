#!/usr/bin/python3
"""What a configuration of this size holds: how long import and export take, and who waits for them meanwhile.

usage: config.py [KIB [KIND …]]        (2950 and all kinds; allowlist, routes, credentials, keys)

While each call is under way another connection asks for a ping again and again; the longest it waited is shown beside
the longest callback of the loop, when that was one of more than 20 ms (loop.slow in the log).
"""

import base64
import json
import os
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import harness  # noqa: E402

KINDS = ("allowlist", "routes", "credentials", "keys")
MOST = {"allowlist": 100000, "routes": 10000, "credentials": 10000, "keys": 100000}


def item(kind, i):
    if kind == "allowlist":
        return f'\nallow "10.{i >> 16}.{i >> 8 & 255}.{i & 255}" {{\n\tmode = "relay"\n\tnote = "host {i}"\n}}\n'
    if kind == "routes":
        return f'\nroute {{\n\tmatch = "domain:d{i}.example"\n\tto = "discard"\n\ttls = "opportunistic"\n}}\n'
    if kind == "credentials":
        return f'\ncredential "app{i}" {{\n\tsender = "shop{i}.example"\n}}\n'
    public = base64.b64encode(i.to_bytes(32, "big")).decode()
    return f'\nkey "shop{i}.example/s1" {{\n\tstate = "active"\n\tpublic = "v=DKIM1; k=ed25519; p={public}"\n}}\n'


def text(size, kinds):
    head = f'format = 1\ncontains = "pools, streams, {", ".join(kinds)}"\n\npool "p" {{\n\tsource = "127.0.0.7"\n}}\n'
    parts = {k: [] for k in kinds}
    n, i = len(head), 0
    while True:
        for kind in kinds:
            if i >= MOST[kind]:
                continue
            one = item(kind, i)
            n += len(one)
            if n > size:
                return head + "".join("".join(parts[k]) for k in kinds), sum(map(len, parts.values()))
            parts[kind].append(one)
        i += 1


class Ping(threading.Thread):
    """The longest that somebody else waits."""

    def __init__(self, path):
        super().__init__()
        self.path, self.longest, self.n, self.ended = path, 0.0, 0, False

    def run(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.path))
            f = s.makefile("rw")
            f.readline()
            while not self.ended:
                began = time.monotonic()
                f.write('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}\n')
                f.flush()
                f.readline()
                self.longest = max(self.longest, time.monotonic() - began)
                self.n += 1
                time.sleep(0.001)


def measure(relay, what, *args):
    before = len(relay.log.read_text())
    ping = Ping(relay.socket)
    ping.start()
    began = time.monotonic()
    result = relay.run(*args, json_output=False, timeout=300)
    took = time.monotonic() - began
    ping.ended = True
    ping.join()
    slow = re.findall(r"loop\.slow.*", relay.log.read_text()[before:])
    print(f"{what:28} {took:7.2f} s   longest wait of {ping.n:5} others {ping.longest * 1000:6.1f} ms   "
          f"{'; '.join(s[10:] for s in slow)}", flush=True)
    if result.returncode != 0:
        print("   ", result.stderr.strip()[:300])
    return result


def main():
    size = int(sys.argv[1]) * 1024 if len(sys.argv) > 1 else 2950 << 10
    kinds = sys.argv[2:] or list(KINDS)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-config.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    world = harness.World(directory)
    relay = harness.Relay(directory, world).start()
    path = directory / "config.text"
    try:
        content, n = text(size, kinds)
        path.write_text(content)
        print(f"{len(content)} bytes, {n} objects: {', '.join(kinds)}")
        print("pid", relay.process.pid, flush=True)
        go = ("--yes", "--reason", "bench")
        measure(relay, "import --plan", "config", "import", path, "--plan")
        measure(relay, "import", "config", "import", path, *go)
        exported = measure(relay, "export", "config", "export").stdout
        (directory / "exported").write_text(exported)
        measure(relay, "import of the same", "config", "import", directory / "exported", *go)
        path.write_text(content.replace("host", "HOST").replace('to = "discard"', 'to = "hold"').replace(
            'sender = "shop', 'sender = "chop').replace('state = "active"', 'state = "retired"'))
        measure(relay, "import, all different", "config", "import", path, *go)
        measure(relay, "undo", "undo")
        print("exported the same:", relay.run("config", "export", json_output=False, timeout=60).stdout == exported)
        print(f"relay's memory: {relay.rss_kib() // 1024} MiB")
    finally:
        relay.kill()
        world.stop()
        (os.environ.get("KEEP") or shutil.rmtree(directory))


if __name__ == "__main__":
    main()
