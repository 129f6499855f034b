"""DANE through a resolver that validates (unbound) in front of a signed zone (nsd), as it is in the world."""

import shutil
import subprocess

import pytest

from harness import free_port, wait_until
from test_tls_policy import dane, net  # noqa: F401 (a fixture)

PROGRAMS = ("unbound", "nsd", "ldns-keygen", "ldns-signzone", "ldns-key2ds")
NSD = """\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{dir}"
  database: ""
  pidfile: "{dir}/nsd.pid"
  xfrdfile: "{dir}/nsd.xfrd"
  zonelistfile: "{dir}/nsd.zones"
remote-control:
  control-enable: no
"""
UNBOUND = """\
server:
  interface: 127.0.0.1@{port}
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: "{dir}/unbound.pid"
  use-syslog: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor: "{anchor}"
  domain-insecure: "plain.example"
remote-control:
  control-enable: no
"""


def zone(net, apex):
    lines = [f"{apex}. 300 IN SOA ns.{apex}. hostmaster.{apex}. 1 3600 600 86400 300", f"{apex}. 300 IN NS ns.{apex}.",
             f"ns.{apex}. 300 IN A 127.0.0.1"]
    for (name, kind), values in net.names.table.items():
        if name.endswith(apex):
            lines += [f"{name}. 300 IN {kind} {v}{'.' if kind == 'MX' else ''}" for v in values]
    (net.directory / f"{apex}.zone").write_text("\n".join(lines) + "\n")


def sign(net, apex):
    """Signs the zone; the anchor that a validator needs."""
    def run(*command):
        return subprocess.run(command, cwd=net.directory, check=True, capture_output=True, text=True, timeout=30).stdout
    key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", apex).strip()
    run("ldns-signzone", "-n", "-o", apex, "-f", f"{apex}.signed", f"{apex}.zone", key)
    return run("ldns-key2ds", "-n", "-2", f"{key}.key").strip()


def forge(net, apex, host):
    """Somebody on the way changes the host's TLSA record, and cannot sign it."""
    path = net.directory / f"{apex}.signed"
    lines = path.read_text().splitlines()
    at, = [i for i, line in enumerate(lines) if line.startswith("_") and host in line and "\tTLSA\t" in line]
    lines[at] = lines[at][:-4] + ("1111" if lines[at].endswith("0000") else "0000")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def daemons():
    started = []

    def start(name, *options):
        started.append(subprocess.Popen([name, "-d", "-c", *options], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL))
    yield start
    for p in started:
        p.terminate()
    for p in started:
        p.wait(10)


def test_a_resolver_that_validates(net, daemons):  # noqa: F811
    if not all(shutil.which(p) for p in PROGRAMS):
        pytest.skip("unbound, nsd or ldnsutils is not installed")
    signed, plain = "signed.example", "plain.example"
    good, wrong, forged = dane(net, "good", certificate="self"), dane(net, "wrong", digest="00" * 32), dane(net, "forged")
    for domain in ("none." + signed, plain):
        net.host(f"mx.{domain}", "self")
        net.domain(domain, f"mx.{domain}")
    net.tlsa(f"mx.{plain}", "3 1 1 " + "00" * 32)
    zone(net, signed)
    zone(net, plain)
    anchor = sign(net, signed)
    forge(net, signed, forged[1])
    ports = {"nsd": free_port(), "unbound": free_port()}
    config = NSD.format(port=ports["nsd"], dir=net.directory)
    config += "".join(f"zone:\n  name: {a}\n  zonefile: {a}.{f}\n" for a, f in ((signed, "signed"), (plain, "zone")))
    (net.directory / "nsd.conf").write_text(config)
    config = UNBOUND.format(port=ports["unbound"], dir=net.directory, anchor=anchor)
    config += "".join(f"stub-zone:\n  name: {a}\n  stub-addr: 127.0.0.1@{ports['nsd']}\n" for a in (signed, plain))
    (net.directory / "unbound.conf").write_text(config)
    daemons("nsd", net.directory / "nsd.conf")
    daemons("unbound", net.directory / "unbound.conf")
    net.relay.stop()
    net.relay.config.write_text(net.relay.config.read_text().replace(net.dns, f"127.0.0.1:{ports['unbound']}"))
    net.relay.start()
    wait_until(lambda: net.relay.weir("route", "test", f"anna@{plain}")["next_hops"], 20, "the resolver")

    net.goes(good[0], good[1], "dane")
    net.waits(wrong[0], "certificate that will not do")
    net.waits(forged[0], "is not used", "SERVFAIL")
    net.goes("none." + signed, "mx.none." + signed, "unverified")
    net.goes(plain, "mx." + plain, "unverified")
    assert "no TLSA records" in net.tested("none." + signed)[0][1]
    assert "not signed" in net.tested(plain)[0][1]
