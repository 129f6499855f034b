"""The allowlist: who may relay, who may authenticate, what is worth knowing about its entries."""

import smtplib

import pytest

import test_cred
from harness import SENDER, WeirError, letter, wait_until
from test_cred import client, deliver, door  # noqa: F401 (a fixture)


def entries(relay):
    return {row["network"]: row for row in relay.weir("allow", "list")}


def relays(relay):
    """Whether a client of this machine may relay without authentication."""
    with relay.smtp() as s:
        s.ehlo()
        s.mail(SENDER)
        return s.rcpt("anna@fast.example")[0] == 250


def test_only_these_may_authenticate(door):
    """With an entry of this mode the list says who may; the most specific entry decides about relaying, too."""
    relay = door
    secret = relay.weir("cred", "add", "shop")["secret"]
    with client(relay, "shop", secret) as s:
        assert deliver(s) == 250
        made = relay.weir("allow", "add", "192.0.2.0/24", "--mode", "authenticate", "--note", "the office")
        assert any("shop from 127.0.0.1" in w for w in made["warnings"]), made
        assert deliver(s) == 421, "the session that is open, too"
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        test_cred.client(relay, "shop", secret).__enter__()
    assert e.value.smtp_code == 554
    said = relay.weir("allow", "test", "127.0.0.1")
    assert (said["may_relay"], said["may_authenticate"], said["network"]) == (False, False, None), said
    assert relay.weir("allow", "test", "192.0.2.9")["may_authenticate"]
    relay.weir("allow", "add", "127.0.0.0/8")
    with client(relay, "shop", secret) as s:
        assert deliver(s) == 250
    assert relays(relay)
    made = relay.weir("allow", "add", "127.0.0.1", "--mode", "authenticate")
    assert "takes this out of 127.0.0.0/8" in made["warnings"][0]
    assert not relays(relay)
    with client(relay, "shop", secret) as s:
        assert deliver(s) == 250
    said = relay.weir("allow", "test", "127.0.0.1")
    assert not said["may_relay"] and said["may_authenticate"] and said["network"] == "127.0.0.1", said
    relay.weir("undo", made["action"])
    assert relays(relay)


def test_what_is_worth_knowing(relay):
    assert entries(relay)["127.0.0.0/8"]["notices"] == []
    made = relay.weir("allow", "add", "127.0.3.0/24", "--for", "1h", "--note", "a part")
    assert "127.0.0.0/8 is on the list already and has all of it" in made["warnings"][0]
    made = relay.weir("allow", "add", "8.0.0.0/7")
    assert "large part of the public Internet" in made["warnings"][0]
    made = relay.weir("allow", "add", "126.0.0.0/7")
    assert any("2 other entries" in w for w in made["warnings"])
    rows = entries(relay)
    assert "has all of it" in rows["127.0.3.0/24"]["notices"][0] and rows["127.0.3.0/24"]["expires_at"]
    assert "large part" in rows["8.0.0.0/7"]["notices"][0]
    assert [w for w in rows["127.0.0.0/8"]["notices"] if "126.0.0.0/7" in w]
    assert {r["mode"] for r in rows.values()} == {"relay"}
    out = relay.run("allow", "list", json_output=False).stdout
    assert "8.0.0.0/7: this is a large part of the public Internet" in out, out
    for wrong, param in [(["0.0.0.0/0"], "network"), (["127.0.0.0/8"], "network"), (["10.0.0.0/8", "--mode", "both"], "mode"),
                         (["10.0.0.0/8", "--stream", "nosuch"], "stream"),
                         (["10.0.0.0/8", "--mode", "authenticate", "--stream", "default"], "stream")]:
        with pytest.raises(WeirError) as e:
            relay.weir("allow", "add", *wrong)
        assert e.value.error["param"] == param, e.value.error
    # authenticating from everywhere opens nothing
    relay.weir("allow", "add", "0.0.0.0/0", "--mode", "authenticate")


def test_ends_by_itself(relay):
    relay.weir("allow", "remove", "127.0.0.0/8")
    relay.weir("allow", "add", "127.0.0.0/8", "--for", "2s")
    assert relays(relay)
    wait_until(lambda: not entries(relay), what="the entry to end")
    assert not relays(relay)


def test_streams_of_networks_and_credentials(door):
    """A network's mail without authentication has its stream; a credential may be bound to streams, by their names."""
    relay = door
    relay.weir("hold", "domain:fast.example", "--reason", "look")
    relay.weir("stream", "add", "news", "--match", "from:news@*")
    relay.weir("stream", "add", "office", "--match", "from:nobody@nowhere.example")
    relay.weir("allow", "add", "127.0.0.0/8", "--stream", "office")
    relay.send("anna@fast.example")
    row, = relay.recipients()
    assert row["stream"] == "office"
    secret = relay.weir("cred", "add", "shop", "--streams", "news")["secret"]
    assert test_cred.show(relay)["streams"] == ["news"]
    with client(relay, "shop", secret) as s:
        assert deliver(s, sender="news@shop.example") == 250
        s.mail(SENDER)
        s.rcpt("anna@fast.example")
        code, text = s.data(letter(SENDER, "anna@fast.example"))
        assert code == 550 and b"stream default" in text, (code, text)
    user, = test_cred.show(relay)["users"]
    assert user["stream"] == "news" and user["messages"] == 1
    with pytest.raises(WeirError) as e:
        relay.weir("cred", "set", "shop", "--streams", "nosuch")
    assert e.value.error["param"] == "streams"


def test_an_entry_is_changed(bare_relay):
    relay = bare_relay
    relay.weir("allow", "add", "10.0.0.0/8", "--note", "office", "--for", "1h")
    relay.weir("stream", "add", "tx")

    def entry():
        e, = relay.weir("allow", "list")
        return e["mode"], e.get("stream"), e["note"], e["expires_at"]
    ends = entry()[3]
    done = relay.weir("allow", "set", "10.0.0.0/8", "--stream", "tx", "--note", "the office")
    assert entry() == ("relay", "tx", "the office", ends)
    relay.weir("undo", done["action"])
    assert entry() == ("relay", None, "office", ends)
    assert relay.weir("allow", "set", "10.0.0.0/8", "--for", "0", "--plan")["changes"][0]["op"] == "~"
    relay.weir("allow", "set", "10.0.0.0/8", "--for", "0", "--note", "")
    assert entry()[2:] == (None, None)
    warned = relay.weir("allow", "set", "10.0.0.0/8", "--mode", "authenticate")
    assert any("only clients in networks of this list" in w for w in warned["warnings"])
    for args, words in ((["10.0.0.0/16"], "it is a part of 10.0.0.0/8"), (["10.0.0.0/8", "--stream", "tx"], "a stream is for"),
                        (["10.0.0.0/8", "--mode", "relay", "--stream", "none"], "there is no stream none")):
        with pytest.raises(WeirError) as e:
            relay.weir("allow", "set", *args)
        assert words in e.value.error["message"]
    relay.weir("allow", "add", "0.0.0.0/0", "--mode", "authenticate")
    with pytest.raises(WeirError) as e:
        relay.weir("allow", "set", "0.0.0.0/0", "--mode", "relay")
    assert "everybody in the Internet" in e.value.error["message"]
