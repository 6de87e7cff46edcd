"""The initiator's half of the handshake. No socket and no clock: datagrams and the time come in."""

from __future__ import annotations

import os
import struct
from collections import Counter

from . import keys, wire
from .backoff import Backoff
from .transport import Session, fresh_index

GIVES_UP_AFTER = 30.0
RETRY_INTERVAL = 1.0
FRUITLESS_ACKS, UNOPENED_FRAGMENTS = 3, 4


class Initiator:
    """`outgoing` collects what to send. `session` is there from M3 on, `confirmed` once M4 has come.

    `prove`, `finish` and `claim` are apart so that a test can make an initiator that lies in one of them.
    """

    def __init__(
        self, identity: keys.Identity, responder: bytes, *, responder_key: bytes | None = None,
        suites: tuple[int, ...] = (wire.AES_256_GCM, wire.CHACHA20_POLY1305),
        sends_public_key: bool = True,
    ):
        self.identity, self.key_hash_r, self.public_key_r = identity, responder, responder_key
        self.offer = keys.Offer()
        self.local_index = fresh_index()
        self.suites, self.sends_public_key = suites, sends_public_key
        self.wants_public_key = responder_key is None
        body = wire.M1Body(
            self.offer.encoded, os.urandom(32), (wire.VERSION,), suites, self.wants_public_key,
            self.local_index)
        self.m1 = body.encoded()
        self.id = keys.initiator_id(self.m1)
        self.mac_key = keys.mac2_key(body.random)
        self.cookie = wire.NO_COOKIE
        self._forget_m2()
        self.m3: list[bytes] = []
        self.m3_acknowledged = 0
        self.session: Session | None = None
        self.confirmed = self.failed = False
        self.outgoing: list[bytes] = []
        self.drops: Counter[str] = Counter()
        self.timer = Backoff()
        self.started = 0.0
        self.last_retry: float | None = None

    def _forget_m2(self) -> None:
        self.suite = self.acks = self.unopened = 0
        self.m2a = wire.Assembly(2)
        self.m2b: wire.Assembly | None = None
        self.waiting_m2b: dict[int, wire.Framed] = {}
        self.responder_id: bytes | None = None
        self.schedule: keys.Schedule | None = None

    def start(self, now: float) -> None:
        self.started = now
        self.timer.start(now)
        self.send_m1()

    def send_m1(self) -> None:
        pieces = wire.m1_fragments(self.m1, self.wants_public_key)
        for index, piece in enumerate(pieces):
            head = wire.m1_head(index, len(pieces), self.id, self.cookie)
            self.outgoing.append(head + keys.mac1(self.key_hash_r, head + piece) + piece)

    # What a test overrides to lie.

    def claim(self) -> bytes:
        return self.identity.key_hash

    def prove(self, th4: bytes) -> bytes:
        return self.identity.sign(th4, keys.HS_INIT)

    def finish(self, finished: bytes) -> bytes:
        return finished

    # Datagrams in.

    def receive(self, datagram: bytes, now: float) -> None:
        try:
            framed = wire.parse_framed(datagram)
            if framed.receiver_id != self.id:
                raise wire.Malformed("another initiator's id")
            self._receive(framed, now)
        except (wire.Malformed, keys.Refused) as reason:
            self.drops[str(reason)] += 1

    def _receive(self, framed: wire.Framed, now: float) -> None:
        if framed.kind in (wire.RETRY, wire.M2A, wire.ACK):
            if not keys.same(keys.mac2(self.mac_key, framed.head, framed.rest), framed.mac):
                raise keys.Refused("mac")
        if framed.kind == wire.RETRY:
            self._retry(framed, now)
        elif framed.kind == wire.M2A and not self.m3:
            self._m2a(framed, now)
        elif framed.kind == wire.M2B and not self.m3:
            self._m2b(framed, now)
        elif framed.kind == wire.ACK and self.m3:
            self._acknowledged(framed, now)

    def _retry(self, framed: wire.Framed, now: float) -> None:
        in_flight = not self.m2a.pieces and not self.m3
        if not in_flight or (self.last_retry is not None and now - self.last_retry < RETRY_INTERVAL):
            raise keys.Refused("Retry out of turn")
        self.last_retry = now
        self.cookie = framed.rest
        self.timer.start(now)
        self.send_m1()

    def _m2a(self, framed: wire.Framed, now: float) -> None:
        if framed.suite not in self.suites:
            raise keys.Refused("a suite that was not offered")
        if self.m2b is None and self.m2a.pieces.get(framed.index, framed.rest) != framed.rest:
            self._forget_m2()  # another M2a, before anything has opened under this one
        if not self.m2a.add(framed.index, framed.rest):
            return
        self._progress(now)
        if framed.index == 0:
            self.responder_id = framed.rest[:8]
        body = self.m2a.body
        if body is None:
            return
        m2a = wire.parse_m2a_body(body)
        if m2a.version != wire.VERSION or m2a.suite != framed.suite:
            raise keys.Refused("a version or suite that was not offered")
        self.suite, self.remote_index = m2a.suite, m2a.receiver_index
        self.schedule = keys.Schedule.start(
            self.id, self.key_hash_r, self.m1, body, self.offer.shared(m2a.answer))
        held, self.waiting_m2b = self.waiting_m2b, {}
        for datagram in held.values():
            self._m2b(datagram, now)

    def _m2b(self, framed: wire.Framed, now: float) -> None:
        if framed.count != (7 if self.wants_public_key else 4):
            raise wire.Malformed("M2b fragment count")
        if self.schedule is None:
            if framed.index not in self.waiting_m2b:
                self._progress(now)
            self.waiting_m2b[framed.index] = framed
            return
        piece = keys.open_sealed(
            framed.suite, self.schedule.kR, framed.index, framed.rest, framed.mac, framed.head)
        if framed.suite != self.suite or piece is None:
            self.unopened += 1
            if self.m2b is None and self.unopened >= UNOPENED_FRAGMENTS:
                self._forget_m2()
            raise keys.Refused("M2b does not open")
        self.m2b = self.m2b or wire.Assembly(framed.count)
        if self.m2b.add(framed.index, piece):
            self._progress(now)
        body = self.m2b.body
        if body is not None:
            try:
                self._proved(wire.parse_proof(body), now)
            except keys.Refused:
                self._forget_m2()  # a bad one is dropped whole, and the next may be good
                raise

    def _progress(self, now: float) -> None:
        self.acks = 0
        self.timer.start(now)

    def _proved(self, proof: wire.Proof, now: float) -> None:
        assert self.schedule is not None
        public_key_r = proof.public_key or self.public_key_r
        if not keys.same(proof.key_hash, self.key_hash_r):
            raise keys.Refused("another KeyHash than the one called")
        if public_key_r is None or not keys.same(keys.key_hash(public_key_r), self.key_hash_r):
            raise keys.Refused("a public key of another KeyHash")
        th2 = self.schedule.responder(public_key_r)
        if not keys.same(self.schedule.responder_signed(proof.signature), proof.finished):
            raise keys.Refused("finished_R")
        if not keys.verifies(public_key_r, proof.signature, th2, keys.HS_RESP):
            raise keys.Refused("signature_R")
        self.public_key_r = public_key_r
        self._make_m3(now)

    def _make_m3(self, now: float) -> None:
        schedule = self.schedule
        assert schedule is not None and self.responder_id is not None
        claimed = self.claim()
        signature = self.prove(schedule.initiator(claimed, self.identity.public_key))
        finished = self.finish(schedule.initiator_signed(signature))
        sent_key = self.identity.public_key if self.sends_public_key else None
        body = wire.Proof(claimed, signature, finished, sent_key).encoded()
        pieces = wire.fragments(body, wire.CAPACITY)
        for index, piece in enumerate(pieces):
            head = wire.head(wire.M3, self.suite, index, len(pieces), self.responder_id)
            sealed, tag = keys.seal(self.suite, schedule.kI, index, piece, head)
            self.m3.append(head + tag + sealed)
        self.session = Session(
            self.suite, schedule.root, initiator=True, local_index=self.local_index,
            remote_index=self.remote_index, peer=self.key_hash_r, now=now)
        self.outgoing += self.m3
        self.timer.start(now)

    def _acknowledged(self, framed: wire.Framed, now: float) -> None:
        (bitmap,) = struct.unpack(">H", framed.rest)
        if bitmap >> len(self.m3):
            raise wire.Malformed("Ack of fragments that do not exist")
        if bitmap & ~self.m3_acknowledged:
            self.timer.start(now)
        self.m3_acknowledged = bitmap
        self._send_missing_m3()

    def _send_missing_m3(self) -> None:
        self.outgoing += [d for i, d in enumerate(self.m3) if not self.m3_acknowledged >> i & 1]

    def confirm(self) -> None:
        """The session has opened a packet: the responder has the same keys, and M3 need not be sent again."""
        self.confirmed = True
        self.timer.stop()

    # Time.

    def tick(self, now: float) -> None:
        if self.confirmed or self.failed:
            return
        if now - self.started > GIVES_UP_AFTER:
            self.failed = True
        elif self.timer.fires(now):
            if self.m3:
                self._send_missing_m3()
                if not self.outgoing:  # all of M3 is there, so it was M4 that was lost
                    self.outgoing.append(self.m3[0])
            elif self.responder_id is not None and self.acks < FRUITLESS_ACKS:
                self.acks += 1
                self._send_ack()
            else:  # no fragment 0 of M2a, hence no id to acknowledge to, or one that R has forgotten
                if self.responder_id is not None:
                    self._forget_m2()
                self.send_m1()

    def _send_ack(self) -> None:
        opened = self.m2b.bitmap if self.m2b else 0
        waiting = sum(1 << i for i in self.waiting_m2b)
        bitmap = self.m2a.bitmap | (opened | waiting) << 2
        assert self.responder_id is not None
        head = wire.head(wire.ACK, self.suite, 0, 1, self.responder_id)
        rest = struct.pack(">H", bitmap)
        self.outgoing.append(head + keys.mac2(self.mac_key, head, rest) + rest)
