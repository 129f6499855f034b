#!/usr/bin/python3
"""Weir and Postfix with everything on: STARTTLS from the client, STARTTLS to the next hop, an RSA-2048 DKIM signature on each
message (Postfix by OpenDKIM as its milter). Alternating rounds on the same disk: messages accepted (durably) and relayed a
second, CPU per thousand, of all processes of each; beside them the load tools without a relay between them.

    usage: secure.py [-n MESSAGES] [-R ROUNDS] [-s SESSIONS] [-l BYTES] [-d] [-p] [-f default|tuned|both]

-d: a session sends all its messages over one connection; else one a connection, with a handshake each. -p: no TLS and no
DKIM, the same tools, for comparison. Needs root, postfix and opendkim (make deps-full). Everything is on loopback and ends
with the script. Last come key=value lines: medians, and ratios of Weir to Postfix, the median of those of each round."""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))

import harness  # noqa: E402
import mta  # noqa: E402
import peer as peers  # noqa: E402
from harness import free_port, wait_until  # noqa: E402

LOAD = harness.BUILD / "tests/bench/load"
DOMAIN = "bench.example"
TICKS = os.sysconf("SC_CLK_TCK")

# As postfix.sh has it; and sessions with the next hop are kept and resumed, which pays with TLS.
TUNED = """
in_flow_delay = 0s
smtpd_client_connection_count_limit = 0
smtp_dns_support_level = disabled
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
default_destination_concurrency_failed_cohort_limit = 1000
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
max_use = 5000
smtp_tls_connection_reuse = yes
"""
SECURE = """
smtp_tls_security_level = may
smtp_tls_session_cache_database = btree:${{data_directory}}/smtp_scache
smtpd_milters = inet:127.0.0.1:{milter}
milter_default_action = tempfail
"""
OPENDKIM = """
Syslog no
Mode s
Domain {domain}
Selector s1
KeyFile {key}
Socket inet:{port}@127.0.0.1
Canonicalization relaxed/relaxed
OversignHeaders From
InternalHosts 127.0.0.1
RequireSafeKeys no
"""


def cpu_s(pids):
    """CPU seconds of these processes, their descendants, and those of them that ended."""
    parent, used = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parent[pid], used[pid] = int(fields[1]), sum(int(f) for f in fields[11:15])
    total = 0
    for pid in used:
        at = pid
        while at and at not in pids:
            at = parent.get(at, 0)
        total += used[pid] if at else 0
    return total / TICKS


