"""What an operator types: every command of `shadowmesh-backbone`, also while the backbone runs."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

import certificates
from backbone import RunningBackbone, free_port
from conftest import swift_program
from shadowmesh_peer import keys
from shadowmesh_peer.login import Backbone, Problem

# Upkeep reads revocations every 5 s.
NOTICED_WITHIN = 15.0
SUCCESS, FAILURE, USAGE = 0, 1, 64


class Operator:
    """A configuration, the directory beside it, and the commands with both."""

    def __init__(self, directory: Path):
        self.directory, self.program = directory, swift_program("shadowmesh-backbone")
        self.state, self.file = directory / "state", directory / "backbone.yaml"
        self.running: RunningBackbone | None = None
        self.configure()

    def configure(self, extra: str = "", port: int | None = None) -> None:
        self.port = port or free_port()
        self.file.write_text(f"""\
region: interop
origins: ["http://127.0.0.1:{self.port}"]
listen: ["127.0.0.1:{self.port}"]
state_directory: {self.state}
{extra}""")

    def run(self, *words: str, config: bool = True, code: int = SUCCESS) -> str:
        """What the command prints on the stream that goes with its exit code; the other stays empty."""
        arguments = [self.program, *words, *(["--config", str(self.file)] if config else [])]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=20, cwd=self.directory)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        said, silent = (done.stdout, done.stderr) if code == SUCCESS else (done.stderr, done.stdout)
        assert silent == "" or code == FAILURE
        return said

    def start(self) -> RunningBackbone:
        url = f"http://127.0.0.1:{self.port}"
        self.running = RunningBackbone(
            self.program, self.directory, ["--config", str(self.file)], url, "interop")
        return self.running

    def stop(self) -> None:
        if self.running:
            running, self.running = self.running, None
            assert running.close() == SUCCESS, running.log

    def client(self, identity: keys.Identity | None = None) -> Backbone:
        assert self.running
        return Backbone(
            self.running.url, "interop", self.running.key_hash, identity or keys.Identity())


@pytest.fixture
def operator(tmp_path) -> Iterator[Operator]:
    operator = Operator(tmp_path)
    yield operator
    operator.stop()


def token_counts(client: Backbone) -> bool:
    try:
        client.look_up(bytes(20))
    except Problem as problem:
        assert problem.name in ("token-refused", "peer-not-found")
        return problem.name == "peer-not-found"
    raise AssertionError("a peer that is nobody was found")


def wait_until_refused(client: Backbone) -> None:
    deadline = time.monotonic() + NOTICED_WITHIN
    while token_counts(client):
        assert time.monotonic() < deadline, "the revocation was not noticed"
        time.sleep(0.2)


def claims(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


# Words and numbers.


@pytest.mark.parametrize("command", [[], ["serve"], ["dev"], ["invite"], ["revoke"], ["rotate-key"]])
def test_every_command_explains_itself(operator, command):
    text = operator.run(*command, "--help", config=False)
    assert text.startswith("OVERVIEW: ") and "USAGE: shadowmesh-backbone" in text


def test_the_version_is_told_both_ways(operator):
    assert operator.run("version", config=False) == operator.run("--version", config=False)


@pytest.mark.parametrize(("words", "expected"), [
    ([], "--config FILE is missing"),
    (["invite"], "--config FILE is missing"),
    (["dev", "--port", "0"], "--port: expected 1 to 65535"),
    (["dev", "--port", "many"], "--port"),
    (["dev", "--region", "A B"], "--region: expected 1 to 32 characters"),
    (["dev", "--log-level", "loud"], "--log-level: expected trace"),
])
def test_wrong_usage_is_64_and_says_why(operator, words, expected):
    assert expected in operator.run(*words, config=False, code=USAGE)


@pytest.mark.parametrize(("words", "expected"), [
    (["revoke"], "expected either --token or --peer"),
    (["revoke", "--token", "0" * 32, "--peer", "0" * 64], "expected either --token or --peer"),
    (["revoke", "--token", "x"], "--token: expected a token, or its id of 32 hexadecimal digits"),
    (["revoke", "--token", "a.b.c"], "--token: expected a token"),
    (["revoke", "--peer", "0" * 40], "--peer: expected a KeyHash, 64 hexadecimal digits"),
    (["invite", "--hours", "0"], "--hours: expected 1 to 8760"),
    (["--check-config", "extra"], "Unexpected argument 'extra'"),
])
def test_wrong_options_are_64_and_touch_nothing(operator, words, expected):
    assert expected in operator.run(*words, code=USAGE)
    assert not operator.state.exists()


@pytest.mark.parametrize(("line", "expected"), [
    ("colour: red", ":5: colour: unknown key"),
    ("token_life: 10s", ":5: token_life: expected a time like 30s"),
    ("maximum_records: many", ":5: maximum_records: expected a whole number from 1"),
    ("admission: {mode: closed}", ":5: admission.mode: expected one of: open, invite, list"),
    ("allow_plain_http: yes", ":5: allow_plain_http: expected true or false"),
    ("log_level:", ":5: log_level: expected one of: trace"),
    ("region: twice", "region: given more than once"),
    ("[}", "not YAML"),
])
@pytest.mark.parametrize("words", [["--check-config"], ["serve"], ["invite"], ["rotate-key"]])
def test_a_bad_configuration_names_file_line_key_and_what_was_expected(operator, words, line, expected):
    operator.configure(line + "\n")
    said = operator.run(*words, code=USAGE)
    assert said.startswith(f"Error: {operator.file}") and expected in said
    assert "USAGE" not in said.upper() and not operator.state.exists()


def test_a_good_configuration_is_good_and_makes_nothing(operator):
    assert operator.run("--check-config") == f"{operator.file}: good\n"
    assert not operator.state.exists()


def test_a_configuration_that_is_not_there(operator):
    operator.file.unlink()
    assert operator.run("--check-config", code=USAGE) == f"Error: {operator.file}: cannot be read: " \
        "No such file or directory\n"


def test_certificates_are_checked_before_anything_starts(operator, tmp_path):
    files = certificates.make(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    stranger = certificates.make(other)

    def said(certificate: Path, key: Path, code: int) -> str:
        operator.configure(f"tls:\n  certificate_file: {certificate}\n  key_file: {key}\n")
        return operator.run("--check-config", code=code)

    assert said(files.certificate, files.key, SUCCESS).endswith("good\n")
    nowhere = tmp_path / "nowhere.pem"
    assert f":6: tls.certificate_file: {nowhere}: No such file" in said(nowhere, files.key, USAGE)
    assert f":7: tls.key_file: {nowhere}: No such file" in said(files.certificate, nowhere, USAGE)
    assert "holds no certificate" in said(operator.file, files.key, USAGE)
    keyless = tmp_path / "keyless.pem"
    keyless.write_bytes(files.certificate.read_bytes())
    keyless.chmod(0o600)
    assert "holds no private key" in said(files.certificate, keyless, USAGE)
    assert "is not the key of" in said(files.certificate, stranger.key, USAGE)
    files.key.chmod(0o604)
    assert f"everybody may read it: run chmod o= {files.key}" in said(files.certificate, files.key, USAGE)


# Serving.


def test_its_files_are_its_own(operator):
    operator.start()
    operator.client().log_in()
    files = (operator.state, *operator.state.iterdir())
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in files}
    assert modes.pop("state") == "0o700"
    assert {"identity.key", "region-keys.json", "registry.sqlite"} <= set(modes)
    assert set(modes.values()) == {"0o600"}, modes


def test_the_identity_stays_over_a_restart(operator):
    first = operator.start().key_hash
    operator.stop()
    assert operator.start().key_hash == first


def test_a_second_backbone_on_the_same_state_is_refused(operator):
    running = operator.start()
    client = operator.client()
    client.log_in()
    first = operator.port
    operator.configure(port=free_port())
    assert "another shadowmesh-backbone uses it" in operator.run("serve", code=FAILURE)
    words = ["dev", "--port", str(operator.port), "--state", str(operator.state)]
    said = operator.run(*words, config=False, code=FAILURE)
    assert "another shadowmesh-backbone uses it" in said
    assert token_counts(client) and running.process.poll() is None
    operator.configure(port=first)


def test_the_service_manager_is_told_once_every_port_is_open(operator, tmp_path):
    taken = socket.create_server(("127.0.0.1", 0))
    both = [operator.port, taken.getsockname()[1]]
    listen = ", ".join(f'"127.0.0.1:{port}"' for port in both)
    operator.file.write_text(f"""\
