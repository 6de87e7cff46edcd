"""The Python peer against the Swift session core, in both roles, over loopback UDP."""

from __future__ import annotations

import os
import random
import struct
import time

import pytest

from faults import (
    Hears, LosesAtRandom, LosesFirst, LosesOnce, MiscountedM1, WrongContextInitiator,
    WrongContextResponder, WrongFinishedInitiator, WrongFinishedResponder, WrongKeyHashInitiator,
    WrongKeyHashResponder, damaged,
)
from shadowmesh_peer import keys, wire
from shadowmesh_peer.initiator import Initiator
from shadowmesh_peer.responder import Responder
from shadowmesh_peer.transport import CONTROL, IP, PING, PONG, Session
from shadowmesh_peer.udp import UDPPeer, passes
from swift_peer import SwiftPeer

AES, CHACHA = wire.AES_256_GCM, wire.CHACHA20_POLY1305


def python_calls(a: UDPPeer, b: SwiftPeer, **options) -> Session:
    initiator = a.start(Initiator(a.identity, b.key_hash, **options), b.address)
    mine = a.identity.key_hash.hex()
    assert b.drive(a, lambda: initiator.confirmed and bool(b.seen("established", mine, "responder"))), (
        initiator.drops, b.lines)
    assert initiator.session is not None
    return initiator.session


def swift_calls(a: UDPPeer, b: SwiftPeer, knows_key: bool = False) -> Session:
    key = [a.identity.public_key.hex()] if knows_key else []
    b.tell("connect", str(a.address[1]), a.identity.key_hash.hex(), *key)
    mine = a.identity.key_hash.hex()
    assert b.drive(a, lambda: bool(b.seen("confirmed", mine))), (a.responder.drops, b.lines)
    assert b.seen("established", mine, "initiator")
    session = a.session_with(b.key_hash)
    assert session is not None
    return session


def carries_both_ways(a: UDPPeer, b: SwiftPeer, session: Session, size: int) -> None:
    mine = a.identity.key_hash.hex()
    outgoing, incoming = os.urandom(size), os.urandom(size)
    a.send(session, IP, outgoing)
    b.tell("packet", mine, incoming.hex())
    arrived = f"packet {mine} {outgoing.hex()}"
    assert b.drive(a, lambda: arrived in b.seen("packet") and incoming in a.ip_packets()), b.lines


def pings_both_ways(a: UDPPeer, b: SwiftPeer, session: Session) -> None:
    mine = a.identity.key_hash.hex()
    a.send(session, CONTROL, struct.pack(">BI", PING, 7))
    assert b.drive(a, lambda: struct.pack(">BIB", PONG, 7, 1) in a.control_messages(PONG)), b.lines
    b.tell("control", mine, struct.pack(">BI", PING, 8).hex())
    answered = f"control {mine} {struct.pack('>BIB', PONG, 8, 1).hex()}"
    assert b.drive(a, lambda: answered in b.seen("control")), b.lines


# Whole sessions.


@pytest.mark.parametrize("suite", [AES, CHACHA])
@pytest.mark.parametrize("knows_key", [True, False])
def test_python_as_initiator(peer, swift, suite, knows_key):
    a, b = peer(), swift()
    session = python_calls(a, b, suites=(suite,), responder_key=b.public_key if knows_key else None)
    assert session.suite == suite
    pings_both_ways(a, b, session)
    for size in (40, 1_000, 1_199, 1_200, 1_280):
        carries_both_ways(a, b, session, size)
    assert not session.drops and not b.seen("dropped")


@pytest.mark.parametrize("suite", [AES, CHACHA])
@pytest.mark.parametrize("knows_key", [True, False])
def test_python_as_responder(peer, swift, suite, knows_key):
    a, b = peer(), swift(f"suites={suite}")
    session = swift_calls(a, b, knows_key)
    assert session.suite == suite
    pings_both_ways(a, b, session)
    for size in (40, 1_000, 1_199, 1_200, 1_280):
        carries_both_ways(a, b, session, size)
    assert not session.drops and not b.seen("dropped")


def test_each_side_honours_the_other_side_s_cookie(peer, swift):
    a, b = peer(Responder(keys.Identity(), demands_cookie=True)), swift("cookies")
    session = python_calls(a, b)
    carries_both_ways(a, b, session, 100)
    assert b.seen("dropped", "handshake", "cookieDemanded")
    c, d = peer(Responder(keys.Identity(), demands_cookie=True)), swift()
    carries_both_ways(c, d, swift_calls(c, d), 100)
    assert c.responder.drops["cookie demanded"]


def test_the_key_is_left_out_once_it_is_known(peer, swift):
    a, b = peer(), swift()
    python_calls(a, b)
    initiator = a.start(
        Initiator(a.identity, b.key_hash, responder_key=b.public_key, sends_public_key=False), b.address)
    assert b.drive(a, lambda: initiator.confirmed), b.lines
    assert len(initiator.m3) == 4


