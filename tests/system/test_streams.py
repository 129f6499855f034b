"""Streams: which mail belongs to them, what they demand, and what they change, through SMTP and the command line."""

import pytest

from harness import SENDER, WeirError, letter, wait_until

ONE_CLICK = ("List-Unsubscribe: <mailto:u@shop.example>,\r\n\t<https://shop.example/u/1>\r\n"
             "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")


def add(relay, name, *options):
    return relay.weir("stream", "add", name, *options)


def data(relay, *to, sender=SENDER, headers=""):
    """The reply to DATA."""
    with relay.smtp() as s:
        s.ehlo()
        assert s.mail(sender)[0] == 250
        for rcpt in to:
            assert s.rcpt(rcpt)[0] == 250
        code, text = s.data(letter(sender, to[0], headers=headers))
    return code, text.decode()


def held(relay, *streams):
    for name in streams:
        relay.weir("hold", f"stream:{name}", "--reason", "to be looked at")


def stream_of(relay, to):
    return relay.wait_state(to, "held")["stream"]


def refused(relay, *args, code="invalid", param=None):
    with pytest.raises(WeirError) as e:
        relay.weir(*args)
    assert e.value.error["code"] == code, e.value.error
    if param:
        assert e.value.error["param"] == param, e.value.error
    return e.value.error["message"]


def test_a_new_relay_has_one(relay):
    rows = relay.weir("stream", "list")
    assert [r["id"] for r in rows] == ["default"]
    assert rows[0]["match"] == "" and rows[0]["lifetime_s"] is None
    refused(relay, "stream", "remove", "default", "--reason", "x", code="state", param="name")
    refused(relay, "stream", "set", "default", "--match", "from:a@b.example", "--reason", "x", param="match")
    done = relay.weir("stream", "set", "default", "--lifetime", "2d", "--reason", "shorter")
    assert relay.weir("stream", "show", "default")["lifetime_s"] == 172800
    relay.restart()
    assert relay.weir("stream", "show", "default")["lifetime_s"] == 172800
    relay.weir("undo", done["action"])
    assert relay.weir("stream", "show", "default")["lifetime_s"] is None


def test_rules_assign_in_order(relay):
    add(relay, "bulk", "--match", "sender-domain:news.example")
    add(relay, "listed", "--header", "List-Unsubscribe,X-Stream: list*")
    add(relay, "vip", "--match", "to:*@vip.example or domain:gold.example", "--before", "bulk")
    add(relay, "large", "--match", "size>20K")
    assert [r["id"] for r in relay.weir("stream", "list")] == ["vip", "bulk", "listed", "large", "default"]
    held(relay, "vip", "bulk", "listed", "large", "default")
    expected = {}

    def send(to, stream, *more, **kwargs):
        assert data(relay, to, *more, **kwargs)[0] == 250
        expected[to] = stream

    send("a@fast.example", "default")
    send("b@fast.example", "bulk", sender="n@news.example")
    send("c@vip.example", "vip", sender="n@news.example")
    send("d@fast.example", "listed", headers="List-Unsubscribe: <mailto:x@y.example>\r\n")
    send("e@fast.example", "listed", headers="x-stream:  List-\r\n  of-things\r\n")
    send("f@fast.example", "default", headers="X-Stream: none\r\n")
    send("g@fast.example", "vip", "h@gold.example")  # one recipient that matches is enough
    expected["h@gold.example"] = "vip"
    assert relay.send("i@fast.example", body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 400)
    expected["i@fast.example"] = "large"
    assert {to: stream_of(relay, to) for to in expected} == expected
    assert {r["stream"]: r["total"] for r in relay.weir("queue", "--by", "stream")} == \
        {"vip": 3, "bulk": 1, "listed": 2, "large": 1, "default": 2}
    # What is queued stays what it is.
    add(relay, "all", "--before", "vip")
    relay.weir("stream", "remove", "bulk", "--reason", "gone")
    assert {to: stream_of(relay, to) for to in expected} == expected
    assert "bulk" in relay.weir("why", "stream:bulk")["text"]
    assert relay.weir("why", "stream:bulk")["binding"] == "held"
    relay.restart()
    assert stream_of(relay, "b@fast.example") == "bulk"
    assert [r["id"] for r in relay.weir("stream", "list")] == ["all", "vip", "listed", "large", "default"]


