"""The Python peer against the UDP side of the real backbone, and the relays that it hands out."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator

import pytest

from backbone import RunningBackbone, dev
from conftest import swift_program
from shadowmesh_peer import keys, records
from shadowmesh_peer.initiator import Initiator
from shadowmesh_peer.login import Backbone
from shadowmesh_peer.transport import CONTROL, Session
from shadowmesh_peer.udp import UDPPeer, drive

HOUR = 3_600
OBSERVE, OBSERVED, INTRODUCE, INTRODUCTION, NOT_INTRODUCED = 0x0A, 0x0B, 0x0D, 0x0E, 0x0F


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[RunningBackbone]:
    running = dev(swift_program("shadowmesh-backbone"), tmp_path_factory.mktemp("introductions"))
    yield running
    assert running.close() == 0, running.log


@pytest.fixture
def peers() -> Iterator[list[UDPPeer]]:
    peers = [UDPPeer(keys.Identity()) for _ in range(2)]
    yield peers
    for peer in peers:
        peer.close()


def logged_in(running: RunningBackbone, identity: keys.Identity) -> tuple[Backbone, dict]:
    client = Backbone(running.url, running.region, running.key_hash, identity)
    return client, client.log_in()


def connected(peer: UDPPeer, node: dict) -> Session:
    initiator = peer.start(Initiator(peer.identity, bytes.fromhex(node["key_hash"])), (node["ip"], node["port"]))
    assert drive([peer], lambda: initiator.confirmed), initiator.drops
    assert initiator.session is not None
    return initiator.session


def endpoint(host: str, port: int) -> bytes:
    address = ipaddress.ip_address(host)
    return bytes((address.version,)) + address.packed.ljust(16, b"\0") + port.to_bytes(2)


def introduce(other: bytes, candidates: list[bytes]) -> bytes:
    listed = b"".join(bytes((records.INTERFACE,)) + one for one in candidates)
    return bytes((INTRODUCE,)) + other + b"\1" + bytes((len(candidates),)) + listed


def test_the_signed_list_names_where_the_backbone_speaks_smh1(running, peers):
    _, answer = logged_in(running, peers[0].identity)
    [node] = answer["backbone_nodes"]
    assert node["key_hash"] == running.key_hash.hex() and "stun" not in node
    session = connected(peers[0], node)
    peers[0].send(session, CONTROL, bytes((OBSERVE,)) + b"\0\0\0\7")
    assert drive(peers[:1], lambda: bool(peers[0].control_messages(OBSERVED)))
    assert peers[0].control_messages(OBSERVED) == [
        bytes((OBSERVED,)) + b"\0\0\0\7" + endpoint(*peers[0].address)]


def test_it_introduces_who_has_a_session_and_says_who_has_none(running, peers):
    a, b = peers
    sessions = [connected(peer, logged_in(running, peer.identity)[1]["backbone_nodes"][0]) for peer in peers]
    candidates = [endpoint("198.51.100.7", 4_242), endpoint("2001:db8::7", 4_242)]
    a.send(sessions[0], CONTROL, introduce(b.identity.key_hash, candidates))
    assert drive(peers, lambda: bool(b.control_messages(INTRODUCTION)))
    kind, count = bytes((INTRODUCTION,)), bytes((len(candidates) + 1,))
    seen = bytes((records.REFLEXIVE,)) + endpoint(*a.address)
    named = b"".join(bytes((records.INTERFACE,)) + one for one in candidates)
    assert b.control_messages(INTRODUCTION) == [kind + a.identity.key_hash + b"\1" + count + seen + named]
    stranger = os.urandom(32)
    a.send(sessions[0], CONTROL, introduce(stranger, candidates))
    assert drive(peers, lambda: bool(a.control_messages(NOT_INTRODUCED)))
    assert a.control_messages(NOT_INTRODUCED) == [bytes((NOT_INTRODUCED,)) + stranger]


def test_relays_come_as_whole_records_that_their_owners_have_signed(running):
    relay = records.Relay(os.urandom(1_600), int(time.time()) // 604_800, "example", 0, bytes(32))
    publishers = [keys.Identity() for _ in range(3)]
    for identity in publishers:
        client, _ = logged_in(running, identity)
        body = records.Body(
            records.RECORD, records.LIGHT_PUBLIC, identity.key_hash, 1, int(time.time()) + HOUR, running.region,
            (records.Endpoint(records.CONFIGURED, "198.51.100.7", 8_443),), relay_offer=50, relay=relay)
        assert client.publish(records.signed(identity, body)) == 204
    asker, _ = logged_in(running, keys.Identity())
    listed = [one.verified(int(time.time())) for one in asker.relays(running.region, 20)]
    assert {one.key_hash for one in listed} == {one.key_hash for one in publishers}
    assert all(one.relay == relay and one.relay_offer == 50 for one in listed)
    assert len(asker.relays(limit=2)) == 2
    owner, _ = logged_in(running, publishers[0])
    assert publishers[0].key_hash not in {
        one.verified(int(time.time())).key_hash for one in owner.relays(running.region, 20)}
