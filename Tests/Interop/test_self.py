"""Python to Python over loopback: the library must agree with itself before it meets the Swift side."""

from __future__ import annotations

import os
import struct
import time

import pytest

from faults import LYING_INITIATORS, LYING_RESPONDERS, LosesOnce, MiscountedM1
from shadowmesh_peer import keys, records, wire
from shadowmesh_peer.initiator import Initiator
from shadowmesh_peer.responder import Responder
from shadowmesh_peer.transport import CONTROL, IP, PING, PONG, WINDOW, ReplayWindow, Session
from shadowmesh_peer.udp import drive

AES, CHACHA = wire.AES_256_GCM, wire.CHACHA20_POLY1305


def joined(a, b, **options) -> tuple[Session, Session]:
    """A session of each side, confirmed on both."""
    initiator = a.start(Initiator(a.identity, b.identity.key_hash, **options), b.address)
    assert drive([a, b], lambda: initiator.confirmed), (initiator.drops, b.responder.drops)
    theirs = b.session_with(a.identity.key_hash)
    assert initiator.session is not None and theirs is not None
    return initiator.session, theirs


def carries(a, b, mine: Session, theirs: Session, packet: bytes) -> None:
    a.send(mine, IP, packet)
    b.send(theirs, IP, packet[::-1])
    assert drive([a, b], lambda: packet in b.ip_packets() and packet[::-1] in a.ip_packets())


def test_sizes_of_the_document():
    assert (wire.M1_BODY, wire.M2A_BODY, wire.PROOF, wire.PROOF_WITH_KEY) == (1_664, 1_624, 4_691, 7_283)
    assert (wire.M1_CAPACITY, wire.CAPACITY) == (1_187, 1_203)
    assert [wire.fragment_count(n, wire.CAPACITY) for n in (1_624, 4_691, 7_283)] == [2, 4, 7]


@pytest.mark.parametrize("suite", [AES, CHACHA])
@pytest.mark.parametrize("knows_key", [True, False])
def test_handshake_and_data_both_ways(peer, suite, knows_key):
    a, b = peer(), peer()
    mine, theirs = joined(
        a, b, suites=(suite,), responder_key=b.identity.public_key if knows_key else None)
    assert mine.suite == theirs.suite == suite and theirs.peer == a.identity.key_hash
    carries(a, b, mine, theirs, os.urandom(1_000))
    carries(a, b, mine, theirs, os.urandom(1_280))  # two pieces


def test_ping_is_answered(peer):
    a, b = peer(), peer()
    mine, _ = joined(a, b)
    a.send(mine, CONTROL, struct.pack(">BI", PING, 77))
    assert drive([a, b], lambda: a.control_messages(PONG) == [struct.pack(">BIB", PONG, 77, 1)])


def test_responder_prefers_its_own_suite(peer):
    a = peer()
    b = peer(Responder(keys.Identity(), suites=(CHACHA, AES)))
    mine, _ = joined(a, b, suites=(AES, CHACHA))
    assert mine.suite == CHACHA


def test_cookie_is_demanded_and_echoed(peer):
    a = peer()
    b = peer(Responder(keys.Identity(), demands_cookie=True))
    joined(a, b)
    assert [d[0] for d in b.sent].count(wire.RETRY) == 1 and b.responder.drops["cookie demanded"] == 3


M2_AND_ANSWERS = [(wire.M2A, 0), (wire.M2A, 1), (wire.M2B, 0), (wire.M2B, 3), (wire.TRANSPORT, 0)]
EVERY_M3 = [(wire.M3, i) for i in range(7)]


