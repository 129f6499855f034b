#!/usr/bin/python3
"""What a flood of marketing mail costs a transactional message to the same domain.

usage: priority.py [MESSAGES [PROBES [DELAY-MS [CONNECTIONS]]]]        (200000, 30, 100 and 20)

The receiver takes DELAY-MS before each reply, and the relay may have CONNECTIONS to it. Printed is the time of a
message from the end of its DATA at the relay to the receiver's acceptance, as the relay recorded it: with an empty
queue; with MESSAGES of the stream `marketing` queued to the same domain and all connections taken; and once more with
both streams of the same priority, which then take turns. Without streams it would wait for all of the flood before it,
which is printed as well. The ratio is that of the medians.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import harness  # noqa: E402

DOMAIN = "slow.example"


def seconds(at):
    return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def probe(relay, name, n):
    """Times of transactional messages, one after the other."""
    times = []
    for k in range(n):
        to = f"{name}{k}@{DOMAIN}"
        relay.send(to, sender="a@bank.example")
        event = harness.wait_until(lambda: relay.events(to, "delivered"), 120, f"{to} to be delivered", 0.02)[-1]
        times.append(seconds(event["at"]) - seconds(relay.weir("show", event["id"])["received_at"]))
    return times


def show(name, times):
    times = sorted(times)
    print(f"{name:44} median {statistics.median(times) * 1000:8.0f} ms   most {times[-1] * 1000:8.0f} ms", flush=True)
    return statistics.median(times)


def main(messages=200000, probes=30, delay=100, connections=20):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-priority.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    world = harness.World(directory)
    relay = harness.Relay(directory, world, f"delivery {{ connections-per-hop = {connections} }}\n"
                          if connections != 20 else "")
    try:
        world.set(DOMAIN, "slow", delay=delay)
        relay.start()
        relay.allow()
        relay.weir("stream", "add", "marketing", "--match", "sender-domain:news.example", "--priority", "2")
        relay.weir("stream", "add", "transactional", "--match", "sender-domain:bank.example", "--priority", "9")
        print(f"{messages} messages, {delay} ms a reply, {connections} connections")
        probe(relay, "warm", 1)
        alone = show("alone, on an open connection", probe(relay, "alone", probes))
        assert relay.stop() == 0
        print(subprocess.run([harness.BUILD / "tests/bench/fill", relay.state, str(messages), "1", "marketing", DOMAIN],
                             check=True, capture_output=True, text=True).stdout.strip() + " stored through the queue")
        relay.start()
        harness.wait_until(lambda: relay.weir("queue")[0]["active"] >= connections, 60, "all connections to be taken")
        start, before = time.monotonic(), relay.queued()["recipients"]
        flood = show("with the flood, of higher priority", probe(relay, "flood", probes))
        queued = relay.queued()["recipients"]
        rate = (before - queued) / (time.monotonic() - start)
        print(f"{'the flood meanwhile':44} {rate:.0f} messages a second; {queued} queued: {queued / rate:.0f} s of it")
        print(f"{'ratio':44} {flood / alone:.2f}")
        relay.weir("stream", "set", "transactional", "--priority", "2", "--reason", "to compare")
        show("with the flood, of the same priority", probe(relay, "equal", probes))
        assert relay.queued()["recipients"] > 0, "the flood was over too early"
        relay.kill()
    finally:
        if relay.process:
            relay.kill()
        world.stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
