"""The responder's half of the handshake, with its table of half-open ones. No socket and no clock."""

from __future__ import annotations

import ipaddress
import os
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from . import keys, wire
from .backoff import Backoff
from .roaming import Address
from .transport import Session, fresh_index

HALF_OPEN_LIMIT = 1_024
COOKIE_FROM = 64
UNVALIDATED_LIFE, VALIDATED_LIFE = 3.0, 12.0
SECRET_LIFE = 120.0
EARLY_PACKETS = 16
M4_INTERVAL = 0.25


@dataclass
class HalfOpen:
    address: Address
    initiator_id: bytes
    m1: wire.Assembly
    since: float
    received: int = 0
    sent: int = 0
    validated: bool = False
    responder_id: bytes = b""
    local_index: int = 0
    suite: int = 0
    mac_key: bytes = b""
    schedule: keys.Schedule | None = None
    caps: wire.M1Body | None = None
    m2: list[bytes] = field(default_factory=list)
    m2_acknowledged: int = 0
    m3: wire.Assembly | None = None
    early: list[bytes] = field(default_factory=list)
    session: Session | None = None
    last_m4: float = 0.0
    last_m4_elsewhere: float = 0.0
    timer: Backoff = field(default_factory=Backoff)


class Responder:
    """`outgoing` collects (datagram, address); `completed` the sessions, each with its address.

    `claim`, `prove` and `finish` are apart so that a test can make a responder that lies in one of them.
    """

    def __init__(
        self, identity: keys.Identity, *,
        suites: tuple[int, ...] = (wire.AES_256_GCM, wire.CHACHA20_POLY1305),
        admits: Callable[[bytes], bool] = lambda key_hash: True, demands_cookie: bool = False,
    ):
        self.identity, self.suites = identity, suites
        self.admits, self.demands_cookie = admits, demands_cookie
        self.known_keys: dict[bytes, bytes] = {}
        self.half_open: dict[tuple[Address, bytes], HalfOpen] = {}
        self.outgoing: list[tuple[bytes, Address]] = []
        self.completed: list[tuple[Session, Address]] = []
        self.drops: Counter[str] = Counter()
        self.secrets = [os.urandom(32)]
        self.secret_made = 0.0

    # What a test overrides to lie.

    def claim(self) -> bytes:
        return self.identity.key_hash

    def prove(self, th2: bytes) -> bytes:
        return self.identity.sign(th2, keys.HS_RESP)

    def finish(self, finished: bytes) -> bytes:
        return finished

    # Datagrams in.

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        try:
            if datagram[:1] == bytes((wire.M1,)):
                self._m1(datagram, address, now)
            elif datagram[:1] == bytes((wire.TRANSPORT,)):
                self._early(datagram, address)
            else:
                self._framed(datagram, address, now)
        except (wire.Malformed, keys.Refused) as reason:
            self.drops[str(reason)] += 1

    def _m1(self, datagram: bytes, address: Address, now: float) -> None:
        m1 = wire.parse_m1(datagram)
        if not keys.same(keys.mac1(self.identity.key_hash, m1.covered), m1.mac1):
            raise keys.Refused("mac1")
        good_cookie = m1.cookie != wire.NO_COOKIE and self._cookie_is_good(m1, address, now)
        key = (address, m1.initiator_id)
        if not good_cookie and key not in self.half_open:
            if self.demands_cookie or len(self.half_open) >= COOKIE_FROM:
                if m1.index == 1:
                    self._retry(m1, address, now)
                raise keys.Refused("cookie demanded")
        if key not in self.half_open and len(self.half_open) >= HALF_OPEN_LIMIT:
            raise keys.Refused("too many half open")
        half = self.half_open.setdefault(
            key, HalfOpen(address, m1.initiator_id, wire.Assembly(m1.count), now))
        if half.m1.count != m1.count:
            raise wire.Malformed("M1 fragment count changed")
        half.received += len(datagram)
        half.validated |= good_cookie
        if not half.validated:
            half.since = now
        half.m1.add(m1.index, m1.fragment)
        if half.m1.body is None:
            return
        if not half.m2:
            self._make_m2(half, wire.joined_m1([half.m1.pieces[i] for i in range(half.m1.count)]), now)
            self._send_m2(half)
        elif m1.index == half.m1.count - 1 and half.m3 is None:
            self._send_m2(half)

    def _cookie_is_good(self, m1: wire.M1Datagram, address: Address, now: float) -> bool:
        self._turn_secret(now)
        return any(
            keys.same(keys.cookie(secret, address16(address), address[1], m1.initiator_id), m1.cookie)
            for secret in self.secrets)

    def _turn_secret(self, now: float) -> None:
        if now - self.secret_made > SECRET_LIFE:
            self.secrets = [os.urandom(32), self.secrets[0]]
            self.secret_made = now

    def _retry(self, m1: wire.M1Datagram, address: Address, now: float) -> None:
        self._turn_secret(now)
        random = m1.fragment[wire.OFFER - wire.M1_CAPACITY :][:32]
        head = wire.head(wire.RETRY, 0, 0, 1, m1.initiator_id)
        body = keys.cookie(self.secrets[0], address16(address), address[1], m1.initiator_id)
        self.outgoing.append((head + keys.mac2(keys.mac2_key(random), head, body) + body, address))

    def _make_m2(self, half: HalfOpen, body: bytes, now: float) -> None:
        caps = wire.parse_m1_body(body)
        if half.m1.count != (3 if caps.wants_public_key else 2):
            del self.half_open[(half.address, half.initiator_id)]
            raise wire.Malformed("M1 fragment count against its flags")
        suite = next((s for s in self.suites if s in caps.suites), None)
        if suite is None or wire.VERSION not in caps.versions:
            raise keys.Refused("no version or suite in common")
        half.caps, half.suite = caps, suite
        half.responder_id, half.local_index = os.urandom(8), fresh_index()
        half.mac_key = keys.mac2_key(caps.random)
        answer, shared = keys.answer(caps.offer)
        m2a = wire.M2aBody(half.responder_id, answer, wire.VERSION, suite, half.local_index).encoded()
        schedule = keys.Schedule.start(half.initiator_id, self.claim(), body, m2a, shared)
        half.schedule = schedule
        signature = self.prove(schedule.responder(self.identity.public_key))
        finished = self.finish(schedule.responder_signed(signature))
        sent_key = self.identity.public_key if caps.wants_public_key else None
        m2b = wire.Proof(self.claim(), signature, finished, sent_key).encoded()
        pieces = wire.fragments(m2a, wire.CAPACITY)
        for index, piece in enumerate(pieces):
            head = wire.head(wire.M2A, suite, index, len(pieces), half.initiator_id)
            half.m2.append(head + keys.mac2(half.mac_key, head, piece) + piece)
        pieces = wire.fragments(m2b, wire.CAPACITY)
        for index, piece in enumerate(pieces):
            head = wire.head(wire.M2B, suite, index, len(pieces), half.initiator_id)
            sealed, tag = keys.seal(suite, schedule.kR, index, piece, head)
            half.m2.append(head + tag + sealed)
        half.timer.start(now)

    def _send_m2(self, half: HalfOpen) -> None:
        for index, datagram in enumerate(half.m2):
            if not half.m2_acknowledged >> index & 1:
                self._send(half, datagram)

    def _send(self, half: HalfOpen, datagram: bytes) -> None:
        if not half.validated and half.sent + len(datagram) > 3 * half.received:
            self.drops["3x rule"] += 1
            return
        half.sent += len(datagram)
        self.outgoing.append((datagram, half.address))

    def _framed(self, datagram: bytes, address: Address, now: float) -> None:
        framed = wire.parse_framed(datagram)
        half = next((h for h in self.half_open.values() if h.responder_id == framed.receiver_id), None)
        if half is not None and half.session is not None and framed.kind == wire.M3:
            self._confirm_again(half, framed, address, now)
            return
        if half is None or half.address != address:
            raise keys.Refused("no half-open of this id")
        half.received += len(datagram)
        if framed.kind == wire.ACK:
            if not keys.same(keys.mac2(half.mac_key, framed.head, framed.rest), framed.mac):
                raise keys.Refused("mac")
            (bitmap,) = struct.unpack(">H", framed.rest)
            half.validated, half.since = True, now
            if bitmap & ~half.m2_acknowledged:
                half.timer.start(now)
            half.m2_acknowledged = bitmap
            if half.m3 is None:
                self._send_m2(half)
        elif framed.kind == wire.M3:
            self._m3(half, framed, now)

    def _m3(self, half: HalfOpen, framed: wire.Framed, now: float) -> None:
        piece = self._opened(half, framed)
        half.validated = True
        half.m3 = half.m3 or wire.Assembly(framed.count)
        if half.m3.count != framed.count:
            raise wire.Malformed("M3 fragment count changed")
        half.m2_acknowledged = (1 << len(half.m2)) - 1
        if half.m3.add(framed.index, piece):
            half.since = now
            half.timer.start(now)
        else:
            self._send_ack(half)
        body = half.m3.body
        if body is not None:
            try:
                self._proved(half, wire.parse_proof(body), now)
            except keys.Refused:
                del self.half_open[(half.address, half.initiator_id)]
                raise

    def _opened(self, half: HalfOpen, framed: wire.Framed) -> bytes:
        assert half.schedule is not None
        piece = keys.open_sealed(
            half.suite, half.schedule.kI, framed.index, framed.rest, framed.mac, framed.head)
        if framed.suite != half.suite or piece is None:
            raise keys.Refused("M3 does not open")
        return piece

    def _confirm_again(self, half: HalfOpen, framed: wire.Framed, address: Address, now: float) -> None:
        """M4 once more, to where this M3 came from: its initiator may have moved."""
        self._opened(half, framed)
        last = half.last_m4 if address == half.address else half.last_m4_elsewhere
        if now - last < M4_INTERVAL:
            raise keys.Refused("M4 too soon")
        self._send_m4(half, address, now)

    def _proved(self, half: HalfOpen, proof: wire.Proof, now: float) -> None:
        schedule, caps = half.schedule, half.caps
        assert schedule is not None and caps is not None
        if not self.admits(proof.key_hash):
            raise keys.Refused("not admitted")
        public_key = proof.public_key or self.known_keys.get(proof.key_hash)
        if public_key is None:
            raise keys.Refused("a key that is not known and was not sent")
        if not keys.same(keys.key_hash(public_key), proof.key_hash):
            raise keys.Refused("a public key of another KeyHash")
        th4 = schedule.initiator(proof.key_hash, public_key)
        if not keys.same(schedule.initiator_signed(proof.signature), proof.finished):
            raise keys.Refused("finished_I")
        if not keys.verifies(public_key, proof.signature, th4, keys.HS_INIT):
            raise keys.Refused("signature_I")
        self.known_keys[proof.key_hash] = public_key
        half.session = Session(
            half.suite, schedule.root, initiator=False, local_index=half.local_index,
            remote_index=caps.receiver_index, peer=proof.key_hash, now=now)
        half.timer.stop()
        self._send_m4(half, half.address, now)
        self.completed.append((half.session, half.address))

    def _send_m4(self, half: HalfOpen, address: Address, now: float) -> None:
        assert half.session is not None
        if address == half.address:
            half.last_m4 = now
        else:
            half.last_m4_elsewhere = now
        self.outgoing.append((half.session.seal(b"", now), address))

    def _early(self, datagram: bytes, address: Address) -> None:
        """Data that overtook M3, or came with it: kept until the M3 is checked."""
        for half in self.half_open.values():
            if half.address == address and half.session is None and half.validated:
                if struct.pack(">I", half.local_index) == datagram[4:8] and len(half.early) < EARLY_PACKETS:
                    half.early.append(datagram)
                    return
        raise keys.Refused("no session of this index")

    def early_packets(self, session: Session) -> list[bytes]:
        for half in self.half_open.values():
            if half.session is session:
                taken, half.early = half.early, []
                return taken
        return []

    # Time.

    def tick(self, now: float) -> None:
        for key, half in list(self.half_open.items()):
            if now - half.since > (VALIDATED_LIFE if half.validated else UNVALIDATED_LIFE):
                del self.half_open[key]
            elif half.timer.fires(now) and half.session is None and half.validated:
                if half.m3 is not None:
                    self._send_ack(half)
                else:
                    self._send_m2(half)

    def _send_ack(self, half: HalfOpen) -> None:
        assert half.m3 is not None
        head = wire.head(wire.ACK, half.suite, 0, 1, half.initiator_id)
        rest = struct.pack(">H", half.m3.bitmap)
        self._send(half, head + keys.mac2(half.mac_key, head, rest) + rest)


def address16(address: Address) -> bytes:
    parsed = ipaddress.ip_address(address[0])
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