@pytest.mark.parametrize("lost", [
    [(wire.M1, 0)], [(wire.M1, 1)], [(wire.M2A, 0)], [(wire.M2A, 1)], [(wire.M2B, 0)], [(wire.M2B, 6)],
    [(wire.M3, 0)], [(wire.M3, 6)], EVERY_M3, M2_AND_ANSWERS, [(wire.M2A, 0), (wire.M2A, 1)],
], ids=lambda lost: "+".join(f"{kind}.{index}" for kind, index in lost))
def test_handshake_survives_losing_each_datagram_once(peer, lost):
    a, b = peer(), peer()
    from_initiator = [one for one in lost if one[0] in (wire.M1, wire.M3)]
    a.drops_outgoing = LosesOnce(from_initiator)
    b.drops_outgoing = LosesOnce(set(lost) - set(from_initiator))
    mine, theirs = joined(a, b)
    carries(a, b, mine, theirs, b"after the losses")


def test_never_more_than_three_times_before_validation(peer):
    a, b = peer(), peer()
    a.drops_outgoing = lambda datagram: datagram[0] in (wire.ACK, wire.M3)
    a.start(Initiator(a.identity, b.identity.key_hash), b.address)
    drive([a, b], lambda: False, seconds=2.2)
    heard = sum(len(d) for d in a.sent if d[0] == wire.M1)
    assert heard and sum(map(len, b.sent)) <= 3 * heard


@pytest.mark.parametrize("liar", LYING_INITIATORS)
def test_responder_refuses_a_lying_initiator(peer, liar):
    a, b = peer(), peer()
    initiator = a.start(liar(a.identity, b.identity.key_hash), b.address)
    assert drive([a, b], lambda: bool(b.responder.drops))
    assert not initiator.confirmed and not b.sessions


@pytest.mark.parametrize("liar", LYING_RESPONDERS)
def test_initiator_refuses_a_lying_responder(peer, liar):
    a, b = peer(), peer(liar(keys.Identity()))
    initiator = a.start(Initiator(a.identity, b.identity.key_hash), b.address)
    assert drive([a, b], lambda: bool(initiator.drops))
    assert initiator.session is None and not b.sessions


def test_silence_for_who_does_not_know_the_key_hash(peer):
    a, b = peer(), peer()
    a.start(Initiator(a.identity, os.urandom(32)), b.address)
    assert drive([a, b], lambda: b.responder.drops["mac1"] == 3)
    assert not b.sent


@pytest.mark.parametrize("knows_key", [True, False])
def test_an_m1_whose_count_does_not_fit_its_flag_leaves_nothing(peer, knows_key):
    a, b = peer(), peer()
    a.start(MiscountedM1(
        a.identity, b.identity.key_hash, responder_key=b.identity.public_key if knows_key else None), b.address)
    assert drive([a, b], lambda: bool(b.responder.drops["M1 fragment count against its flags"]))
    assert not b.sent and not b.responder.half_open


def test_data_may_follow_m3_at_once(peer):
    a, b = peer(), peer()
    initiator = a.start(Initiator(a.identity, b.identity.key_hash), b.address)
    sent_early = []

    def early() -> bool:
        if initiator.session is not None and not sent_early:
            sent_early.append(1)
            assert not initiator.confirmed
            a.send(initiator.session, IP, b"half a round trip early")
        return b.ip_packets() == [b"half a round trip early"]

    assert drive([a, b], early)


def test_replayed_and_altered_packets_are_refused(peer):
    a, b = peer(), peer()
    mine, theirs = joined(a, b)
    now = time.monotonic()
    packet = mine.seal(bytes((IP,)) + b"once", now)
    altered = packet[:-1] + bytes((packet[-1] ^ 1,))
    assert theirs.receive(altered, now) is None and theirs.drops["tag"] == 1
    assert theirs.receive(packet, now).message == b"once"
    assert theirs.receive(packet, now) is None and theirs.drops["replayed"] == 1


def test_replay_window():
    window = ReplayWindow()
    for counter in (0, 5, 3, WINDOW + 5):
        assert window.check(counter)
        window.accept(counter)
    assert not window.check(5) and not window.check(3)  # 5 is just out of the window, 3 below it
    assert window.check(6) and not window.check(WINDOW + 5)


