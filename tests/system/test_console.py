"""The console on a real relay, in a terminal of its own: lines of the command line, and who edits at the same time."""

import os
import shutil

import pytest

import harness
import remote
from harness import wait_until

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@pytest.fixture
def console(bare_relay, directory):
    c = remote.Console(directory, [harness.WEIR, "-r", f"unix:{bare_relay.socket}"], os.environ, cols=120, rows=40)
    c.expect("admin")
    yield c
    c.end()


def line(console, text):
    console.keys(":")
    console.expect("action, screen or command")
    console.keys("-l", text)
    console.keys("Enter")


def test_lines_are_those_of_the_command_line(bare_relay, console):
    line(console, "weir hold --where 'from:news@* size>1000' --reason 'too many' --for 2h --yes")
    held = wait_until(lambda: bare_relay.weir("holds"))
    assert (held[0]["target"], held[0]["reason"]) == ("from:news@* size>1000", "too many")
    line(console, "hold domain:a.example --json")
    console.expect("in a shell, weir hold")
    console.keys("Escape")
    assert len(bare_relay.weir("holds")) == 1


def edit_note(console, note, added):
    """The form of the entry in view, with something behind its note."""
    console.expect(note)
    console.keys("E")
    console.expect("Allow set")
    console.keys("Down", "Down", "Down")
    console.expect("Who or what it is")
    console.keys("-l", added)
    console.expect(note + added)


def test_who_was_faster_is_not_overwritten(bare_relay, console):
    """A form is filled from what was there; what somebody else changed meanwhile stays."""
    bare_relay.weir("allow", "add", "10.0.0.0/8", "--note", "office")
    line(console, "allow list")
    edit_note(console, "office", "!")
    bare_relay.weir("allow", "set", "10.0.0.0/8", "--note", "their own", "--mode", "authenticate")
    console.keys("Enter", "Enter", "Enter", "Enter", "Enter")
    console.expect("was changed by")
    assert [(e["note"], e["mode"]) for e in bare_relay.weir("allow", "list")] == [("their own", "authenticate")]
    console.keys("Escape")
    console.gone("Allow set")
    edit_note(console, "their own", "!")
    console.keys("Enter", "Enter", "Enter", "Enter", "Enter")
    console.expect("Commit")
    console.keys("Tab", "Tab", "Enter")
    wait_until(lambda: bare_relay.weir("allow", "list")[0]["note"] == "their own!")
    assert bare_relay.weir("allow", "list")[0]["mode"] == "authenticate"
