"""Fixtures: a world and a relay for each test, in a directory that stays when the test fails."""

import pathlib
import shutil
import tempfile

import pytest

import harness


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.stash_failed = True


@pytest.fixture
def directory(request):
    # Short, because the paths of UNIX sockets are.
    path = pathlib.Path(tempfile.mkdtemp(prefix="weir-test."))
    yield path
    if getattr(request.node, "stash_failed", False):
        print(f"\nkept: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def world(directory):
    w = harness.World(directory)
    yield w
    assert w.stop() == 0


def need_relay():
    for program in (harness.RELAYD, harness.WEIR):
        if not program.exists():
            pytest.skip(f"{program.name} is not built")


@pytest.fixture
def bare_relay(directory, world):
    """A running relay with nothing allowed."""
    need_relay()
    r = harness.Relay(directory, world)
    r.start()
    yield r
    if r.process is not None and r.process.poll() is None:
        assert r.stop() == 0, f"the relay did not end cleanly:\n{r.log.read_text(errors='replace')[-3000:]}"
    assert r.bad_log_lines() == []
    assert world.protocol_errors() == {}


@pytest.fixture
def relay(bare_relay):
    """A running relay that relays for loopback clients."""
    return bare_relay.allow()