@pytest.mark.parametrize("initiator_asks", [True, False])
def test_rekey(peer, initiator_asks):
    a, b = peer(), peer()
    mine, theirs = joined(a, b)
    (mine if initiator_asks else theirs).rekey(time.monotonic())
    assert drive([a, b], lambda: mine.sending.generation == theirs.sending.generation == 1)
    assert mine.sending.root == theirs.sending.root
    carries(a, b, mine, theirs, b"under new keys")


def test_old_keys_end_ten_seconds_after_the_first_packet_under_the_new(peer):
    a, b = peer(), peer()
    mine, theirs = joined(a, b)
    now = time.monotonic()
    late = [theirs.seal(bytes((IP,)) + b"late", now) for _ in range(3)]
    mine.rekey(now)
    for sender, receiver in ((mine, theirs), (theirs, mine)):
        for datagram in sender.outgoing:
            receiver.receive(datagram, now)
        sender.outgoing.clear()
    assert (mine.sending.generation, theirs.sending.generation) == (1, 0)
    now += 60
    assert mine.receive(late[0], now) is not None, "nothing has come under the new keys"
    (confirmation,) = mine.outgoing
    theirs.receive(confirmation, now)
    mine.receive(theirs.outgoing.pop(), now)
    assert mine.receive(late[1], now + 10) is not None
    assert mine.receive(late[2], now + 11) is None and mine.drops["receiver index"] == 1


def test_path_probe_raises_the_payload(peer):
    a, b = peer(), peer()
    mine, _ = joined(a, b)
    mine.probe(1_452, time.monotonic())
    assert drive([a, b], lambda: mine.path_payload == 1_452)
    assert len(a.sent[-1]) == 1_452


def test_record_round_trip_and_refusals():
    owner, friend, now = keys.Identity(), keys.Identity(), 1_800_000_000
    home = records.Endpoint(records.INTERFACE, "192.0.2.7", 8_443)
    part = records.private_part((home,), (friend.key_hash,))
    private = part.encoded()
    body = records.Body(
        records.RECORD, records.LIGHT_PRIVATE, owner.key_hash, 1, now + 3_600, "europe",
        private_hash=keys.key_hash(private))
    bundle = records.signed(owner, body, part)
    parsed = records.parse_bundle(bundle.encoded())
    assert parsed.verified(now) == body
    assert part.admits(friend.key_hash) and not part.admits(owner.key_hash)
    for wrong in (now + 3_600, now - records.LONGEST_LIFE):
        with pytest.raises(keys.Refused, match="expiry"):
            parsed.verified(wrong)
    encoded = bundle.encoded()
    with pytest.raises(wire.Malformed):
        records.parse_bundle(encoded + b"\0")
    moved = parsed.body.replace(b"europe", b"africa")
    with pytest.raises(keys.Refused, match="signature"):
        records.Bundle(moved, parsed.public_key, parsed.signature).verified(now)


def test_relays_and_reservations_round_trip():
    relay = records.Relay(bytes(1_600), 2_976, "example.org", 443, b"\6" * 32)
    body = records.Body(
        records.RECORD, records.LIGHT_PUBLIC, bytes(32), 1, 5, "europe", relay_offer=50, relay=relay)
    assert records.parse_body(body.encoded()) == body
    for kind, service, offer in ((2, 2, 50), (1, 1, 50), (1, 2, 0)):
        with pytest.raises(wire.Malformed, match="relay"):
            records.parse_body(
                records.Body(kind, service, bytes(32), 1, 5, "europe", relay_offer=offer, relay=relay).encoded())
    held = records.Reservation(bytes(32), "192.0.2.1", 443, bytes(16))
    part = records.PrivatePart(bytes(16), (), (), (held,) * 4)
    assert records.parse_private_part(part.encoded()) == part
    with pytest.raises(wire.Malformed):
        records.parse_private_part(records.PrivatePart(bytes(16), (), (), (held,) * 5).encoded())
