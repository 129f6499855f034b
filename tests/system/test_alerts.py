"""What is the matter, by the front door: each with its cause, since when and what to do; nothing when nothing is."""

import harness
import peer as peers
from harness import wait_until


def alerts(relay, kind):
    return [a for a in relay.weir("alerts") if a["kind"] == kind]


def test_calm(relay):
    assert relay.weir("alerts") == [] and relay.weir("status")["alerts"] == 0
    assert relay.run("alerts", json_output=False).stdout == "none\n"


def test_all_sorts(directory, world):
    """A certificate that ends soon, a destination that is down, a credential that ends."""
    peers.make_authority(directory)
    pem, key = peers.make_certificate(directory, "relay", "DNS:relay.test.example", days=5)
    relay = harness.Relay(directory, world, f'tls {{\n certificate = "{pem}"\n key = "{key}"\n}}\n')
    relay.start().allow()
    got = alerts(relay, "certificate")
    assert len(got) == 1 and got[0]["until_at"] and got[0]["severity"] == "bad" and "ends at 20" in got[0]["text"]
    relay.weir("cred", "add", "shop", "--for", "3d")
    got = alerts(relay, "credential-ends")
    assert [a["target"] for a in got] == ["shop"] and got[0]["command"] == "weir cred show shop"
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{harness.free_port()}", "--match", "domain:a.example")
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    got = wait_until(lambda: alerts(relay, "destination"), what="the destination")
    assert got[0]["target"] == "a.example" and got[0]["recipients"] == 1 and "refused" in got[0]["text"]
    assert got[0]["since_at"] and got[0]["class"] == "network"
    assert [a["kind"] for a in relay.weir("alerts")] == ["destination", "certificate", "credential-ends"]
    status = relay.weir("status")
    assert status["alerts"] == 3 and [a["kind"] for a in status["urgent"]] == ["certificate", "credential-ends"]
    text = relay.run("status", json_output=False).stdout
    assert "alerts 3" in text and "credential shop ends at" in text and "weir cred show shop" in text
    relay.weir("hold", "domain:a.example", "--reason", "they know", "--yes")  # somebody is on it
    relay.weir("cred", "revoke", "shop", "--reason", "over")
    wait_until(lambda: [a["kind"] for a in relay.weir("alerts")] == ["certificate"], what="the rest")
    assert relay.stop() == 0


def test_a_pool_at_its_cap(relay):
    relay.weir("pool", "add", "bulk", "--source", "127.0.0.1", "--warmup", "1,2")
    relay.weir("stream", "set", "default", "--pool", "bulk", "--reason", "warm up")
    relay.send("x@fast.example")
    relay.wait_event("x@fast.example", "delivered")
    got = wait_until(lambda: alerts(relay, "pool-cap"), what="the cap")
    assert got[0]["target"] == "bulk" and got[0]["until_at"] and "warm-up cap, 1 from each address on day 1" in got[0]["text"]
    relay.weir("stream", "set", "default", "--pool", "", "--reason", "nothing sends from it any more")
    wait_until(lambda: not alerts(relay, "pool-cap"), what="no cap that keeps nothing back")
