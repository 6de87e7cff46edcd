"""The Python client against a configured backbone: TLS, a state directory, admission, a list of nodes."""

from __future__ import annotations

import signal
import ssl
import subprocess
import time
import urllib.error
from collections.abc import Callable, Iterator

import pytest

import certificates
from backbone import RunningBackbone, free_port
from conftest import swift_program
from shadowmesh_peer import keys
from shadowmesh_peer.login import Backbone, Problem

NODE = keys.Identity()


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., RunningBackbone]]:
    started: list[RunningBackbone] = []

    def start(admission: str) -> RunningBackbone:
        files, port = certificates.make(tmp_path), free_port()
        configuration = tmp_path / "backbone.yaml"
        configuration.write_text(f"""\
region: interop
origins: ["https://127.0.0.1:{port}"]
listen: ["127.0.0.1:{port}"]
tls:
  certificate_file: {files.certificate}
  key_file: {files.key}
state_directory: {tmp_path / "state"}
admission:
{admission}
nodes:
  - region: interop
    address: 198.51.100.7:8443
    key_hash: {NODE.key_hash.hex()}
    stun: 198.51.100.7:3478
""")
        started.append(RunningBackbone(
            swift_program("shadowmesh-backbone"), tmp_path, ["--config", str(configuration)],
            f"https://127.0.0.1:{port}", "interop", files.ca))
        return started[-1]

    yield start
    assert [one.close() for one in started] == [0] * len(started), started[0].log


def client(running: RunningBackbone, identity: keys.Identity | None = None) -> Backbone:
    return Backbone(
        running.url, running.region, running.key_hash, identity or keys.Identity(), ca_file=running.ca_file)


def test_login_over_tls_brings_the_signed_list_of_nodes(serve):
    running = serve("  mode: open")
    answer = client(running).log_in()
    port = int(running.url.rpartition(":")[2])
    assert answer["backbone_nodes"] == [
        {"region": "interop", "ip": "127.0.0.1", "port": port, "key_hash": running.key_hash.hex()},
        {"region": "interop", "ip": "198.51.100.7", "port": 8443, "key_hash": NODE.key_hash.hex(),
         "stun": "198.51.100.7:3478"}]


def test_a_certificate_of_an_unknown_authority_is_refused_by_the_client(serve):
    running = serve("  mode: open")
    stranger = Backbone(running.url, running.region, running.key_hash, keys.Identity())
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.log_in()


def test_only_listed_keys_are_admitted(serve):
    listed = keys.Identity()
    running = serve(f"  mode: list\n  keys: [{listed.key_hash.hex()}]")
    client(running, listed).log_in()
    with pytest.raises(Problem) as caught:
        client(running).log_in()
    assert caught.value.name == "login-refused"


def test_an_invite_admits_one_key_once(serve, tmp_path):
    running = serve("  mode: invite")
    command = [running.program, "invite", "--config", str(tmp_path / "backbone.yaml")]
    invite = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    guest, other = client(running), client(running)
    for who, secret in ((guest, None), (other, "0" * len(invite))):
        with pytest.raises(Problem) as caught:
            who.log_in(secret)
        assert caught.value.name == "login-refused"
    guest.log_in(invite)
    with pytest.raises(Problem) as caught:
        other.log_in(invite)
    assert caught.value.name == "login-refused"
    guest.log_in()


def shown(running: RunningBackbone) -> str:
    return ssl.get_server_certificate(("127.0.0.1", int(running.url.rsplit(":", 1)[1])), timeout=10)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_certificate_is_read_again_on_sighup_and_a_broken_one_leaves_the_one_before(serve, tmp_path):
    running = serve("  mode: open")
    first = shown(running)
    files = certificates.make(tmp_path)
    assert shown(running) == first
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: shown(running) != first)
    second = shown(running)
    assert client(running).log_in()["session_token"]
    files.certificate.write_text("half a file")
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the certificate before stays" in running.log)
    assert f"{files.certificate}: holds no certificate in PEM" in running.log
    assert shown(running) == second
    assert client(running).log_in()["session_token"]
