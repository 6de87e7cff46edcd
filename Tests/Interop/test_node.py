"""The Python peer against the whole Swift node core: peers, packet rules, look-ups inside sessions."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from conftest import swift_program
from shadowmesh_peer import keys, records
from shadowmesh_peer.initiator import Initiator
from shadowmesh_peer.transport import (
    ANNOUNCE, CONTROL, FIND_NODE, GET_RECORD, IP, NODES, PING, PONG, RECORD, Session)
from shadowmesh_peer.udp import UDPPeer
from swift_peer import SwiftPeer

UDP = 17


@pytest.fixture
def node() -> Iterator[Callable[[], SwiftPeer]]:
    started: list[SwiftPeer] = []

    def start() -> SwiftPeer:
        started.append(SwiftPeer(swift_program("smh1-interop-peer"), "node"))
        return started[-1]

    yield start
    assert [one.close() for one in started] == [0] * len(started)


def add(a: UDPPeer, b: SwiftPeer) -> None:
    b.tell("add", str(a.address[1]), a.identity.key_hash.hex(), a.identity.public_key.hex())


def called(a: UDPPeer, b: SwiftPeer) -> Session:
    """A session that the Python side began; its key is sent, so that a stranger gets one too."""
    initiator = a.start(Initiator(a.identity, b.key_hash), b.address)
    assert b.drive(a, lambda: initiator.confirmed), (initiator.drops, b.lines)
    assert initiator.session is not None
    return initiator.session


def ask(a: UDPPeer, b: SwiftPeer, session: Session, message: bytes, answer: int) -> bytes:
    before = len(a.control_messages(answer))
    a.send(session, CONTROL, message)
    assert b.drive(a, lambda: len(a.control_messages(answer)) > before), b.lines
    return a.control_messages(answer)[-1]


def udp_packet(source: bytes, destination: bytes, payload: bytes) -> bytes:
    """IPv6 (RFC 8200) with UDP; the checksum is what a kernel would check, so it is right."""
    segment = struct.pack(">HHHH", 5_000, 5_001, 8 + len(payload), 0) + payload
    pseudo = source + destination + struct.pack(">IxxxB", len(segment), UDP) + segment
    pseudo += b"\0" * (len(pseudo) % 2)
    total = sum(struct.unpack(f">{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    segment = segment[:6] + struct.pack(">H", ~total & 0xFFFF or 0xFFFF) + segment[8:]
    return struct.pack(">IHBB", 6 << 28, len(segment), UDP, 64) + source + destination + segment


def addresses(a: UDPPeer, b: SwiftPeer) -> tuple[bytes, bytes]:
    return a.identity.overlay_address, keys.overlay_address(b.key_hash)


def test_a_peer_and_a_stranger_are_answered_differently(peer, node):
    a, b, stranger = peer(), node(), peer()
    add(a, b)
    pong = ask(a, b, called(a, b), struct.pack(">BI", PING, 1), PONG)
    assert pong == struct.pack(">BIB", PONG, 1, 1)
    pong = ask(stranger, b, called(stranger, b), struct.pack(">BI", PING, 2), PONG)
    assert pong == struct.pack(">BIB", PONG, 2, 0)


def test_packets_both_ways_when_python_calls(peer, node):
    a, b = peer(), node()
    add(a, b)
    session = called(a, b)
    mine, theirs = addresses(a, b)
    for size in (32, 1_100, 1_232):
        there, back = udp_packet(mine, theirs, os.urandom(size)), udp_packet(theirs, mine, os.urandom(size))
        a.send(session, IP, there)
        b.tell("packet", back.hex())
        assert b.drive(a, lambda: bool(b.seen("packet", there.hex())) and back in a.ip_packets()), b.lines


def test_a_packet_for_a_peer_without_session_makes_one(peer, node):
    a, b = peer(), node()
    add(a, b)
    mine, theirs = addresses(a, b)
    packet = udp_packet(theirs, mine, b"the first packet")
    b.tell("packet", packet.hex())
    assert b.drive(a, lambda: packet in a.ip_packets()), b.lines
    session = a.session_with(b.key_hash)
    assert session is not None and not session.initiator
    answer = udp_packet(mine, theirs, b"and its answer")
    a.send(session, IP, answer)
    assert b.drive(a, lambda: bool(b.seen("packet", answer.hex()))), b.lines


def test_ping_from_the_node(peer, node):
    a, b = peer(), node()
    add(a, b)
    b.tell("ping", a.identity.peer_id.hex())
    assert b.drive(a, lambda: bool(b.seen("ping", "answered", "true"))), b.lines


def test_packets_with_a_foreign_source_or_destination_are_dropped(peer, node):
    a, b = peer(), node()
    add(a, b)
    session = called(a, b)
    mine, theirs = addresses(a, b)
    elsewhere = keys.overlay_address(os.urandom(32))
    a.send(session, IP, udp_packet(elsewhere, theirs, b"spoofed"))
    a.send(session, IP, udp_packet(mine, elsewhere, b"to be forwarded"))
    assert b.drive(a, lambda: bool(
        b.seen("dropped", "source_not_peers") and b.seen("dropped", "destination_not_ours"))), b.lines
    assert not b.seen("packet")


def test_a_stranger_s_packets_are_dropped(peer, node):
    a, b = peer(), node()
    session = called(a, b)
    a.send(session, IP, udp_packet(*addresses(a, b), b"hello"))
    assert b.drive(a, lambda: bool(b.seen("dropped", "not_a_peer"))), b.lines
    assert not b.seen("packet")


def test_find_node_and_records_inside_a_session(peer, node):
    a, b = peer(), node()
    session = called(a, b)
    nodes = ask(a, b, session, struct.pack(">BI20s", FIND_NODE, 5, os.urandom(20)), NODES)
    assert nodes[1:5] == struct.pack(">I", 5) and len(nodes) == 6 + 59 * nodes[5]
    own = ask(a, b, session, struct.pack(">BI20s", GET_RECORD, 6, b.key_hash[:20]), RECORD)
    assert own[1:6] == struct.pack(">IB", 6, 1)
    body = records.parse_bundle(own[6:]).verified(int(time.time()))
    assert body.key_hash == b.key_hash and body.endpoints[0].port == b.address[1]
    unknown = ask(a, b, session, struct.pack(">BI20s", GET_RECORD, 7, os.urandom(20)), RECORD)
    assert unknown == struct.pack(">BIB", RECORD, 7, 0)


def test_an_announced_record_is_handed_on_without_its_private_part(peer, node):
    a, other, b = peer(), peer(), node()
    session = called(a, b)
    endpoint = records.Endpoint(records.INTERFACE, "192.0.2.7", a.address[1])
    part = records.private_part((endpoint,), (b.key_hash,))
    body = records.Body(
        records.RECORD, records.LIGHT_PRIVATE, a.identity.key_hash, 3, int(time.time()) + 3_600, "interop",
        private_hash=keys.key_hash(part.encoded()))
    bundle = records.signed(a.identity, body, part)
    a.send(session, CONTROL, bytes((ANNOUNCE,)) + bundle.encoded())
    assert b.drive(a, lambda: bool(b.seen("learned", bundle.encoded().hex()))), b.lines
    request = struct.pack(">BI20s", GET_RECORD, 9, a.identity.peer_id)
    found = records.parse_bundle(ask(other, b, called(other, b), request, RECORD)[6:])
    assert found.verified(int(time.time())) == body and found.private == b""