class Weir:
    name = "weir"

    def __init__(self, directory, certificate, sink_port, plain):
        self.port = free_port()
        config = directory / "relayd.conf"
        tls = "" if plain else f'tls {{\n certificate = "{certificate[0]}"\n key = "{certificate[1]}"\n}}\n'
        config.write_text(f'hostname = "{DOMAIN}"\nstate-dir = "{directory}/state"\n'
                          f'control {{\n socket = "{directory}/control.sock"\n mode = "0600"\n}}\n{tls}'
                          f'listen submission {{\n address = "127.0.0.1:{self.port}"\n'
                          f' tls = "{"none" if plain else "starttls"}"\n}}\n')
        self.process = subprocess.Popen([harness.RELAYD, "-c", config], stderr=open(directory / "weir.log", "w"))
        wait_until(lambda: (directory / "control.sock").exists() and mta.answers(self.port), 20, "weir to listen")
        run = lambda *args: subprocess.run([harness.WEIR, "-r", f"unix:{directory}/control.sock", *args], check=True,
                                           stdout=subprocess.DEVNULL)
        run("allow", "add", "127.0.0.0/8", "--note", "bench")
        run("route", "add", "--to", f"smarthost:127.0.0.1:{sink_port}", "--tls", "none" if plain else "opportunistic")
        if not plain:
            run("dkim", "add", DOMAIN, "--algorithm", "rsa", "--selector", "s1")
        self.pids = [self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Postfix:
    def __init__(self, directory, certificate, sink_port, plain, flavour):
        self.name = f"postfix_{flavour}"
        self.milter = None
        directory = directory / self.name
        directory.mkdir()
        directory.chmod(0o755)
        extra = TUNED if flavour == "tuned" else ""
        if not plain:
            port = free_port()
            subprocess.run(["openssl", "genrsa", "-out", directory / "dkim.key", "2048"], check=True, capture_output=True)
            (directory / "dkim.conf").write_text(OPENDKIM.format(domain=DOMAIN, key=directory / "dkim.key", port=port))
            self.milter = subprocess.Popen(["opendkim", "-f", "-x", directory / "dkim.conf"], stderr=open(directory / "milter.log", "w"))
            extra += SECURE.format(milter=port)
        else:
            extra += "smtp_tls_security_level = none\n"
        try:
            self.postfix = mta.Postfix(directory, extra, next_port=sink_port, certificate=None if plain else certificate)
        except AssertionError:
            self.milter.kill()
            raise
        self.port = self.postfix.port
        self.pids = [self.postfix.process.pid] + ([self.milter.pid] if self.milter else [])

    def stop(self):
        self.postfix.stop()
        if self.milter:
            self.milter.terminate()
            self.milter.wait(20)


def measure(args, port, sink_port, certificate, pids, signed):
    """One run: accepted and relayed a second, CPU seconds per thousand."""
    tls = [] if args.p else ["tls"]
    sink = subprocess.Popen([LOAD, "sink", str(sink_port), str(args.n), *([] if args.p else certificate)],
                            stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout.readline() == "ready\n"
        before = cpu_s(pids)
        source = subprocess.run([LOAD, "source", str(port), str(args.n), str(args.s), str(args.l),
                                 *(["keep"] if args.d else []), *tls], capture_output=True, text=True)
        if source.returncode != 0:
            sys.exit(f"the source failed: {source.stderr}")
        began, ended = map(float, source.stdout.split())
        said, _ = sink.communicate(timeout=args.n / 20 + 120)
        last, *counts = said.split()
        time.sleep(0.3)
        after = cpu_s(pids)
    finally:
        sink.kill()
        sink.wait()
    came, secure, with_signature = map(int, counts)
    assert came == args.n, f"{came - args.n} came twice"
    assert secure == (0 if args.p else args.n) and with_signature == (args.n if signed else 0), counts
    return {"accept_per_s": args.n / (ended - began), "e2e_per_s": args.n / (float(last) - began),
            "cpu_s_per_1000": (after - before) * 1000 / args.n}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("-n", 5000), ("-R", 3), ("-s", 20), ("-l", 4096)):
        p.add_argument(option, type=int, default=default)
    p.add_argument("-d", action="store_true")
    p.add_argument("-p", action="store_true")
    p.add_argument("-f", choices=["default", "tuned", "both"], default="both")
    args = p.parse_args()
    if os.geteuid() != 0 or not shutil.which("postfix") or not shutil.which("opendkim") or not LOAD.exists():
        sys.exit("needs root, postfix, opendkim, and load (make deps-full bench-build)")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    directory.chmod(0o755)  # Postfix's processes are not root
    relays, results = [], {}
    try:
        peers.make_authority(directory)
        certificate = [str(f) for f in peers.make_certificate(directory, "bench", "DNS:localhost,IP:127.0.0.1")]
        sinks = {}
        flavours = ["default", "tuned"] if args.f == "both" else [args.f]
        for make in [lambda s: Weir(directory, certificate, s, args.p),
                     *[lambda s, f=f: Postfix(directory, certificate, s, args.p, f) for f in flavours]]:
            sink_port = free_port()
            relays.append(make(sink_port))
            sinks[relays[-1].name] = sink_port
        limit_port = free_port()
        results["limit"] = [measure(args, limit_port, limit_port, certificate, [], False)]
        for round_ in range(1, args.R + 1):
            for r in relays:
                got = measure(args, r.port, sinks[r.name], certificate, r.pids, not args.p)
                results.setdefault(r.name, []).append(got)
                print(f"round {round_}  {r.name:<16} accept {got['accept_per_s']:7.1f}/s  end-to-end "
                      f"{got['e2e_per_s']:7.1f}/s  cpu {got['cpu_s_per_1000']:.3f} s/1000", flush=True)
    finally:
        for r in relays:
            r.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"--- n={args.n} sessions={args.s} bytes={args.l} keepalive={'yes' if args.d else ''} rounds={args.R} "
          f"tls+dkim={'' if args.p else 'yes'}; {os.cpu_count()} cores")
    for name, rounds in results.items():
        for key in rounds[0]:
            print(f"{name}_{key}={statistics.median(r[key] for r in rounds):.6g}")
    for name in [n for n in results if n.startswith("postfix")]:
        for key in results[name][0]:
            ratio = statistics.median(w[key] / o[key] for w, o in zip(results["weir"], results[name]))
            print(f"ratio_weir_vs_{name}_{key}={ratio:.2f}")


main()
