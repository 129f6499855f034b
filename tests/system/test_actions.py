"""Changes to their end, and over kill -9: windows and graces that are over, sets that are all or nothing."""

import json
import random
import socket
import subprocess
import threading
import time

import pytest

import conftest
import harness
from harness import WeirError, wait_until

HELD = 'reply at=mail text="451 4.3.2 Later"'
SHORT = 'queue {\n\tundo-window = "3s"\n\tbounce-grace = "2s"\n}\n'


@pytest.fixture
def hasty(directory, world):
    """A relay whose windows are short, with three deferred recipients at fast.example and one at isp.example."""
    conftest.need_relay()
    r = harness.Relay(directory, world, extra=SHORT).start().allow()
    world.do(f"set fast.example {HELD}")
    for to in ("anna@fast.example", "bela@fast.example", "chen@fast.example", "full@isp.example"):
        r.send(to, tag=to)
        r.wait_state(to, "deferred")
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []


class Console:
    """The control socket, one call after the other."""

    def __init__(self, relay):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(relay.socket))
        self.file = self.socket.makefile("rw")
        self.file.readline()

    def call(self, name, **params):
        self.file.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}) + "\n")
        self.file.flush()
        answer = json.loads(self.file.readline())
        assert "error" not in answer, answer
        return answer["result"]


def journal(relay, action):
    return next(r for r in relay.weir("actions") if r["action"] == action)


def test_bounce_reaches_the_sender_after_the_grace(hasty, world):
    done = hasty.weir("bounce", "domain:isp.example", "--reason", "internal: does not pay", "--yes")
    assert world.messages("shop.example") == []
    wait_until(lambda: world.messages("shop.example"))
    report = world.last("shop.example")
    assert "full@isp.example" in report and "Status: 5.3.0" in report and "does not pay" not in report
    assert hasty.wait_event("full@isp.example", "failed")["reply"].startswith("returned to its sender")
    wait_until(lambda: journal(hasty, done["action"])["state"] == "done")
    with pytest.raises(WeirError) as e:
        hasty.weir("undo", done["action"])
    assert e.value.status == 1 and "too late" in e.value.error["message"]


def test_delete_is_final_after_the_window(hasty, world):
    done = hasty.weir("delete", "domain:fast.example", "--reason", "over", "--yes")
    for to in ("anna", "bela", "chen"):
        assert "over" in hasty.wait_event(f"{to}@fast.example", "deleted")["reply"]
    assert hasty.queued()["trash"] == 0
    wait_until(lambda: journal(hasty, done["action"])["state"] == "done")
    hasty.restart()
    assert [r["to"] for r in hasty.recipients()] == ["full@isp.example"]
    assert world.messages("shop.example") == [], "a deletion is not reported"


def test_windows_end_while_the_relay_is_down(hasty, world):
    hasty.weir("delete", "to:anna@*", "--reason", "r", "--yes")
    hasty.weir("bounce", "domain:isp.example", "--reason", "r", "--yes")
    hasty.kill()
    time.sleep(3.5)  # what is waited for is that time passes
    hasty.start()
    hasty.wait_event("anna@fast.example", "deleted")
    hasty.wait_event("full@isp.example", "failed")
    wait_until(lambda: len(world.messages("shop.example")) == 1)


def test_more_plans_than_may_be_open(hasty):
    """One too many is refused, and leaves nothing behind (seen with SAN=1)."""
    console = Console(hasty)
    refused = ""
    for i in range(1000):
        try:
            console.call("plan.make", method="route.add", params={"to": "discard", "match": f"domain:d{i}.example"})
        except AssertionError as e:
            refused = str(e)
            break
    assert "too many plans are open" in refused and i >= 50


def test_commit_of_a_plan_twice_by_request(hasty):
    """The answer got lost: the same request again is answered, also by the relay that was started meanwhile."""
    console = Console(hasty)
    plan = console.call("plan.make", method="queue.delete", params={"target": "domain:fast.example"})
    first = console.call("plan.commit", plan=plan["plan"], reason="r", request="once")
    assert console.call("plan.commit", plan=plan["plan"], reason="r", request="once") == first
    hasty.kill()
    hasty.start()
    assert Console(hasty).call("plan.commit", plan=plan["plan"], reason="r", request="once") == first
    assert hasty.queued()["trash"] == 3


@pytest.mark.kill
def test_kills_leave_all_or_nothing(bare_relay, world):
    """kill -9 while many are deleted and brought back: the set is in the trash as a whole, or not at all."""
    relay = bare_relay.allow()
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    relay.weir("hold", "all", "--reason", "a place to count")
    with relay.smtp() as s:
        for i in range(300):
            s.sendmail(harness.SENDER, [f"u{i}.{k}@d{k}.fast.example" for k in range(10)],
                       harness.letter(harness.SENDER, "u@fast.example"))
    wait_until(lambda: relay.queued()["recipients"] == 3000)
    for turn in range(12):
        command = [harness.WEIR, "-r", f"unix:{relay.socket}", "delete", "domain:d1.fast.example,d2.fast.example",
                   "--reason", "r", "--yes"] if relay.queued()["trash"] == 0 else \
                  [harness.WEIR, "-r", f"unix:{relay.socket}", "undo"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        killer = threading.Timer(chance.uniform(0, 0.06), relay.process.kill)
        killer.start()
        answered = process.wait(20) == 0
        killer.join()
        relay.process.wait()
        relay.start()
        trash = relay.queued()["trash"]
        assert trash in (0, 600), f"turn {turn}"
        if answered:
            assert trash == (600 if "delete" in command else 0), f"turn {turn}: acknowledged and lost"
        wait_until(lambda: relay.queued()["recipients"] == 3000 - trash)
    assert world.messages("fast.example") == []
