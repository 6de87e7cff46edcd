"""Peers whose addresses change (SMH1.md §9): the Python peer against itself and against the Swift core."""

from __future__ import annotations

import os
import time

import pytest

from faults import Hears
from shadowmesh_peer import wire
from shadowmesh_peer.initiator import Initiator
from shadowmesh_peer.roaming import DATAGRAM, PATH_ANSWER, PATH_CHALLENGE
from shadowmesh_peer.transport import (
    CHECK_SIZE, CONTROL, IP, PATH_CHECK, PATH_CHECK_ANSWER, PATH_PAYLOAD, Session)
from shadowmesh_peer.udp import UDPPeer, drive, passes
from swift_peer import SwiftPeer
from test_self import carries, joined
from test_session import carries_both_ways, python_calls, swift_calls

# Nobody listens at these ports: Python sees its peer there, as behind a NAT that has changed its mapping.
MAPPED, OTHER = ("127.0.0.1", 1), ("127.0.0.1", 2)

either_calls = pytest.mark.parametrize("call", [python_calls, swift_calls])


class Loses:
    """Loses the datagrams of one size, and keeps them."""

    def __init__(self, size: int):
        self.size = size
        self.lost: list[bytes] = []

    def __call__(self, datagram: bytes) -> bool:
        if len(datagram) == self.size:
            self.lost.append(datagram)
        return len(datagram) == self.size


def settle(a: UDPPeer, b: SwiftPeer) -> None:
    """Path probes are over, so that nothing but what a test sends is under way."""
    assert b.drive(a, lambda: bool(b.seen("payload", "1452"))), b.lines


def moves(a: UDPPeer, b: SwiftPeer, session: Session) -> None:
    """Python goes elsewhere and sends; Swift sends once it knows, and everything arrives."""
    a.move()
    follows(a, b, session)


def follows(a: UDPPeer, b: SwiftPeer, session: Session) -> None:
    before = len(b.seen("moved"))
    a.send(session, IP, b"from elsewhere")
    assert b.drive(a, lambda: len(b.seen("moved")) > before), b.lines
    assert b.seen("moved")[-1].endswith(f":{a.address[1]}")
    carries_both_ways(a, b, session, 64)


def swift_sends(a: UDPPeer, b: SwiftPeer, packet: bytes = b"E") -> None:
    b.tell("packet", a.identity.key_hash.hex(), packet.hex())


# Python to Python.


def test_python_follows_python(peer):
    a, b = peer(), peer()
    mine, theirs = joined(a, b)
    a.move()
    a.send(mine, IP, b"from elsewhere")
    assert drive([a, b], lambda: theirs.roaming.address == a.address)
    carries(a, b, mine, theirs, b"and there")
    assert theirs.roaming.address == a.address and mine.roaming.address == b.address
    assert not mine.drops and not theirs.drops


def test_challenges_are_sent_three_times_a_second_apart_and_paid_for(peer):
    for packet, expected in ((b"", 2), (b"x" * 200, 3)):
        a, b = peer(), peer()
        mine, theirs = joined(a, b)
        home = theirs.roaming.address
        a.move()
        heard = a.drops_incoming = Hears(loses=True)
        if packet:
            a.send(mine, IP, packet)
        else:
            a.socket.sendto(mine.seal(b"", time.monotonic()), b.address)
        drive([a, b], lambda: False, seconds=4.5)
        assert [len(datagram) for datagram in heard.datagrams] == [DATAGRAM] * expected
        assert theirs.roaming.address == home and theirs.roaming.challenge is None


def test_a_packet_that_is_not_the_newest_asks_nothing(peer):
    a, b = peer(), peer()
    mine, theirs = joined(a, b)
    now = time.monotonic()
    held = mine.seal(bytes((IP,)) + b"held back", now)
    assert theirs.receive(mine.seal(bytes((IP,)) + b"newer", now), now, a.address) is not None
    assert theirs.receive(held, now, OTHER) is not None
    assert theirs.roaming.challenge is None and not theirs.elsewhere


def test_a_newer_packet_from_the_known_address_ends_the_challenge(peer):
    a, b = peer(), peer()
    mine, theirs = joined(a, b)
    now = time.monotonic()
    theirs.receive(mine.seal(b"", now), now, OTHER)
    challenge = theirs.roaming.challenge
    assert challenge is not None and challenge.address == OTHER
    theirs.receive(mine.seal(b"", now), now, a.address)
    answer = bytes((CONTROL, PATH_ANSWER)) + challenge.random
    theirs.receive(mine.seal(answer, now), now, OTHER)
    assert theirs.roaming.address == a.address and theirs.drops["path answer"] == 1


