"""Who may call what: every method of the table, tried as stranger, viewer, operator and admin.

The accounts are numbers that nobody has, in groups that every Debian has. What is expected is the table's role and
nothing else, so a method that is added is in here by itself.
"""

import itertools
import json
import shutil
import socket
import subprocess
import sys

import pytest

import harness

ROLES = ["none", "viewer", "operator", "admin"]
GROUPS = {"viewer": "games", "operator": "news", "admin": "backup", "none": "nogroup"}
REFUSALS = 25  # of one account: below what is recorded of it one by one in a minute

# Values that a method would take, by type, and by name where the type says too little.
BY_TYPE = {"string": "matrix", "boolean": True, "integer": 1, "seconds": 60, "time": "2030-01-01T00:00:00Z",
           "filter": "domain:m.example", "target": "domain:m.example", "message id": "0N4XK2M8QF", "network": "192.0.2.0/24",
           "route": "discard", "cursor": "1", "text": "matrix", "strings": ["matrix"], "object": {}}
BY_NAME = {"domain": "m.example", "topic": "status", "address": "192.0.2.1", "id": "r1"}
BY_METHOD = {("route.test", "to"): "anna@m.example", ("message.get", "id"): "0N4XK2M8QF",
             ("message.content", "id"): "0N4XK2M8QF", ("plan.make", "method"): "queue.hold",
             ("plan.make", "params"): {"target": "domain:m.example"}}
# Optional parameters without which a method is less open than its row says.
OPTIONAL = {"message.content": {"part": "headers"}}

# Runs as the account: sends each line of standard input in turn, prints the answer to each.
CLIENT = """
import json, socket, sys
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    return s, s.makefile("rb")
s, f = connect()
for line in sys.stdin.buffer:
    try:
        s.sendall(line)
    except OSError:
        pass
    wanted = json.loads(line)["id"]
    while True:
        try:
            got = f.readline()
        except OSError:
            got = b""
        answer = json.loads(got) if got else {"id": wanted, "end": True}
        if answer.get("id", wanted) == wanted or (answer.get("id") is None and "error" in answer):
            if answer.get("method") != "hello":
                break
    print(json.dumps(answer), flush=True)
    if "end" in answer or answer.get("id") is None:
        s.close()
        s, f = connect()
"""


def table():
    return json.loads(subprocess.run([harness.WEIR, "--dump-tables=json"], capture_output=True, timeout=15).stdout)["methods"]


def value_of(method, param):
    if (method["name"], param["name"]) in BY_METHOD:
        return BY_METHOD[method["name"], param["name"]]
    if param["choices"]:
        return param["choices"].split("|")[0]
    return BY_NAME.get(param["name"], BY_TYPE[param["type"]])


def params_of(method, serial):
    params = {p["name"]: value_of(method, p) for p in method["params"] if p["required"]} | OPTIONAL.get(method["name"], {})
    if method["changes"]:
        params |= {"reason": "matrix", "request": f"matrix-{serial}"}
    return params


class Accounts:
    """A relay with roles by group, and calls of accounts that are in one of them."""

    def __init__(self, directory, world):
        directory.chmod(0o755)
        roles = "".join(f'role {r} {{ groups = {{"{GROUPS[r]}"}} }}\n' for r in ROLES[1:])
        self.relay = harness.Relay(directory, world, extra=roles)
        self.relay.config.write_text(self.relay.config.read_text().replace('"0600"', '"0666"'))
        self.relay.expected += ["ctl.refused .*has no role on this relay", "log.dropped event=ctl.refused"]
        self.relay.start()
        self.weir = shutil.copy(harness.WEIR, directory / "weir")  # the tree may stand where they cannot go
        self.uids = itertools.count(61000)

    def call(self, role, calls, uid=None):
        """Answers to (method, params), in order."""
        lines = [json.dumps({"jsonrpc": "2.0", "id": i, "method": m, "params": p}) for i, (m, p) in enumerate(calls, 1)]
        done = subprocess.run(["setpriv", f"--reuid={uid or next(self.uids)}", f"--regid={GROUPS[role]}", "--clear-groups",
                               sys.executable, "-c", CLIENT, self.relay.socket],
                              input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=120)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(calls), (done.stdout[-500:], done.stderr)
        return answers

    def run(self, role, *args):
        return subprocess.run(["setpriv", f"--reuid={next(self.uids)}", f"--regid={GROUPS[role]}", "--clear-groups",
                               self.weir, "-r", f"unix:{self.relay.socket}", "--json", *args],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)

    def everything(self):
        """All that changes could have changed."""
        verbs = [m["verb"].split() for m in table() if m["verb"] and m["list"] and not m["changes"]
                 and not any(p["required"] for p in m["params"]) and m["name"] != "audit.list"]
        return {" ".join(v): self.relay.weir(*v) for v in verbs}


@pytest.fixture
def accounts(directory, world):
    if subprocess.run(["id", "-u"], capture_output=True, text=True).stdout.strip() != "0":
        pytest.skip("needs root to become other accounts")
    a = Accounts(directory, world)
    yield a
    assert a.relay.stop() == 0
    assert a.relay.bad_log_lines() == []


def name_of(answer):
    return answer.get("error", {}).get("data", {}).get("name")


def batches(calls):
    return [calls[i:i + REFUSALS] for i in range(0, len(calls), REFUSALS)]


