"""What isn't proper HTTP, byte by byte: an answer where HTTP allows one, a clean close, and no leaks."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import certificates
from backbone import RunningBackbone, dev, free_port
from conftest import swift_program

PATIENCE = 10.0
HOST = b"Host: x\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST
VERIFY = b"POST /api/auth/verify HTTP/1.1\r\n" + JSON
CHUNKED = VERIFY + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[RunningBackbone]:
    running = dev(swift_program("shadowmesh-backbone"), tmp_path_factory.mktemp("backbone"))
    yield running
    log = running.log
    assert running.close() == 0, log
    assert " error " not in log, log


def connect(running: RunningBackbone) -> socket.socket:
    port = int(running.url.rsplit(":", 1)[1])
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the other side closes; fails when it doesn't, or when it resets the connection."""
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


def exchange(running: RunningBackbone, sent: bytes, *, half_close: bool = False) -> bytes:
    with connect(running) as connection:
        connection.sendall(sent)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return until_closed(connection)


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """One answer: status, fields, body; the body is as long as it says, and nothing follows."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    assert len(body) == int(fields["content-length"]), answer
    return int(lines[0].split()[1]), fields, body


def assert_problem(answer: bytes, status: int, name: str) -> None:
    found, fields, body = parts(answer)
    document = json.loads(body)
    assert (found, document["status"]) == (status, status), answer
    assert document["type"] == f"urn:shadowmesh:problem:{name}"
    assert fields["content-type"] == "application/problem+json"
    assert fields["cache-control"] == "no-store" and fields["connection"] == "close"


def metric(running: RunningBackbone, name: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(running.url + "/metrics", timeout=PATIENCE) as answer:
        found = re.search(rf"^shadowmesh_backbone_{re.escape(name)} (\d+)$", answer.read().decode(), re.M)
    return int(found[1]) if found else 0


NOT_HTTP = {
    "garbage": b"\x00\x01\xff garbage\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(64),
    "a request line of one word": b"GET\r\n\r\n",
    "an unknown method": b"BREW /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown version": b"GET /health HTTP/9.9\r\n" + HOST + b"\r\n",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in a field's name": HEALTH + b"a b: c\r\n\r\n",
    "a field without a colon": HEALTH + b"nonsense\r\n\r\n",
    "a folded field": HEALTH + b"X: a\r\n b\r\n\r\n",
    "NUL in a field": HEALTH + b"X: a\0b\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": HEALTH + HOST + b"\r\n",
    "two hosts, one in capitals": HEALTH + b"HOST: y\r\n\r\n",
    "no host, with a body": b"POST /api/auth/verify HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": VERIFY + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": VERIFY + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": VERIFY + b"Content-Length: -1\r\n\r\n{}",
    "a length in words": VERIFY + b"Content-Length: many\r\n\r\n{}",
    "a length over 64 bits": VERIFY + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "an unknown transfer encoding": VERIFY + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a chunk size that isn't one": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk size over 64 bits": CHUNKED + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a second chunk that isn't one": CHUNKED + b"2\r\n{}\r\nqq\r\n",
    "a chunk longer than it says": CHUNKED + b"2\r\n{}X0\r\n\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_not_http_is_answered_and_counted(running, sent):
    before = metric(running, 'connections_ended_total{reason="not_http"}')
    assert_problem(exchange(running, sent), 400, "malformed-request")
    assert metric(running, 'connections_ended_total{reason="not_http"}') == before + 1


TOO_LARGE = {
    "one field": HEALTH + b"X: " + b"a" * 9_000 + b"\r\n\r\n",
    "many bytes": HEALTH + b"".join(b"X%d: %s\r\n" % (n, b"a" * 400) for n in range(60)) + b"\r\n",
    "many fields": HEALTH + b"".join(b"X%d: a\r\n" % n for n in range(150)) + b"\r\n",
    "a path": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "trailers": CHUNKED + b"2\r\n{}\r\n0\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(150)) + b"\r\n",
}


@pytest.mark.parametrize("sent", TOO_LARGE.values(), ids=TOO_LARGE)
def test_headers_over_the_limits_are_too_large(running, sent):
    assert_problem(exchange(running, sent), 431, "headers-too-large")


BODIES = {
    "a length of eight exabytes": VERIFY + b"Content-Length: 9000000000000000000\r\n\r\n{}",
    "chunks over the limit": CHUNKED + b"".join(b"1000\r\n" + b"a" * 4_096 + b"\r\n" for _ in range(8)),
    "a chunk of sixteen megabytes": CHUNKED + b"ffffff\r\n" + b"a" * 20_000,
}


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES)
def test_a_body_that_never_ends_is_not_waited_for(running, sent):
    assert_problem(exchange(running, sent), 413, "body-too-large")


def test_without_a_token_a_huge_record_is_not_read(running):
    sent = b"PUT /api/peers/record HTTP/1.1\r\n" + JSON + b"Content-Length: 9000000000000000000\r\n\r\n{}"
    assert_problem(exchange(running, sent), 401, "token-refused")


@pytest.mark.parametrize("sent", [
    b"GET /hea", b"GET /health HTTP/1.1\r\nHo", VERIFY + b"Content-Length: 20\r\n\r\n{}",
    CHUNKED + b"20\r\n{}"], ids=["line", "fields", "body", "chunk"])
def test_half_a_request_is_malformed(running, sent):
    status, _, body = parts(exchange(running, sent, half_close=True))
    assert (status, json.loads(body)["type"]) == (400, "urn:shadowmesh:problem:malformed-request")


def test_requests_ahead_of_garbage_are_answered_first(running):
    answer = exchange(running, HEALTH + b"\r\n" + HEALTH + b"\r\n" + b"\0\0garbage\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"400"]


def test_requests_ahead_of_one_without_a_host_are_answered_first_and_none_after_it(running):
    answer = exchange(running, HEALTH + b"\r\n" + b"GET /health HTTP/1.1\r\n\r\n" + HEALTH + b"\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"400"]


def test_http_1_0_needs_no_host(running):
    assert exchange(running, b"GET /health HTTP/1.0\r\nConnection: close\r\n\r\n").split()[1] == b"200"


def test_a_head_request_is_refused_without_a_body(running):
    with connect(running) as connection:
        head = b"HEAD /health HTTP/1.1\r\n" + HOST + b"\r\n"
        connection.sendall(head + HEALTH + b"Connection: close\r\n\r\n")
        first, _, rest = until_closed(connection).partition(b"\r\n\r\n")
    assert b" 405 " in first and rest.startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(running):
    with connect(running) as connection:
        connection.sendall(VERIFY + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"{}")
        assert b" 400 Bad Request" in until_closed(connection)


def test_nothing_is_left_of_connections_that_went_wrong(running):
    for sent in (*NOT_HTTP.values(), *TOO_LARGE.values(), *BODIES.values(), b"GET /hea", b""):
        connection = connect(running)
        connection.sendall(sent)
        connection.close()
    for _ in range(100):
        # The asking connection is one itself.
        if (left := metric(running, "connections")) == 1:
            break
    assert left == 1
    assert exchange(running, HEALTH + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_connections_beyond_the_limit_wait_for_their_turn(tmp_path):
    """One more than the limit is not refused and costs nothing; it is served once another has gone."""
    open_files = 128
    limit = open_files - 64
    running = dev(swift_program("shadowmesh-backbone"), tmp_path, open_files=open_files)
    try:
        served = [connect(running) for _ in range(limit)]
        for connection in served:
            connection.sendall(HEALTH + b"\r\n")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200 OK")
        waiting = connect(running)
        waiting.sendall(HEALTH + b"\r\n")
        before = processor_seconds(running.process.pid)
        waiting.settimeout(1)
        with pytest.raises(TimeoutError):
            waiting.recv(1_000)
        assert processor_seconds(running.process.pid) - before < 0.5
        served.pop().close()
        waiting.settimeout(PATIENCE)
        assert waiting.recv(1_000).startswith(b"HTTP/1.1 200 OK")
        for connection in (*served, waiting):
            connection.close()
    finally:
        assert running.close() == 0, running.log


def test_plain_bytes_on_a_tls_port_are_dropped(tmp_path):
    files, port = certificates.make(tmp_path), free_port()
    configuration = tmp_path / "backbone.yaml"
    configuration.write_text(f"""\
region: interop
origins: ["https://127.0.0.1:{port}"]
listen: ["127.0.0.1:{port}"]
tls: {{certificate_file: {files.certificate}, key_file: {files.key}}}
state_directory: {tmp_path / "state"}
""")
    running = RunningBackbone(
        swift_program("shadowmesh-backbone"), tmp_path, ["--config", str(configuration)],
        f"https://127.0.0.1:{port}", "interop", files.ca)
    try:
        for sent in (HEALTH + b"\r\n", b"\0" * 100, bytes.fromhex("1603010005") + b"\xff" * 5):
            answer = exchange(running, sent)
            assert b"HTTP" not in answer
    finally:
        assert running.close() == 0, running.log