def test_wrong_rules_are_refused_where_they_are_wrong(relay):
    refused(relay, "stream", "add", "b c", param="name")
    refused(relay, "stream", "add", "x" * 41, param="name")
    assert "provider" in refused(relay, "stream", "add", "b", "--match", "provider:google.com", param="match")
    refused(relay, "stream", "add", "b", "--match", "state:ready", param="match")
    refused(relay, "stream", "add", "b", "--header", "a b: c", param="headers")
    refused(relay, "stream", "add", "b", "--before", "nobody", code="unknown", param="before")
    refused(relay, "stream", "add", "default", code="exists", param="name")
    refused(relay, "stream", "show", "nobody", code="unknown", param="name")
    add(relay, "B")
    refused(relay, "stream", "add", "b", code="exists", param="name")
    refused(relay, "stream", "set", "b", "--reset", "colour", "--reason", "x", param="reset")
    refused(relay, "stream", "move", "b", "--before", "b", "--reason", "x", param="before")
    refused(relay, "stream", "set", "b", "--note", "x", code="no-reason")
    assert [r["id"] for r in relay.weir("stream", "list")] == ["b", "default"]


def test_every_change_can_be_undone(relay):
    added = add(relay, "news", "--match", "from:n@news.example", "--lifetime", "1h", "--note", "letters")
    before = relay.weir("stream", "list")
    changed = relay.weir("stream", "set", "news", "--match", "", "--reset", "lifetime", "--reason", "all of it")
    row = relay.weir("stream", "show", "news")
    assert (row["match"], row["lifetime_s"], row["note"]) == ("", None, "letters")
    relay.weir("undo", changed["action"])
    assert relay.weir("stream", "list") == before
    add(relay, "other")
    moved = relay.weir("stream", "move", "other", "--before", "news", "--reason", "first")
    assert [r["id"] for r in relay.weir("stream", "list")] == ["other", "news", "default"]
    relay.weir("undo", moved["action"])
    assert [r["id"] for r in relay.weir("stream", "list")] == ["news", "other", "default"]
    removed = relay.weir("stream", "remove", "news", "--reason", "over")
    relay.weir("undo", removed["action"])
    assert [r["id"] for r in relay.weir("stream", "list")] == ["news", "other", "default"]
    relay.weir("undo", added["action"])
    assert [r["id"] for r in relay.weir("stream", "list")] == ["other", "default"]


