#!/usr/bin/python3
"""A large queue: memory, start, and what operators do with it; beside Postfix with a queue of its own.

usage: million.py [MESSAGES [POSTFIX-MESSAGES]]        (1000000 and 100000; 0 leaves Postfix out)

Weir's queue is filled through the queue itself (tests/bench/fill.c), Postfix's by smtp-source. Half of the messages go
to one domain. Each command is run five times; printed is the median of whole processes, from start to end.
"""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import harness  # noqa: E402

RUNS = 5
ENV = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color")


def took(command, **kwargs):
    start = time.monotonic()
    done = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs)
    seconds = time.monotonic() - start
    assert done.returncode == 0, (command, done.stderr)
    return seconds


def median(command, before=None, **kwargs):
    times = []
    for _ in range(RUNS):
        if before:
            before()
        times.append(took(command, **kwargs))
    return statistics.median(times)


def show(name, seconds, target=None):
    print(f"{name:44} {seconds * 1000:9.1f} ms" + (f"   (target {target} ms)" if target else ""), flush=True)


def first_screen(command, pattern):
    """Seconds until a program on a terminal has drawn this."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(ENV, LINES="50", COLUMNS="200")
        try:
            os.execv(str(command[0]), [str(c) for c in command])
        finally:
            os._exit(127)
    start, data = time.monotonic(), b""
    while not re.search(pattern, data):
        if not select.select([fd], [], [], 20)[0]:
            raise AssertionError(f"{command[0]} did not draw {pattern}: {data[-500:]!r}")
        data += os.read(fd, 65536)
    seconds = time.monotonic() - start
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(fd)
    return seconds


class NoWorld:
    """Mail goes to a sink by a route; no name server is asked."""
    dns = "127.0.0.1:9"
    smtp_port = 9


def weir(messages):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-million.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    sink_port = harness.free_port()
    sink = subprocess.Popen(["/usr/sbin/smtp-sink", "-u", "nobody", f"127.0.0.1:{sink_port}", "100"])
    relay = harness.Relay(directory, NoWorld)
    try:
        relay.start()
        relay.weir("route", "add", "--to", "hold", "--note", "everything stays")
        relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{sink_port}", "--match", "domain:d0.bulk.example",
                   "--note", "but this")
        relay.stop()
        print(subprocess.run([harness.BUILD / "tests/bench/fill", relay.state, str(messages), "1000"], check=True,
                             capture_output=True, text=True).stdout.strip() + " stored through the queue")
        start = time.monotonic()
        relay.start()
        show("start to SMTP greeting", time.monotonic() - start)
        harness.wait_until(lambda: b" message.delivered " in relay.log.read_bytes(), 60, interval=0.005)
        show("start to first delivery", time.monotonic() - start, 1500)
        harness.wait_until(lambda: relay.queued()["active"] == 0, 60)
        print(f"{'resident memory':44} {relay.rss_kib() / 1024:9.1f} MB   (target 200 MB)")
        measure(relay)
        print(f"{'resident memory afterwards':44} {relay.rss_kib() / 1024:9.1f} MB")
    finally:
        if relay.process:
            relay.kill()
        sink.terminate()
        shutil.rmtree(directory)


def measure(relay):
    base = [harness.WEIR, "-r", f"unix:{relay.socket}"]
    show("weir status", median([*base, "status"]))
    show("weir queue", median([*base, "queue"]), 100)
    show("weir hold domain:… (half of them)", median([*base, "hold", "domain:big.example", "--reason", "bench"],
                                                   lambda: relay.run("release", "domain:big.example")), 50)
    relay.run("release", "domain:big.example")
    show("console's first screen", statistics.median(
        first_screen([harness.WEIR, "-r", f"unix:{relay.socket}"], rb"recipients queued")
        for _ in range(RUNS)), 300)
    for where in ("domain:d7.bulk.example", "state:held", "from:app3@*", "subject:\"order 999\"", "to:user123456@*"):
        show(f"weir messages --where '{where}'", median([*base, "messages", "--where", where, "--limit", "50"]), 100)
    show("weir delete domain:… --plan (half of them)", median([*base, "delete", "domain:big.example", "--plan"]))
    status = json.loads(subprocess.run([*base, "--json", "status"], capture_output=True, text=True).stdout)
    print(f"{'queued recipients':44} {status['queued']['recipients']:9}")


POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/log/maillog
maillog_file_prefixes = {dir}
myhostname = bench.example
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
defer_transports = smtp
in_flow_delay = 0s
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
multi_instance_enable = yes
"""


def postfix(messages):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-postfix.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    directory.chmod(0o755)
    etc, port = directory / "etc", harness.free_port()
    for name in ("etc", "queue", "data", "log"):
        (directory / name).mkdir()
    shutil.chown(directory / "data", "postfix")
    (etc / "main.cf").write_text(POSTFIX_MAIN.format(dir=directory))
    services = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text()
    (etc / "master.cf").write_text(re.sub(r"(?m)^smtp      inet.*$", f"127.0.0.1:{port} inet n - n - - smtpd", services)
                                   .replace("#postlog", "postlog"))
    subprocess.run(["postfix", "-c", etc, "start"], check=True, capture_output=True)
    try:
        pid = int((directory / "queue/pid/master.pid").read_text())
        for domain, share in (("big.example", messages // 2), ("bulk.example", messages - messages // 2)):
            subprocess.run(["/usr/sbin/smtp-source", "-d", "-s", "20", "-l", "2048", "-m", str(share), "-f",
                            "app@shop.example", "-t", f"user@{domain}", f"127.0.0.1:{port}"], check=True)
        harness.wait_until(lambda: sum(len(f) for _, _, f in os.walk(directory / "queue/deferred")) >= messages * 0.99,
                           600, "postfix to defer all", interval=2)
        show(f"postqueue -p ({messages})", median(["postqueue", "-c", etc, "-p"]))
        show(f"qshape deferred ({messages})", median(["/usr/sbin/qshape", "-c", etc, "deferred"]))
        if shutil.which("pfqueue"):
            try:
                show(f"pfqueue's first screen ({messages})", first_screen(
                    ["/usr/sbin/pfqueue", "-b", "postfix2", "-c", etc, "-q", "1"], rb"[0-9A-F]{8,}"))
            except OSError:
                print("pfqueue ended before its first screen")
        show(f"postsuper -h of one domain ({messages})", took(
            ["/bin/sh", "-c", f"postqueue -c {etc} -j | grep -F '@big.example' | sed 's/.*\"queue_id\": \"//;s/\".*//'"
             f" | postsuper -c {etc} -h -"]))
    finally:
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        for p in [pid, *map(int, children)]:
            try:
                os.kill(p, signal.SIGTERM)
            except ProcessLookupError:
                pass
        time.sleep(1)
        shutil.rmtree(directory, ignore_errors=True)


def main():
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    other = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    print(f"--- Weir, {messages} messages")
    weir(messages)
    if other:
        print(f"--- Weir, {other} messages")
        weir(other)
        print(f"--- Postfix, {other} messages")
        postfix(other)


main()