def test_data_behind_m3_is_delivered(peer, swift):
    a, b = peer(), swift()
    initiator = a.start(Initiator(a.identity, b.key_hash), b.address)
    assert b.drive(a, lambda: initiator.session is not None)
    a.send(initiator.session, IP, b"half a round trip early")
    packet = b"half a round trip early".hex()
    assert b.drive(a, lambda: bool(b.seen("packet", a.identity.key_hash.hex(), packet))), b.lines


@pytest.mark.parametrize("python_called", [True, False])
def test_python_asks_for_new_keys(peer, swift, python_called):
    a, b = peer(), swift()
    session = python_calls(a, b) if python_called else swift_calls(a, b)
    session.rekey(time.monotonic())
    assert b.drive(a, lambda: session.sending.generation == 1), (session.drops, b.lines)
    uses_new_keys_both_ways(a, b, session)


@pytest.mark.parametrize("python_called", [True, False])
def test_swift_asks_for_new_keys(peer, swift, python_called):
    a, b = peer(), swift()
    session = python_calls(a, b) if python_called else swift_calls(a, b)
    carries_both_ways(a, b, session, 64)
    b.tell("skip", "131")
    assert b.drive(a, lambda: session.sending.generation == 1), (session.drops, b.lines)
    uses_new_keys_both_ways(a, b, session)


@pytest.mark.parametrize("lost_way", ["drops_outgoing", "drops_incoming"])
def test_a_lost_request_or_answer_for_new_keys_is_sent_again(peer, swift, lost_way):
    a, b = peer(), swift()
    session = python_calls(a, b)
    assert b.drive(a, lambda: bool(b.seen("payload")))  # probes are out of the way
    setattr(a, lost_way, LosesFirst(2))
    session.rekey(time.monotonic())
    assert b.drive(a, lambda: session.sending.generation == 1), (session.drops, b.lines)
    uses_new_keys_both_ways(a, b, session)


@pytest.mark.parametrize("python_called", [True, False])
def test_when_both_ask_the_initiator_s_request_stands(peer, swift, python_called):
    a, b = peer(), swift()
    session = python_calls(a, b) if python_called else swift_calls(a, b)
    held = a.drops_outgoing = Hears(loses=True)
    session.rekey(time.monotonic())
    a.turn()
    a.drops_outgoing = passes
    b.tell("skip", "131")
    if python_called:
        assert b.drive(a, lambda: session.drops["our own request stands"] > 0), b.lines
    else:
        assert b.drive(a, lambda: session.sending.generation == 1), (session.drops, b.lines)
    for datagram in held.datagrams:
        a.socket.sendto(datagram, b.address)
    assert b.drive(a, lambda: session.sending.generation == 1), (session.drops, b.lines)
    del session.drops["our own request stands"]
    uses_new_keys_both_ways(a, b, session)
    assert session.sending.generation == 1


def uses_new_keys_both_ways(a: UDPPeer, b: SwiftPeer, session: Session) -> None:
    carries_both_ways(a, b, session, 500)
    assert b.drive(a, lambda: not session.sending.window.check(0)), "nothing came back under the new keys"
    assert not session.drops


