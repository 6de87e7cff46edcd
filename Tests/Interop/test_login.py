"""The Python client against the real backbone, over HTTP: login, refusals, records."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from backbone import RunningBackbone, dev
from conftest import ROOT, swift_program
from shadowmesh_peer import keys, login, records
from shadowmesh_peer.login import Backbone, Problem

HOUR = 3_600


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[RunningBackbone]:
    running = dev(swift_program("shadowmesh-backbone"), tmp_path_factory.mktemp("backbone"))
    yield running
    assert running.close() == 0, running.log


@pytest.fixture
def client(running) -> Backbone:
    return client_of(running)


def client_of(running: RunningBackbone) -> Backbone:
    return Backbone(running.url, running.region, running.key_hash, keys.Identity())


def refusal(call, *arguments) -> Problem:
    with pytest.raises(Problem) as caught:
        call(*arguments)
    problem = caught.value
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.headers["cache-control"] == "no-store"
    assert problem.document["status"] == problem.status and problem.document["title"]
    return problem


# The statement's bytes, without a server.

VECTOR = ROOT / "docs" / "protocol" / "authentication-vector.json"


@pytest.mark.parametrize(("url", "origin"), [
    ("https://Backbone.Example:8443/", "https://backbone.example:8443"),
    ("https://backbone.example:443", "https://backbone.example"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:8080"), ("http://[::1]:8080/x", "http://[::1]:8080")])
def test_audience(url, origin):
    assert login.audience(url) == origin


def test_worked_vector():
    vector = json.loads(VECTOR.read_text())
    node, backbone = (keys.Identity(bytes.fromhex(vector[f"{one}_seed"])) for one in ("node", "backbone"))
    signed, challenge = vector["login"], bytes.fromhex(vector["login"]["challenge"])
    assert (signed["node"], signed["backbone"]) == (node.key_hash.hex(), backbone.key_hash.hex())
    statement = login.statement(
        signed["audience"], signed["region"], backbone.key_hash, challenge, node.key_hash)
    assert statement.hex() == signed["bytes"]
    assert keys.verifies(node.public_key, base64.b64decode(signed["signature"]), statement, keys.LOGIN)
    listed = vector["node_list"]
    nodes = login.nodes_statement(backbone.key_hash, listed["issued"], listed["expiry"], listed["nodes"])
    assert nodes.hex() == listed["bytes"]
    assert keys.verifies(backbone.public_key, base64.b64decode(listed["signature"]), nodes, keys.OPERATOR)


# Login.


def test_login(client):
    answer = client.log_in()
    assert answer["expires_at"] > time.time() and client.token
    assert answer["nodes_issued_at"] <= time.time() + 1 < answer["nodes_expire_at"]


def test_the_audience_may_be_left_out(client):
    document = client.login_document(client.challenge())
    del document["audience"]
    assert client.verify(document)["session_token"]


def test_a_login_is_redeemed_once(client):
    document = client.login_document(client.challenge())
    client.verify(document)
    problem = refusal(client.verify, document)
    assert (problem.status, problem.name) == (401, "login-refused")


def test_of_eight_at_the_same_moment_one_is_redeemed(client):
    document = client.login_document(client.challenge())

    def attempt(_: int) -> str:
        try:
            return client.verify(document)["session_token"] and "redeemed"
        except Problem as problem:
            return problem.name

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(attempt, range(8)))
    assert outcomes == ["login-refused"] * 7 + ["redeemed"]


def test_a_failed_login_does_not_use_the_challenge_up(client):
    challenge = client.challenge()
    document = client.login_document(challenge)
    stranger = dict(document, signature=base64.b64encode(os.urandom(4_627)).decode())
    assert refusal(client.verify, stranger).name == "login-refused"
    assert client.verify(document)["session_token"]


def test_a_login_signed_for_another_audience_is_refused(client):
    challenge = client.challenge()
    foreign = client.login_document(challenge, origin="https://elsewhere.example")
    assert refusal(client.verify, foreign).name == "login-refused"
    disguised = dict(foreign, audience=login.audience(client.url))
    assert refusal(client.verify, disguised).name == "login-refused"


def test_a_login_for_another_backbone_or_region_is_refused(client, running):
    for wrong in (
            Backbone(running.url, running.region, os.urandom(32), client.identity),
            Backbone(running.url, "elsewhere", running.key_hash, client.identity)):
        assert refusal(wrong.verify, wrong.login_document(client.challenge())).name == "login-refused"


@pytest.mark.parametrize("context", [keys.HS_INIT, keys.HS_RESP, keys.PEER_RECORD, keys.OPERATOR, b""])
def test_a_signature_made_in_another_context_is_refused(client, context):
    challenge = client.challenge()
    origin, own = login.audience(client.url), client.identity.key_hash
    signed = login.statement(origin, client.region, client.backbone_key, challenge, own)
    signature = base64.b64encode(client.identity.sign(signed, context)).decode()
    document = dict(client.login_document(challenge), signature=signature)
    assert refusal(client.verify, document).name == "login-refused"


def test_a_bare_signed_challenge_is_refused(client):
    challenge = client.challenge()
    signature = base64.b64encode(client.identity.sign(challenge, keys.LOGIN)).decode()
    document = dict(client.login_document(challenge), signature=signature)
    assert refusal(client.verify, document).name == "login-refused"


def test_a_peer_id_of_another_key_is_refused(client):
    document = dict(client.login_document(client.challenge()), peer_id=os.urandom(20).hex())
    assert refusal(client.verify, document).name == "login-refused"


def test_a_challenge_that_was_not_issued_is_refused(client):
    altered = bytearray(client.challenge())
    altered[-1] ^= 1
    problem = refusal(client.verify, client.login_document(bytes(altered)))
    assert (problem.status, problem.name) == (401, "challenge-refused")


def test_extra_missing_and_wrong_fields_are_malformed(client):
    document = client.login_document(client.challenge())
    missing = {name: value for name, value in document.items() if name != "signature"}
    for wrong in (dict(document, admin=True), missing, dict(document, peer_id=7), [], {}):
        problem = refusal(client.verify, wrong)
        assert (problem.status, problem.name) == (400, "malformed-request")


def test_a_body_over_16_kib_is_too_large(client):
    problem = refusal(client.verify, {"peer_id": "0" * 17_000})
    assert (problem.status, problem.name) == (413, "body-too-large")


def test_the_node_list_of_another_backbone_is_refused(client):
    answer = client.log_in()
    altered = dict(answer, nodes_expire_at=answer["nodes_expire_at"] + 1)
    with pytest.raises(keys.Refused, match="list of nodes"):
        client.check_nodes(altered)
    client.backbone_key = os.urandom(32)
    with pytest.raises(keys.Refused, match="another backbone"):
        client.check_nodes(answer)


# Records.


def signed_record(
    identity: keys.Identity, sequence: int, *, region: str, admitted: tuple[bytes, ...] = (),
    kind: int = records.RECORD, life: int = HOUR, host: str = "192.0.2.7",
) -> records.Bundle:
    part = records.private_part((records.Endpoint(records.INTERFACE, host, 8_443),), admitted)
    body = records.Body(
        kind, records.LIGHT_PRIVATE, identity.key_hash, sequence, int(time.time()) + life, region,
        private_hash=keys.key_hash(part.encoded()))
    return records.signed(identity, body, part)


def test_a_private_part_reaches_only_the_admitted(running):
    owner, friend, other = (client_of(running) for _ in range(3))
    for one in (owner, friend, other):
        one.log_in()
    bundle = signed_record(owner.identity, 1, region=running.region, admitted=(friend.identity.key_hash,))
    assert owner.publish(bundle) == 204
    for asker, sees in ((owner, True), (friend, True), (other, False)):
        found = asker.look_up(owner.identity.peer_id)
        found.verified(int(time.time()))
        assert found.body == bundle.body and found.private == (bundle.private if sees else b"")


def test_sequences_only_rise(client):
    client.log_in()
    five = signed_record(client.identity, 5, region=client.region)
    assert client.publish(five) == 204 and client.publish(five) == 204
    lower = refusal(client.publish, signed_record(client.identity, 4, region=client.region))
    assert (lower.status, lower.name) == (409, "sequence-too-low")
    other = signed_record(client.identity, 5, region=client.region, host="192.0.2.8")
    reused = refusal(client.publish, other)
    assert (reused.status, reused.name) == (409, "sequence-reused")


def test_a_tombstone_takes_the_owner_out(client):
    client.log_in()
    client.publish(signed_record(client.identity, 1, region=client.region))
    body = records.Body(
        records.TOMBSTONE, records.LIGHT_PRIVATE, client.identity.key_hash, 2, int(time.time()) + HOUR,
        client.region)
    assert client.publish(records.signed(client.identity, body)) == 204
    gone = refusal(client.look_up, client.identity.peer_id)
    assert (gone.status, gone.name) == (404, "peer-not-found")
    back = refusal(client.publish, signed_record(client.identity, 1, region=client.region))
    assert back.name == "sequence-too-low"


def test_records_that_do_not_hold_are_refused(client):
    client.log_in()
    good = signed_record(client.identity, 9, region=client.region)
    forged = records.Bundle(good.body, good.public_key, os.urandom(4_627), good.private)
    other_salt = signed_record(client.identity, 9, region=client.region).private
    swapped = records.Bundle(good.body, good.public_key, good.signature, other_salt)
    expired = signed_record(client.identity, 9, region=client.region, life=-1)
    distant = signed_record(client.identity, 9, region=client.region, life=3 * HOUR)
    as_login = records.Bundle(
        good.body, good.public_key, client.identity.sign(good.body, keys.LOGIN), good.private)
    for bundle in (forged, swapped, expired, distant, as_login):
        problem = refusal(client.publish, bundle)
        assert (problem.status, problem.name) == (422, "record-refused")
        assert problem.document["detail"]


def test_nobody_publishes_for_another(client):
    client.log_in()
    problem = refusal(client.publish, signed_record(keys.Identity(), 1, region=client.region))
    assert (problem.status, problem.name) == (403, "not-owner")


def test_the_registry_wants_a_token(client):
    for token in (None, "forged", "a.b.c"):
        client.token = token
        problem = refusal(client.look_up, client.identity.peer_id)
        assert (problem.status, problem.name) == (401, "token-refused")
        assert problem.headers["www-authenticate"].startswith("Bearer")


def test_unknown_peer(client):
    client.log_in()
    problem = refusal(client.look_up, os.urandom(20))
    assert (problem.status, problem.name) == (404, "peer-not-found")
