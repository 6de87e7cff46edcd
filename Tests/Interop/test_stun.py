"""STUN against Debian's coturn, both ways: its server asked by the node's detection, and ours by its clients."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from backbone import RunningBackbone, free_port
from conftest import swift_program

pytestmark = pytest.mark.skipif(
    shutil.which("turnserver") is None, reason="coturn is not installed: scripts/bootstrap installs it")

ADDRESSES = ("127.0.0.1", "127.0.0.2")


def free_udp_port() -> int:
    """A port that no UDP socket has at either address."""
    for _ in range(50):
        with ExitStack() as sockets:
            first = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            first.bind((ADDRESSES[0], 0))
            port = first.getsockname()[1]
            second = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                second.bind((ADDRESSES[1], port))
                return port
            except OSError:
                continue
    raise AssertionError("no free UDP port")


def waits_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def answers(port: int) -> bool:
    """Whether a STUN server is there: a Binding request of 20 bytes gets an answer with the same transaction."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        request = bytes.fromhex("000100002112a442") + bytes(range(12))
        try:
            client.sendto(request, (ADDRESSES[0], port))
            return client.recv(600)[4:20] == request[4:20]
        except OSError:
            return False


@pytest.fixture
def coturn(tmp_path) -> Iterator[tuple[int, int]]:
    """coturn's server as RFC 5780 wants it: two addresses, two ports."""
    first, second = free_udp_port(), free_udp_port()
    listeners = [argument for address in ADDRESSES for argument in ("-L", address)]
    with open(tmp_path / "turnserver.log", "w") as log:
        server = subprocess.Popen(
            ["turnserver", "-n", "--no-tls", "--no-dtls", "--no-cli", "--stun-only", *listeners, "-p", str(first),
             "--alt-listening-port", str(second), "--log-file", "stdout", "--pidfile", str(tmp_path / "pid"),
             "--db", str(tmp_path / "turndb")],
            stdout=log, stderr=log, cwd=tmp_path)
    try:
        assert waits_for(lambda: answers(first)), (tmp_path / "turnserver.log").read_text()
        yield first, second
    finally:
        server.terminate()
        server.wait(10)


def found(node, count: int = 1) -> list[str]:
    assert waits_for(lambda: len(node.seen("nat")) >= count), "the detection did not end"
    return node.seen("nat")[count - 1].split()[1:]


def test_the_node_asks_coturn(swift, coturn):
    node = swift("node")
    node.tell("netcheck", f"{ADDRESSES[0]}:{coturn[0]}")
    # The filter's tests take coturn's word that it answered from its other address, and the node that it did.
    assert found(node) == ["1", f"127.0.0.1:{node.address[1]}", "none", "endpointIndependent"]


def test_a_coturn_with_one_address_tells_where_and_no_more(swift, tmp_path):
    port = free_udp_port()
    server = subprocess.Popen(
        ["turnserver", "-n", "--no-tls", "--no-dtls", "--no-cli", "--stun-only", "-L", ADDRESSES[0], "-p", str(port),
         "--no-rfc5780", "--log-file", str(tmp_path / "log"), "--pidfile", str(tmp_path / "pid"),
         "--db", str(tmp_path / "turndb")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        assert waits_for(lambda: answers(port))
        node = swift("node")
        node.tell("netcheck", f"{ADDRESSES[0]}:{port}")
        assert found(node) == ["1", f"127.0.0.1:{node.address[1]}", "none", "unknown"]
    finally:
        server.terminate()
        server.wait(10)


def test_a_server_that_is_gone_is_no_server(swift):
    node = swift("node")
    node.tell("netcheck", f"{ADDRESSES[0]}:{free_udp_port()}")
    assert found(node) == ["0", "-", "unknown", "unknown"]


def run(*command: str, seconds: float = 60) -> str:
    """What a program prints until it ends, or until its time is up."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False).stdout
    except subprocess.TimeoutExpired as expired:
        return (expired.stdout or b"").decode()


def test_a_public_node_tells_coturns_client_where_it_is(swift):
    node = swift("node")
    shown = run("turnutils_stunclient", "-p", str(node.address[1]), ADDRESSES[0])
    assert re.search(r"UDP reflexive addr: 127\.0\.0\.1:\d+", shown), shown
    assert "Other addr" not in shown


@pytest.fixture
def stun_backbone(tmp_path) -> Iterator[int]:
    """A backbone with a STUN server on two addresses and two ports; gives the first port."""
    port, first, second = free_port(), free_udp_port(), free_udp_port()
    configuration = tmp_path / "backbone.yaml"
    configuration.write_text(f"""\
region: interop
origins: ["http://127.0.0.1:{port}"]
listen: ["127.0.0.1:{port}"]
allow_plain_http: true
state_directory: {tmp_path / "state"}
admission:
  mode: open
stun:
  addresses: [{", ".join(ADDRESSES)}]
  ports: [{first}, {second}]
""")
    running = RunningBackbone(
        swift_program("shadowmesh-backbone"), tmp_path, ["--config", str(configuration)],
        f"http://127.0.0.1:{port}", "interop")
    try:
        assert waits_for(lambda: answers(first)), running.log
        yield first
    finally:
        assert running.close() == 0


def test_coturns_client_asks_the_backbone(stun_backbone):
    # Once it knows of another address it asks for an answer at another port of its own (RESPONSE-PORT), which
    # the server refuses (docs/nat-traversal.md), and waits for that.
    shown = run("turnutils_stunclient", "-p", str(stun_backbone), ADDRESSES[0], seconds=3)
    assert f"Response origin: : {ADDRESSES[0]}:{stun_backbone}" in shown, shown
    assert re.search(rf"Other addr: : {re.escape(ADDRESSES[1])}:\d+", shown), shown
    assert "UDP reflexive addr" in shown, shown


def test_coturn_discovers_behaviour_with_the_backbone(stun_backbone):
    shown = run("turnutils_natdiscovery", "-m", "-f", "-p", str(stun_backbone), "-L", ADDRESSES[0], ADDRESSES[0])
    assert "No NAT! (Endpoint Independent Mapping)" in shown, shown
    assert "NAT with Endpoint Independent Filtering!" in shown, shown


def test_the_node_asks_the_backbone(swift, stun_backbone):
    node = swift("node")
    node.tell("netcheck", f"{ADDRESSES[0]}:{stun_backbone}")
    assert found(node) == ["1", f"127.0.0.1:{node.address[1]}", "none", "endpointIndependent"]