region: interop
origins: ["http://127.0.0.1:{operator.port}"]
listen: [{listen}]
state_directory: {operator.state}
""")
    words = [operator.program, "--config", str(operator.file)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        # One of the ports can't be had: it ends, and never says that it is ready.
        done = subprocess.run(words, env=environment, capture_output=True, timeout=20)
        assert done.returncode == FAILURE
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(64)
        taken.close()
        manager.settimeout(20)
        with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as running:
            try:
                assert manager.recv(64) == b"READY=1"
                for port in both:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
            finally:
                running.terminate()


def test_a_port_that_is_taken_is_named(operator):
    operator.start()
    said = operator.run("dev", "--port", str(operator.port), config=False, code=FAILURE)
    assert f"cannot listen on 127.0.0.1 UDP port {operator.port}: Address already in use" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = operator.run("dev", "--port", str(port), config=False, code=FAILURE)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in said


@pytest.mark.parametrize("name", ["identity.key", "region-keys.json"])
def test_a_key_that_others_can_read_is_refused(operator, name):
    operator.start()
    operator.stop()
    file = operator.state / name
    file.chmod(0o640)
    assert operator.run(code=FAILURE).strip().endswith(f"by others: run `chmod 600 {file}`")
    file.chmod(0o600)
    operator.state.chmod(0o750)
    for words in (["serve"], ["revoke", "--token", "0" * 32], ["rotate-key"]):
        assert f"run chmod 700 {operator.state}" in operator.run(*words, code=FAILURE)
    operator.state.chmod(0o700)


def test_a_state_directory_that_is_a_link_is_refused_by_the_name_it_should_have(operator):
    operator.start()
    operator.stop()
    real = operator.state
    operator.state = operator.directory / "link"
    operator.state.symlink_to(real)
    operator.configure()
    for words in (["serve"], ["revoke", "--token", "0" * 32], ["rotate-key"]):
        said = operator.run(*words, code=FAILURE)
        assert f"name the directory that it points to, {real}" in said and "chmod" not in said


@pytest.mark.parametrize("name", ["identity.key", "region-keys.json", "registry.sqlite"])
def test_a_damaged_file_is_named_and_left_alone(operator, name):
    operator.start()
    operator.stop()
    file = operator.state / name
    for log in ("-wal", "-shm"):  # out of a log that a stop left behind SQLite would bring everything back
        (operator.state / f"{name}{log}").unlink(missing_ok=True)
    damaged = b"\x5a" * 4_096
    file.write_bytes(damaged)
    said = operator.run(code=FAILURE)
    assert str(file) in said and "restore" in said
    assert file.read_bytes() == damaged


# Invites.


def test_invites_count_only_where_admission_asks_for_them(operator):
    assert "invites count only with admission.mode: invite" in operator.run("invite", code=USAGE)
    operator.configure("admission: {mode: invite}\n")
    secret = operator.run("invite", "--hours", "1")
    assert len(bytes.fromhex(secret.strip())) == 16


def test_an_invite_made_while_it_runs_admits_at_once(operator):
    operator.configure("admission: {mode: invite}\n")
    operator.start()
    guest = operator.client()
    with pytest.raises(Problem, match="login-refused"):
        guest.log_in()
    guest.log_in(operator.run("invite").strip())
    guest.log_in()


# Revocation.


@pytest.mark.parametrize("whole", [True, False], ids=["whole token", "its id"])
def test_a_revoked_token_stops_counting_within_seconds(operator, whole):
    operator.start()
    identity = keys.Identity()
    first, second = operator.client(identity), operator.client(identity)
    first.log_in()
    second.log_in()
    token_id = claims(first.token)["jti"]
    said = operator.run("revoke", "--token", first.token if whole else token_id)
    assert said == f"token {token_id} is revoked\n"
    wait_until_refused(first)
    assert token_counts(second)
    first.log_in()
    assert token_counts(first)


def test_all_tokens_of_a_revoked_peer_stop_counting_also_those_of_the_same_second(operator):
    operator.start()
    peer, other = operator.client(), operator.client()
    peer.log_in()
    other.log_in()
    operator.run("revoke", "--peer", peer.identity.key_hash.hex())
    wait_until_refused(peer)
    assert token_counts(other)
    peer.log_in()
    assert token_counts(peer)


def test_a_revocation_outlives_a_restart_and_a_shorter_token_life(operator):
    operator.start()
    client = operator.client()
    client.log_in()
    operator.configure("token_life: 60s\n", port=operator.port)
    operator.run("revoke", "--token", client.token)
    operator.stop()
    operator.start()
    assert not token_counts(client)
    database = sqlite3.connect(operator.state / "registry.sqlite")
    kept_until = database.execute("SELECT min(expiry) FROM revoked_tokens").fetchone()[0]
    database.close()
    assert kept_until >= claims(client.token)["exp"]


# Rotation.


def test_tokens_live_through_one_rotation_and_not_through_two(operator):
    operator.start()
    old = operator.client()
    old.log_in()
    assert "restart the backbone to use it" in operator.run("rotate-key")
    assert token_counts(old)
    operator.stop()
    operator.start()
    assert token_counts(old)
    fresh = operator.client()
    fresh.log_in()
    assert token_key(fresh.token) != token_key(old.token)
    assert "the key before the last is dropped" in operator.run("rotate-key")
    operator.stop()
    operator.start()
    assert not token_counts(old) and token_counts(fresh)
    assert (operator.state / "region-keys.json").stat().st_mode & 0o777 == 0o600


def token_key(token: str) -> str:
    header = token.split(".")[0]
    return json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
