#!/usr/bin/python3
"""Edits of routes and streams on a large queue: what the plan says would move, and what then moved.

usage: predict.py [MESSAGES [DOMAINS]]        (100000 and 1000)

The queue of the first part is filled through the queue itself (tests/bench/fill.c): half of it for one domain, everything
held by a route. Routes are then added, moved and removed one after the other; what they let go reaches a sink or is
discarded, and is counted. The second part sends as many recipients by SMTP, edits streams, and sends the same again.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import harness  # noqa: E402

SETTLED = 300  # seconds
failures = []


def report(edit, predicted, actual, seconds, moves):
    good = predicted == actual and not moves["undecided"]
    if not good:
        failures.append(edit)
    print(f"{edit:52} {predicted:8} {actual:8} {'equal' if good else 'DIFFERENT':10} {seconds * 1000:7.0f} ms", flush=True)


def plan(relay, *args):
    start = time.monotonic()
    made = relay.weir(*args, "--reason", "bench", "--plan", timeout=120)
    return made["moves"], time.monotonic() - start


def settled(relay):
    """Recipients queued, when nothing moves any more."""
    last = [None, 0.0]

    def still():
        q = relay.queued()
        now = (q["recipients"], q["ready"], q["active"])
        if now != last[0] or q["active"] or q["ready"]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > 1.5
    harness.wait_until(still, SETTLED, "the queue to settle", interval=0.25)
    return relay.queued()["recipients"]


def routes(messages, domains):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-predict.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    world = harness.World(directory)
    sink_port = harness.free_port()
    sink = subprocess.Popen(["/usr/sbin/smtp-sink", "-u", "nobody", f"127.0.0.1:{sink_port}", "100"])
    relay = harness.Relay(directory, world)
    to_sink = f"smarthost:127.0.0.1:{sink_port}"
    ids = {}

    def edit(name, *args):
        moves, seconds = plan(relay, "route", *args)
        before = relay.queued()["recipients"]
        known = {r["id"] for r in relay.weir("route", "list")}
        relay.weir("route", *args, "--reason", "bench")
        ids[name] = next((r["id"] for r in relay.weir("route", "list") if r["id"] not in known), None)
        report(f"{name}: {' '.join(args)}"[:52], moves["queued"], before - settled(relay), seconds, moves)

    try:
        relay.start()
        relay.weir("route", "add", "--to", "hold", "--note", "everything stays")
        hold = relay.weir("route", "list")[0]["id"]
        relay.stop()
        subprocess.run([harness.BUILD / "tests/bench/fill", relay.state, str(messages), str(domains)], check=True,
                       capture_output=True)
        relay.start()
        print(f"--- routes: {relay.queued()['recipients']} recipients over {domains + 1} domains\n"
              f"{'':52} {'plan':>8} {'actual':>8} {'':10} {'plan took':>10}")
        edit("domain", "add", "--match", "domain:d1.bulk.example,d2.bulk.example", "--to", to_sink)
        edit("suffix", "add", "--match", "domain:*1.bulk.example", "--to", to_sink)
        edit("sender", "add", "--match", "from:app3@shop.example", "--to", to_sink)
        edit("behind", "add", "--match", "provider:bulk.example", "--to", to_sink, "--before", "default")
        edit("moved up (provider)", "move", ids["behind"], "--before", hold)
        edit("one with a filter", "add", "--match", "from:app5@* to:user*2@*", "--to", "discard")
        edit("all else, behind", "add", "--match", "domain:big.example", "--to", "discard", "--before", "default")
        edit("removed", "remove", hold)
    finally:
        if relay.process:
            relay.kill()
        sink.terminate()
        world.stop()
        shutil.rmtree(directory)


def by_stream(relay):
    return {r["stream"]: r["total"] for r in relay.weir("queue", "--by", "stream")}


def send_all(relay, recipients, domains):
    """Messages of a hundred recipients each, from seven senders, to domains that differ within a message."""
    with relay.smtp() as s:
        for k in range(0, recipients, 100):
            sender = f"app{k // 100 % 7}@{'news.example' if k // 100 % 3 else 'shop.example'}"
            to = [f"user{i}@d{(i * 7 + k // 100) % domains}.bulk.example" for i in range(k, min(k + 100, recipients))]
            s.sendmail(sender, to, harness.letter(sender, to[0], subject=f"Order {k // 100 % 10}"))


def streams(recipients, domains):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-predict.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    world = harness.World(directory)
    relay = harness.Relay(directory, world)
    try:
        relay.start().allow()
        relay.weir("route", "add", "--to", "hold", "--note", "everything stays")
        send_all(relay, recipients, domains)
        harness.wait_until(lambda: relay.queued()["recipients"] == recipients, 60)
        told, first = dict(by_stream(relay)), by_stream(relay)
        print(f"--- streams: {recipients} recipients of the last hour over {domains} domains, queued")
        for args in (["add", "news", "--match", "sender-domain:news.example"], ["add", "app3", "--match", "from:app3@*"],
                     ["set", "app3", "--match", "from:app3@*,app4@*"], ["move", "app3", "--before", "news"],
                     ["add", "some", "--match", "domain:d5.bulk.example subject:*order*1*", "--before", "app3"], ["remove", "news"]):
            moves, seconds = plan(relay, "stream", *args)
            for m in moves["moves"]:
                told[m["from"]] -= m["recent"]
                told[m["to"]] = told.get(m["to"], 0) + m["recent"]
            if moves["undecided"] or not moves["whole"]:
                failures.append(" ".join(args))
            relay.weir("stream", *args, "--reason", "bench", "--yes")
            print(f"{' '.join(args)[:52]:52} {moves['recent']:8} {'':19} {seconds * 1000:7.0f} ms", flush=True)
        send_all(relay, recipients, domains)
        harness.wait_until(lambda: relay.queued()["recipients"] == 2 * recipients, 60)
        both = by_stream(relay)
        for stream in sorted({*told, *both}):
            actual = both.get(stream, 0) - first.get(stream, 0)
            good = told.get(stream, 0) == actual
            if not good:
                failures.append(stream)
            print(f"{'the same mail again, in stream ' + stream:52} {told.get(stream, 0):8} {actual:8} "
                  f"{'equal' if good else 'DIFFERENT'}", flush=True)
    finally:
        if relay.process:
            relay.kill()
        world.stop()
        shutil.rmtree(directory)


def main():
    recipients = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    domains = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    routes(recipients, domains)
    streams(recipients, domains)
    if failures:
        sys.exit(f"not as predicted: {json.dumps(failures)}")


main()