def test_required_headers(relay):
    add(relay, "marketing", "--match", "sender-domain:news.example", "--require", "one-click,List-Id")
    held(relay, "marketing")

    def submit(headers):
        return data(relay, "a@fast.example", sender="n@news.example", headers=headers)

    code, text = submit("")
    assert code == 550 and text.startswith("5.7.1 ") and "List-Unsubscribe " in text and "8058" in text
    code, text = submit("List-Unsubscribe: <https://news.example/u>\r\n")
    assert code == 550 and "List-Unsubscribe-Post" in text
    code, text = submit("List-Unsubscribe: <mailto:u@news.example>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    assert code == 550 and "https" in text
    code, text = submit(ONE_CLICK)
    assert code == 550 and "List-Id" in text
    assert submit(ONE_CLICK + "List-Id: <n.news.example>\r\n")[0] == 250
    assert relay.queued()["messages"] == 1
    assert data(relay, "b@fast.example")[0] == 250  # other streams do not ask


def test_test_says_what_would_happen(relay):
    add(relay, "marketing", "--match", "sender-domain:news.example", "--header", "List-Unsubscribe",
        "--require", "one-click", "--lifetime", "1d")
    route = relay.weir("route", "add", "--to", "reject", "--match", "stream:marketing domain:slow.example")

    def test(*args):
        return relay.weir("stream", "test", *args)

    got = test("--to", "a@fast.example", "--from", "x@shop.example")
    assert got["stream"] == "default" and got["route"] == "default" and got["host"]
    got = test("--to", "a@fast.example", "--from", "n@news.example")
    assert got["stream"] is None and "--header" in got["text"]
    got = test("--to", "a@fast.example", "--from", "n@news.example", "--header", "List-Unsubscribe: <mailto:a@b.example>, <x:y>")
    assert got["stream"] == "marketing" and "https" in got["refused"] and got["lifetime_s"] == 86400
    got = test("--to", "a@slow.example", "--from", "n@news.example", "--header", "List-Unsubscribe: <https://b.example>",
               "--header", "List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    assert got["stream"] == "marketing" and got["refused"] is None
    assert got["to"] == "reject" and got["route"] in got["text"] and got["host"] is None
    got = test("--to", "a@slow.example", "--from", "n@news.example", "--header", "")
    assert got["stream"] == "default" and got["to"] == "mx"
    # And that is what happens.
    assert data(relay, "a@slow.example", sender="n@news.example", headers=ONE_CLICK)[0] == 250
    relay.wait_event("a@slow.example", "failed")
    assert relay.events("a@slow.example", "failed")[0]["stream"] == "marketing"
    # A stream that the envelope decides is known at RCPT.
    relay.weir("stream", "set", "marketing", "--header", "", "--reason", "by domain alone")
    with relay.smtp() as s:
        s.ehlo()
        s.mail("n@news.example")
        assert s.rcpt("b@slow.example")[0] == 550
        assert s.rcpt("b@fast.example")[0] == 250
    relay.weir("undo", route["action"])


def test_lifetime(relay, world):
    world.set("slow.example", "defer")
    add(relay, "short", "--match", "domain:slow.example", "--lifetime", "1m")
    add(relay, "late", "--match", "sender-domain:late.example", "--lifetime", "10d")
    held(relay, "short", "late")
    assert data(relay, "a@slow.example")[0] == 250
    assert data(relay, "b@fast.example", sender="x@late.example")[0] == 250
    ids = {relay.wait_state(to, "held")["id"]: s for to, s in (("a@slow.example", 60), ("b@fast.example", 864000))}
    for i, lifetime in ids.items():
        m = relay.weir("show", i)
        assert m["stream"] in ("short", "late")
        assert lifetime == expires(m), m


def expires(m):
    from datetime import datetime
    return round((datetime.fromisoformat(m["expires_at"].replace("Z", "+00:00")) -
                  datetime.fromisoformat(m["received_at"].replace("Z", "+00:00"))).total_seconds())


# --- what they change about delivery ------------------------------------------------------------

def submit(relay, n, to, sender=SENDER):
    with relay.smtp() as s:
        for k in range(n):
            s.sendmail(sender, [to.format(k)], letter(sender, to.format(k)))


def delivered(relay, stream):
    return len(relay.weir("events", "--limit", "1000", "--where", f"state:delivered stream:{stream}"))


def test_a_flood_does_not_delay_what_is_urgent(relay, world):
    delay = 0.2
    world.set("slow.example", "slow", delay=int(delay * 1000))
    add(relay, "flood", "--match", "sender-domain:news.example", "--priority", "2")
    add(relay, "urgent", "--match", "sender-domain:bank.example", "--priority", "9")

    def urgent(to):
        assert data(relay, to, sender="a@bank.example")[0] == 250
        return relay.wait_event(to, "delivered")

    alone = urgent("alone@slow.example")["duration_ms"] / 1000  # with its connection
    submit(relay, 600, "f{}@slow.example", "n@news.example")
    hop = wait_until(lambda: [r for r in relay.weir("queue") if r["active"] == 20], 20, "all connections to be taken")
    assert hop[0]["ready"] > 100
    before = delivered(relay, "flood")
    e = urgent("busy@slow.example")
    waited = seconds(e["at"]) - seconds(relay.weir("show", e["id"])["received_at"])
    # One message's time on a connection, then its own.
    assert waited <= 2 * alone + 0.3, (waited, alone)
    assert relay.weir("queue")[0]["ready"] > 50 and delivered(relay, "flood") - before < 60
    relay.weir("delete", "stream:flood", "--reason", "enough", "--yes")


def seconds(at):
    from datetime import datetime
    return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def test_rate(relay, world):
    add(relay, "slowly", "--match", "sender-domain:news.example", "--rate", "6")
    submit(relay, 5, "a{}@fast.example", "n@news.example")
    wait_until(lambda: delivered(relay, "slowly") == 1, 10, "the first one")
    assert data(relay, "other@fast.example")[0] == 250
    relay.wait_event("other@fast.example", "delivered")  # not concerned
    why = relay.weir("why", "stream:slowly")
    assert (why["binding"], why["rule"], why["limit"]) == ("rate", "slowly", 6), why
    assert "6 messages a minute" in why["text"] and why["until_at"]
    row = relay.recipients("stream:slowly")[0]
    assert relay.weir("why", row["id"])["binding"] == "rate"
    assert delivered(relay, "slowly") == 1
    relay.weir("stream", "set", "slowly", "--rate", "600", "--reason", "faster")
    wait_until(lambda: delivered(relay, "slowly") == 5, 10, "the others")
    submit(relay, 40, "b{}@fast.example", "n@news.example")
    wait_until(lambda: delivered(relay, "slowly") == 45, 15, "all of them")
    at = sorted(seconds(e["at"]) for e in relay.weir("events", "--limit", "1000", "--where", "state:delivered to:b*"))
    assert at[-1] - at[0] > 2.5, at  # a burst of a second's worth, and then ten a second


def test_concurrency(relay, world):
    world.set("slow.example", "slow", delay=150)
    add(relay, "few", "--match", "sender-domain:news.example", "--concurrency", "2")
    submit(relay, 8, "a{}@slow.example", "n@news.example")

    def bound():
        why = relay.weir("why", "stream:few")
        return why if why["binding"] == "concurrency" else None
    why = wait_until(bound, 10, "the cap to bind")
    assert (why["rule"], why["current"], why["limit"]) == ("few", 2, 2), why
    wait_until(lambda: delivered(relay, "few") == 8, 20, "all of them")
    assert world.stats("slow.example")["max_connections"] <= 2


def test_tls_demanded_by_a_stream(relay, world):
    relay.expected.append("smtpout")
    add(relay, "secret", "--match", "sender-domain:bank.example", "--tls", "required")
    assert data(relay, "a@fast.example", sender="x@bank.example")[0] == 250
    assert data(relay, "b@fast.example")[0] == 250
    relay.wait_event("b@fast.example", "delivered")
    row = relay.wait_state("a@fast.example", "deferred")
    assert "STARTTLS" in row["last_reply"] and row["class"] == "tls", row
    relay.weir("stream", "set", "secret", "--tls", "opportunistic", "--reason", "not so secret")
    relay.weir("retry", "domain:fast.example")
    relay.wait_event("a@fast.example", "delivered")


def test_retry_schedule(relay, world):
    world.set("slow.example", "reply", text="451 4.3.2 later")
    add(relay, "patient", "--match", "sender-domain:news.example", "--retry", "2h,4h", "--priority", "3")
    assert data(relay, "a@slow.example", sender="n@news.example")[0] == 250
    assert data(relay, "b@slow.example")[0] == 250
    assert 5700 < relay.wait_state("a@slow.example", "deferred")["next_attempt_s"] < 8700
    assert relay.wait_state("b@slow.example", "deferred")["next_attempt_s"] < 75
    relay.restart()
    relay.weir("retry", "to:a@slow.example")
    wait_until(lambda: relay.row("a@slow.example")["attempts"] == 2, 10, "the second attempt")
    assert 11400 < relay.row("a@slow.example")["next_attempt_s"] < 17400
