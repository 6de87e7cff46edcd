"""What a backbone does about floods, forged tokens, odd JSON and a damaged write-ahead log."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbone import RunningBackbone, dev, free_port
from conftest import swift_program
from shadowmesh_peer import keys
from shadowmesh_peer.login import Backbone, Problem
from test_http_faults import JSON, connect, parts, until_closed
from test_login import signed_record


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[RunningBackbone]:
    running = dev(swift_program("shadowmesh-backbone"), tmp_path_factory.mktemp("backbone"))
    yield running
    assert running.close() == 0, running.log


def client_of(running: RunningBackbone) -> Backbone:
    return Backbone(running.url, running.region, running.key_hash, keys.Identity())


def post(running: RunningBackbone, body: bytes) -> tuple[int, str]:
    """Status and the problem's name of a login with these very bytes."""
    with connect(running) as connection:
        head = b"POST /api/auth/verify HTTP/1.1\r\n" + JSON
        connection.sendall(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        status, _, answer = parts(until_closed(connection))
    return status, json.loads(answer)["type"].rsplit(":", 1)[1]


ODD = {
    "nothing": b"", "null": b"null", "a number": b"1", "a list": b"[]", "two documents": b"{}{}",
    "not UTF-8": b'{"peer_id":"\xff\xfe"}', "half": b'{"peer_id":', "NUL": b"\0" * 16,
    "nested arrays": b"[" * 8_000, "nested objects": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    "a number beyond all": b'{"peer_id":1e999999}', "a lone surrogate": b'{"peer_id":"\\ud800"}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_json_is_malformed(running, body):
    assert post(running, body) == (400, "malformed-request")


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_a_field_given_twice_makes_nobody_another_peer(running, first):
    """Whichever of the two counts, the token is the signer's or there is none."""
    client = client_of(running)
    text = json.dumps(client.login_document(client.challenge()))
    other = f'"peer_id": "{os.urandom(20).hex()}"'
    body = f"{{{other}, {text[1:]}" if first else f"{text[:-1]}, {other}}}"
    with connect(running) as connection:
        head = b"POST /api/auth/verify HTTP/1.1\r\nConnection: close\r\n" + JSON
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body.encode())
        status, _, answer = parts(until_closed(connection))
    assert status in (200, 400, 401)
    if status == 200:
        claims = json.loads(answer)["session_token"].split(".")[1]
        read = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert read["sub"] == client.identity.key_hash.hex()


def segment(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_that_was_changed_in_any_part_does_not_count(running):
    client, victim = client_of(running), client_of(running)
    client.log_in()
    head, claims, mac = client.token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(one + "=" * (-len(one) % 4))) for one in (head, claims)]
    forged = [
        f"{head}.{segment(read[1] | {'sub': victim.identity.key_hash.hex()})}.{mac}",
        f"{head}.{segment(read[1] | {'exp': read[1]['exp'] + 1})}.{mac}",
        f"{segment(read[0] | {'alg': 'none'})}.{claims}.",
        f"{segment(read[0] | {'alg': 'HS256'})}.{claims}.{mac}",
        f"{segment(read[0] | {'kid': '0' * 16})}.{claims}.{mac}",
        f"{head}.{claims}.{mac[:-4]}AAAA", f"{head}.{claims}", f".{claims}.{mac}", "", ".." * 3_000,
    ]
    good = client.token
    for client.token in forged:
        with pytest.raises(Problem, match="token-refused"):
            client.look_up(bytes(20))
    client.token = good
    with pytest.raises(Problem, match="peer-not-found"):
        client.look_up(bytes(20))


def configured(directory: Path, extra: str = "") -> RunningBackbone:
    port = free_port()
    file = directory / "backbone.yaml"
    file.write_text(f"""\
region: interop
origins: ["http://127.0.0.1:{port}"]
listen: ["127.0.0.1:{port}"]
state_directory: {directory / "state"}
{extra}""")
    return RunningBackbone(
        swift_program("shadowmesh-backbone"), directory, ["--config", str(file)],
        f"http://127.0.0.1:{port}", "interop")


def names(count: int, call, *arguments) -> list[str]:
    found = []
    for _ in range(count):
        with pytest.raises(Problem) as caught:
            call(*arguments)
        found.append(caught.value.name)
    return found


def test_logins_of_one_prefix_wait_before_anything_is_checked(tmp_path):
    running = configured(tmp_path, "limits: {logins_per_minute: 4}\n")
    try:
        found = names(7, client_of(running).verify, {"not": "a login"})
        assert found[:4] == ["malformed-request"] * 4 and found[-1] == "rate-limited"
    finally:
        assert running.close() == 0, running.log


def test_bad_tokens_of_one_prefix_wait_and_good_ones_and_logins_do_not(tmp_path):
    running = configured(tmp_path, "limits: {logins_per_minute: 6}\n")
    try:
        good, bad = client_of(running), client_of(running)
        good.log_in()
        bad.token = "forged"
        found = names(250, bad.look_up, bytes(20))
        assert found[0] == "token-refused" and "rate-limited" in found
        assert names(3, good.look_up, bytes(20)) == ["peer-not-found"] * 3
        client_of(running).log_in()
    finally:
        assert running.close() == 0, running.log


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.9])
def test_records_survive_a_kill_and_a_half_written_log(tmp_path, cut):
    """After SIGKILL the write-ahead log is cut short: what was whole in it is there, and it starts anyway."""
    running = configured(tmp_path)
    client = client_of(running)
    client.log_in()
    record = signed_record(client.identity, 1, region="interop")
    client.publish(record)
    running.process.send_signal(signal.SIGKILL)
    running.process.wait(10)
    state = tmp_path / "state"
    whole = tmp_path / "whole"
    shutil.copytree(state, whole)
    log = state / "registry.sqlite-wal"
    os.truncate(log, int(log.stat().st_size * cut))
    again = configured(tmp_path)
    other = client_of(again)
    other.log_in()
    assert again.close() == 0, again.log
    shutil.rmtree(state)
    whole.rename(state)
    intact = configured(tmp_path)
    try:
        asker = Backbone(intact.url, "interop", intact.key_hash, client.identity)
        asker.log_in()
        assert asker.look_up(client.identity.peer_id).body == record.body
    finally:
        assert intact.close() == 0, intact.log