def test_path_probes_of_both_sides_are_answered(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    session.probe(1_452, time.monotonic())
    assert b.drive(a, lambda: session.path_payload == 1_452), b.lines
    assert b.drive(a, lambda: bool(b.seen("payload", "1452"))), b.lines
    carries_both_ways(a, b, session, 1_419)
    carries_both_ways(a, b, session, 2_800)


# Loss.

FROM_INITIATOR = [
    [(wire.M1, 0)], [(wire.M1, 2)], [(wire.M3, 0)], [(wire.M3, 6)], [(wire.M3, i) for i in range(7)]]
ALL_M2 = [(wire.M2A, 0), (wire.M2A, 1)] + [(wire.M2B, i) for i in range(7)]
FROM_RESPONDER = [
    [(wire.M2A, 0)], [(wire.M2A, 1)], [(wire.M2B, 0)], [(wire.M2B, 6)], ALL_M2[2:], ALL_M2,
    [(wire.TRANSPORT, 0)]]
every_loss = pytest.mark.parametrize(
    "lost", FROM_INITIATOR + FROM_RESPONDER,
    ids=lambda lost: "+".join(f"{kind}.{index}" for kind, index in lost))


@every_loss
def test_python_as_initiator_survives_loss(peer, swift, lost):
    a, b, filter = peer(), swift(), LosesOnce(lost)
    setattr(a, "drops_outgoing" if lost in FROM_INITIATOR else "drops_incoming", filter)
    session = python_calls(a, b)
    assert not filter.left
    carries_both_ways(a, b, session, 64)


@every_loss
def test_python_as_responder_survives_loss(peer, swift, lost):
    a, b, filter = peer(), swift(), LosesOnce(lost)
    setattr(a, "drops_incoming" if lost in FROM_INITIATOR else "drops_outgoing", filter)
    session = swift_calls(a, b)
    assert not filter.left
    carries_both_ways(a, b, session, 64)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("python_calls_first", [True, False])
def test_one_datagram_in_five_may_be_lost(peer, swift, seed, python_calls_first):
    a, b = peer(), swift()
    a.drops_outgoing, a.drops_incoming = LosesAtRandom(0.2, seed), LosesAtRandom(0.2, seed + 100)
    (python_calls if python_calls_first else swift_calls)(a, b)


# Refusals. Each names the check that stands behind it.


@pytest.mark.parametrize(("liar", "reason"), [
    (WrongContextInitiator, "badSignature"), (WrongKeyHashInitiator, "wrongIdentity"),
    (WrongFinishedInitiator, "badFinished")])
def test_swift_refuses_a_lying_initiator(peer, swift, liar, reason):
    a, b = peer(), swift()
    initiator = a.start(liar(a.identity, b.key_hash), b.address)
    assert b.drive(a, lambda: bool(b.seen("dropped", "handshake", reason))), b.lines
    assert not initiator.confirmed and not b.seen("established")


@pytest.mark.parametrize(("liar", "reason"), [
    (WrongContextResponder, "badSignature"), (WrongKeyHashResponder, "wrongIdentity"),
    (WrongFinishedResponder, "badFinished")])
def test_swift_refuses_a_lying_responder(peer, swift, liar, reason):
    a, b = peer(liar(keys.Identity())), swift()
    b.tell("connect", str(a.address[1]), a.identity.key_hash.hex())
    assert b.drive(a, lambda: bool(b.seen("dropped", "handshake", reason))), b.lines
    assert not b.seen("established") and not a.sessions


def test_swift_is_silent_to_who_does_not_know_its_key_hash(peer, swift):
    a, b = peer(), swift()
    heard = a.drops_incoming = Hears(loses=True)
    a.start(Initiator(a.identity, os.urandom(32)), b.address)
    assert b.drive(a, lambda: len(b.seen("dropped", "handshake", "badMac1")) >= 3), b.lines
    assert not heard.datagrams


@pytest.mark.parametrize("knows_key", [True, False])
def test_swift_drops_an_m1_whose_count_does_not_fit_its_flag(peer, swift, knows_key):
    a, b = peer(), swift()
    heard = a.drops_incoming = Hears(loses=True)
    a.start(MiscountedM1(a.identity, b.key_hash, responder_key=b.public_key if knows_key else None), b.address)
    assert b.drive(a, lambda: bool(b.seen("dropped", "handshake", "malformed"))), b.lines
    assert not heard.datagrams


def test_swift_refuses_who_is_not_admitted(peer, swift):
    a, b = peer(), swift()
    b.tell("refuse", a.identity.key_hash.hex())
    a.start(Initiator(a.identity, b.key_hash), b.address)
    assert b.drive(a, lambda: bool(b.seen("dropped", "handshake", "notAdmitted"))), b.lines
    assert not b.seen("established")


def test_swift_sends_no_more_than_three_times_before_validation(peer, swift):
    a, b = peer(), swift()
    heard = a.drops_incoming = Hears(loses=True)
    a.start(Initiator(a.identity, b.key_hash, responder_key=b.public_key), b.address)
    b.drive(a, lambda: False, seconds=2.5)
    assert heard.datagrams and sum(map(len, heard.datagrams)) <= 3 * sum(map(len, a.sent))


def test_swift_refuses_replayed_and_altered_packets(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    packet = session.seal(bytes((IP,)) + b"once", time.monotonic())
    altered = packet[:-1] + bytes((packet[-1] ^ 1,))
    for datagram in (altered, packet, packet):
        a.socket.sendto(datagram, b.address)
    assert b.drive(a, lambda: bool(b.seen("dropped", "transport", "replayed"))), b.lines
    assert len(b.seen("dropped", "transport", "unauthenticated")) == 1 and len(b.seen("packet")) == 1


def test_swift_drops_malformed_datagrams_without_an_answer(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    heard = a.drops_incoming = Hears(loses=False)
    for junk in (b"\0", b"\x08" * 40, b"\x02" * 1_232, b"\x06\x01", b"\x01" * 16, b"\x07\x01" + bytes(29)):
        a.socket.sendto(junk, b.address)
    carries_both_ways(a, b, session, 64)
    assert all(datagram[0] == wire.TRANSPORT for datagram in heard.datagrams)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_copies_of_every_datagram_change_nothing(peer, swift, seed):
    """Each datagram to the Swift side comes with three damaged copies, before and behind it."""
    a, b, choice = peer(), swift(), random.Random(seed)

    def with_damaged_copies(datagram: bytes) -> bool:
        copies = [datagram] + [damaged(datagram, choice) for _ in range(3)]
        choice.shuffle(copies)
        for copy in copies:
            a.socket.sendto(copy, b.address)
        return True

    a.drops_outgoing = with_damaged_copies
    called = python_calls(a, b)
    carries_both_ways(a, b, called, 700)
    carries_both_ways(a, b, swift_calls(a, b), 700)
    assert len(b.seen("packet")) == 2