@pytest.mark.parametrize("role", ["none", "viewer", "operator"])
def test_what_is_not_allowed_is_refused_and_recorded(accounts, role):
    beyond = [m for m in table() if ROLES.index(m["role"]) > ROLES.index(role)]
    assert beyond or role == "admin"
    before = accounts.everything()
    start = accounts.relay.weir("audit", "--limit", "1")[0]["seq"] if accounts.relay.weir("audit") else 0
    calls = [(m["name"], params_of(m, i)) for i, m in enumerate(beyond)]
    for part in batches(calls):
        for (method, _), answer in zip(part, accounts.call(role, part), strict=True):
            assert "result" not in answer, f"{role} may call {method}: {answer}"
            assert name_of(answer) == "denied", f"{role} {method}: {answer}"
    assert accounts.everything() == before
    rows = [r for r in accounts.relay.weir("audit", "--limit", "1000") if r["seq"] > start]
    if role == "none":  # turned away at the door, before anything is called
        assert rows == []
        return
    assert sorted(r["method"] for r in rows) == sorted(m["name"] for m in beyond if m["changes"])
    for row in rows:
        assert row["result"].startswith("refused: denied") and row["role"] == role and row["reason"] == "matrix"


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_what_is_allowed_is_not_refused(accounts, role):
    allowed = [m for m in table() if ROLES.index(m["role"]) <= ROLES.index(role)]
    calls = [(m["name"], params_of(m, i)) for i, m in enumerate(allowed)]
    for part in batches(calls):
        for (method, params), answer in zip(part, accounts.call(role, part), strict=True):
            assert "result" in answer or name_of(answer) not in (None, "denied"), f"{role} {method} {params}: {answer}"


def test_plans_need_the_role_of_what_they_plan(accounts):
    """Neither made nor carried out by somebody who could not call the method itself, nor by another account."""
    for m in (m for m in table() if m["plan"]):
        made = ("plan.make", {"method": m["name"], "params": {p["name"]: value_of(m, p) for p in m["params"] if p["required"]}})
        for role in ROLES[:-1]:
            answer, = accounts.call(role, [made])
            if ROLES.index(role) < max(ROLES.index(m["role"]), ROLES.index("operator")):
                assert name_of(answer) == "denied", f"{role} plans {m['name']}: {answer}"
            else:
                assert name_of(answer) != "denied", f"{role} plans {m['name']}: {answer}"
    target = {"target": "domain:m.example"}
    answer, = accounts.call("operator", [("plan.make", {"method": "queue.hold", "params": target})], uid=62001)
    plan = {"plan": answer["result"]["plan"], "reason": "matrix", "request": "theft"}
    for role in ("none", "viewer", "operator", "admin"):
        answer, = accounts.call(role, [("plan.commit", plan)], uid=62002)
        assert name_of(answer) == "denied", f"{role} commits another's plan: {answer}"
    assert accounts.relay.weir("holds") == []


def test_bodies_are_not_for_viewers(accounts):
    raw = ("message.content", {"id": "0N4XK2M8QF", "part": "raw"})
    assert name_of(accounts.call("viewer", [raw])[0]) == "denied"
    assert name_of(accounts.call("operator", [raw])[0]) != "denied"


def test_nobody_takes_back_what_he_could_not_do(accounts):
    done, = accounts.call("admin", [("allow.add", {"network": "192.0.2.0/24", "request": "a"})], uid=62003)
    undo = ("action.undo", {"action": done["result"]["action"], "request": "b"})
    for role in ("none", "viewer", "operator"):
        answer, = accounts.call(role, [undo])
        assert name_of(answer) == "denied", f"{role} undoes allow.add: {answer}"
    assert [e["network"] for e in accounts.relay.weir("allow", "list")] == ["192.0.2.0/24"]
    answer, = accounts.call("admin", [undo])
    assert "result" in answer


def test_a_role_ends_with_its_account(accounts):
    """Numbers and names are not mixed up: a group of that number as uid gives nothing."""
    gid = int(subprocess.run(["getent", "group", GROUPS["admin"]], capture_output=True, text=True).stdout.split(":")[2])
    answer, = accounts.call("none", [("status.get", {})], uid=gid)
    assert name_of(answer) == "denied"
    with socket.socket(socket.AF_UNIX) as s:  # the account of the relay is admin
        s.connect(str(accounts.relay.socket))
        assert json.loads(s.makefile("rb").readline())["params"]["role"] == "admin"


def words_of(method):
    words = method["verb"].split()
    for p in (p for p in method["params"] if p["required"]):
        value = value_of(method, p)
        text = ",".join(value) if isinstance(value, list) else str(value)
        text = "-" if p["type"] == "text" or p["name"] == "upload" else text  # files
        words += [text] if p["positional"] else [f"--{p['option']}", text]
    return words + (["--reason", "matrix"] if method["changes"] else []) + (["--yes"] if method["confirm"] else [])


def test_exit_status_of_the_command_line(accounts):
    before = accounts.everything()
    for role in ROLES[:-1]:
        for m in (m for m in table() if m["verb"]):
            may = ROLES.index(m["role"]) <= ROLES.index(role)
            if may and m["changes"]:
                continue  # the table's roles are tried above; here nothing shall happen
            result = accounts.run(role, *words_of(m))
            assert (result.returncode == 4) == (not may), f"{role} weir {' '.join(words_of(m))}: {result}"
            if not may:
                assert result.stdout == "" and "denied" in result.stderr, result
    assert accounts.everything() == before