def test_python_answers_a_path_check_at_full_size_where_it_came_from(peer):
    a, b = peer(), peer()
    mine, theirs = joined(a, b)
    now = time.monotonic()
    check = bytes((CONTROL, PATH_CHECK)) + bytes(range(8)) + bytes(CHECK_SIZE - 9)
    assert theirs.receive(mine.seal(check, now), now, OTHER) is not None
    (answer, address), = theirs.elsewhere
    assert address == OTHER and len(answer) == PATH_PAYLOAD
    received = mine.receive(answer, now)
    assert received is not None and received.message[:9] == bytes((PATH_CHECK_ANSWER,)) + bytes(range(8))
    assert theirs.roaming.challenge is None, "a check says nothing of where the peer has gone"
    theirs.receive(mine.seal(check[:-1], now), now, OTHER)
    assert theirs.drops["path check"] == 1


# Python moves.


def test_swift_answers_a_path_check_and_stays(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    a.move()
    heard = Hears(loses=False)
    a.drops_incoming = heard
    check = bytes((CONTROL, PATH_CHECK)) + os.urandom(8) + bytes(CHECK_SIZE - 9)
    a.socket.sendto(session.seal(check, time.monotonic()), b.address)
    assert b.drive(a, lambda: bool(heard.datagrams)), b.lines
    assert [len(datagram) for datagram in heard.datagrams] == [PATH_PAYLOAD]
    assert b.drive(a, lambda: bool(b.seen("checked"))), b.lines
    assert not b.seen("moved")
    a.socket.sendto(session.seal(check[:-1], time.monotonic()), b.address)
    assert b.drive(a, lambda: bool(b.seen("dropped", "transport", "checkRefused"))), b.lines


@either_calls
def test_swift_follows_python(peer, swift, call):
    a, b = peer(), swift()
    session = call(a, b)
    settle(a, b)
    moves(a, b, session)
    assert [line.split()[1] for line in b.seen("moved")] == [a.identity.key_hash.hex()]
    assert b.drive(a, lambda: len(b.seen("payload")) >= 3), ("the new path is probed anew", b.lines)
    assert not session.drops


def test_swift_follows_python_again_and_again(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    for _ in range(3):
        moves(a, b, session)
        b.drive(a, lambda: False, seconds=1.1)  # no other question is asked within a second
    assert len(b.seen("moved")) == 3


def test_swift_stays_while_its_challenge_is_not_answered(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    a.move()
    heard, a.drops_outgoing = Hears(loses=False), Loses(DATAGRAM)
    a.drops_incoming = heard
    a.socket.sendto(session.seal(b"", time.monotonic()), b.address)
    b.drive(a, lambda: False, seconds=3.5)
    assert [len(datagram) for datagram in heard.datagrams] == [DATAGRAM] * 2, "three times 32 pays for two"
    assert not b.seen("moved") and b.seen("dropped", "transport", "challengeWithheld")
    a.drops_outgoing = passes
    follows(a, b, session)
    assert len(b.seen("moved")) == 1


def test_swift_takes_no_wrong_answer(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    a.move()
    a.drops_outgoing = Loses(DATAGRAM)
    a.send(session, IP, b"from elsewhere")
    assert b.drive(a, lambda: bool(b.seen("packet")))
    for body in (bytes(8), bytes(7), b""):
        wrong = session.seal(bytes((CONTROL, PATH_ANSWER)) + body, time.monotonic())
        a.socket.sendto(wrong, b.address)
    assert b.drive(a, lambda: len(b.seen("dropped", "transport", "challengeRefused")) == 3), b.lines
    assert not b.seen("moved")


def test_swift_takes_no_answer_from_elsewhere(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    a.move()
    held = a.drops_outgoing = Hears(loses=True)
    a.socket.sendto(session.seal(b"", time.monotonic()), b.address)
    assert b.drive(a, lambda: any(len(datagram) == DATAGRAM for datagram in held.datagrams))
    a.move()
    a.socket.sendto(next(d for d in held.datagrams if len(d) == DATAGRAM), b.address)
    assert b.drive(a, lambda: bool(b.seen("dropped", "transport", "challengeRefused"))), b.lines
    assert not b.seen("moved")


@pytest.mark.parametrize("python_asks", [True, False])
def test_swift_follows_python_while_keys_change(peer, swift, python_asks):
    """Python moves before it hears that the new keys are in use, or before Swift does."""
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    if python_asks:
        session.rekey(time.monotonic())
        assert b.drive(a, lambda: session.sending.generation == 1)
    else:
        b.tell("skip", "131")
        assert b.drive(a, lambda: len(session.receiving) == 2)
    moves(a, b, session)
    assert b.drive(a, lambda: session.sending.generation == 1)
    assert len(b.seen("moved")) == 1


def test_swift_confirms_an_initiator_that_moved_after_m3(peer, swift):
    a, b = peer(), swift()
    a.drops_incoming = lambda datagram: datagram[0] == wire.TRANSPORT
    initiator = a.start(Initiator(a.identity, b.key_hash), b.address)
    assert b.drive(a, lambda: bool(b.seen("established")))
    a.move()
    a.drops_incoming = passes
    a.drops_outgoing = lambda datagram: datagram[0] == wire.TRANSPORT
    assert b.drive(a, lambda: initiator.confirmed, seconds=5), (initiator.drops, b.lines)
    assert not b.seen("moved"), "M3 moves nothing"
    a.drops_outgoing = passes
    assert initiator.session is not None
    follows(a, b, initiator.session)
    assert len(b.seen("moved")) == 1


# Swift seems to move.


@either_calls
def test_python_follows_swift(peer, swift, call):
    a, b = peer(), swift()
    session = call(a, b)
    settle(a, b)
    a.shown[b.address] = MAPPED
    swift_sends(a, b)
    assert b.drive(a, lambda: session.roaming.address == MAPPED), session.drops
    assert len([d for d in a.sent if len(d) == DATAGRAM]) == 1
    carries_both_ways(a, b, session, 64)
    assert not session.drops and not b.seen("moved")


def test_python_stays_while_its_challenge_is_not_answered(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    a.shown[b.address] = MAPPED
    swift_sends(a, b)
    assert b.drive(a, lambda: session.roaming.challenge is not None)
    # Not only the answers: whatever else came from there would be cause for another challenge.
    heard = a.drops_incoming = Hears(loses=True)
    assert b.drive(a, lambda: session.roaming.challenge is None, seconds=6)
    assert session.roaming.address == b.address
    assert any(len(datagram) == DATAGRAM for datagram in heard.datagrams), "Swift has answered"
    assert 1 <= len([d for d in a.sent if len(d) == DATAGRAM]) <= 3


def test_python_takes_no_wrong_answer(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    a.shown[b.address] = MAPPED
    answers = a.drops_incoming = Loses(DATAGRAM)
    swift_sends(a, b)
    assert b.drive(a, lambda: bool(answers.lost))
    a.drops_incoming, a.drops_outgoing = passes, Loses(DATAGRAM)
    mine = a.identity.key_hash.hex()
    for body in (bytes(8), bytes(7), b""):
        b.tell("control", mine, (bytes((PATH_ANSWER,)) + body).hex())
    assert b.drive(a, lambda: session.drops["path answer"] == 3), session.drops
    assert session.roaming.address == b.address


def test_python_takes_no_answer_from_elsewhere(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    a.shown[b.address] = MAPPED
    held = a.drops_incoming = Hears(loses=True)
    swift_sends(a, b)
    assert b.drive(a, lambda: bool(held.datagrams))
    a.receive(held.datagrams.pop(), MAPPED, time.monotonic())
    a.turn()
    assert b.drive(a, lambda: any(len(d) == DATAGRAM for d in held.datagrams))
    a.drops_incoming = passes
    a.receive(next(d for d in held.datagrams if len(d) == DATAGRAM), OTHER, time.monotonic())
    assert session.drops["path answer"] == 1 and session.roaming.address == b.address


def test_either_drops_a_challenge_of_another_size(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    for size in (0, 7, 9):
        message = bytes((PATH_CHALLENGE,)) + os.urandom(size)
        a.send(session, CONTROL, message)
        b.tell("control", a.identity.key_hash.hex(), message.hex())
    assert b.drive(a, lambda: len(b.seen("dropped", "transport", "challengeRefused")) == 3), b.lines
    assert b.drive(a, lambda: session.drops["path challenge"] == 3), session.drops


def test_a_replay_from_elsewhere_asks_nothing(peer, swift):
    a, b = peer(), swift()
    session = python_calls(a, b)
    settle(a, b)
    carries_both_ways(a, b, session, 64)
    old = a.sent[-1]
    a.move()
    heard = a.drops_incoming = Hears(loses=True)
    a.socket.sendto(old, b.address)
    assert b.drive(a, lambda: bool(b.seen("dropped", "transport", "replayed"))), b.lines
    b.drive(a, lambda: False, seconds=0.5)
    assert not heard.datagrams and not b.seen("moved")
