"""Sessions: transport packets, replay window, pieces, control messages, rekeying, paths (§8 to §10)."""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import dataclass, field

from . import keys, wire
from .roaming import PATH_ANSWER, PATH_CHALLENGE, RANDOM, Address, Roaming

WINDOW = 2_048
PATH_PAYLOAD = 1_232
OVERHEAD, PIECE_OVERHEAD = 16 + 16 + 1, 39
IP, CONTROL, IP_PIECE, CONTROL_PIECE = 0x01, 0x02, 0x11, 0x12
PIECES = {IP_PIECE: 2, CONTROL_PIECE: 12}
PARTIAL_LIMIT, PARTIAL_BYTES, PARTIAL_LIFE = 64, 128 * 1024, 1.0
OLD_KEYS_LIFE = 10.0
REQUEST_INTERVAL, REQUEST_TRIES, CONFIRMATIONS = 1.0, 60, 10

PING, PONG, FIND_NODE, NODES, GET_RECORD, RECORD = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
REDEEM_INVITE, INVITE_ANSWER, ANNOUNCE = 0x07, 0x08, 0x09
REKEY_REQUEST, REKEY_ANSWER, PATH_PROBE, PATH_PROBE_ACK = 0x20, 0x21, 0x30, 0x31
PATH_CHECK, PATH_CHECK_ANSWER = 0x34, 0x35
CHECK_SIZE = PATH_PAYLOAD - 32 - 1
PATH_CHECKS = (bytes((PATH_CHECK,)), bytes((PATH_CHECK_ANSWER,)))


def fresh_index() -> int:
    """A receiver index: random, never zero."""
    while True:
        (index,) = struct.unpack(">I", os.urandom(4))
        if index:
            return index


class ReplayWindow:
    """The last 2,048 counters (RFC 6479). `check` first, `accept` only after the tag has verified."""

    def __init__(self) -> None:
        self._highest, self._seen = -1, 0

    def check(self, counter: int) -> bool:
        behind = self._highest - counter
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def is_newest(self, counter: int) -> bool:
        return counter > self._highest

    @property
    def is_empty(self) -> bool:
        return self._highest < 0

    def accept(self, counter: int) -> None:
        ahead = counter - self._highest
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & ((1 << WINDOW) - 1) if ahead < WINDOW else 1
            self._highest = counter
        else:
            self._seen |= 1 << -ahead


@dataclass
class Partial:
    kind: int
    count: int
    since: float
    pieces: dict[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces.values()))


@dataclass
class Epoch:
    """One generation of keys: 0 the handshake's, then one more for each rekeying."""

    generation: int
    root: bytes
    send_key: bytes
    receive_key: bytes
    local_index: int
    remote_index: int
    counter: int = 0
    next_message: int = 0
    window: ReplayWindow = field(default_factory=ReplayWindow)
    partials: dict[int, Partial] = field(default_factory=dict)
    ends: float | None = None


@dataclass(frozen=True)
class Received:
    kind: int  # IP or CONTROL
    message: bytes


class Session:
    """Both directions of one session. `outgoing` collects answers that the protocol asks for by itself, and
    `elsewhere` what goes to another address than the peer's: challenges and answers to them.
    """

    def __init__(
        self, suite: int, root: bytes, *, initiator: bool, local_index: int, remote_index: int, peer: bytes,
        now: float,
    ):
        self.suite, self.initiator, self.peer = suite, initiator, peer
        first = self._epoch(0, root, local_index, remote_index)
        self.receiving: dict[int, Epoch] = {local_index: first}
        self.sending = first
        self.path_payload = PATH_PAYLOAD
        self.added_peer = True
        self.outgoing: list[bytes] = []
        self.elsewhere: list[tuple[bytes, Address]] = []
        self.drops: Counter[str] = Counter()
        self.roaming = Roaming(self.drops)
        self.opened = False
        self.last_sent = now
        self._request: tuple[bytes, keys.Offer, int] | None = None
        self._request_due, self._request_tries = now, 0
        self._confirmation_due, self._confirmations = now, 0
        self._answered: tuple[bytes, bytes] | None = None
        self._next: Epoch | None = None

    def _epoch(self, generation: int, root: bytes, local_index: int, remote_index: int) -> Epoch:
        i2r, r2i = keys.data_keys(root)
        send, receive = (i2r, r2i) if self.initiator else (r2i, i2r)
        return Epoch(generation, root, send, receive, local_index, remote_index)

    # Out.

    def seal(self, plaintext: bytes, now: float) -> bytes:
        epoch = self.sending
        header = struct.pack(">B3xIQ", wire.TRANSPORT, epoch.remote_index, epoch.counter)
        sealed, tag = keys.seal(self.suite, epoch.send_key, epoch.counter, plaintext, header)
        epoch.counter += 1
        self.last_sent = now
        return header + sealed + tag

    def send(self, kind: int, message: bytes, now: float) -> list[bytes]:
        """The datagrams of one message: a single one where it fits the path, pieces where it doesn't."""
        if len(message) + OVERHEAD <= self.path_payload:
            return [self.seal(bytes((kind,)) + message, now)]
        piece_kind = {IP: IP_PIECE, CONTROL: CONTROL_PIECE}[kind]
        most = self.path_payload - PIECE_OVERHEAD
        count = wire.fragment_count(len(message), most)
        if count > PIECES[piece_kind]:
            raise ValueError("too large for the path")
        pieces = wire.fragments(message, wire.fragment_count(len(message), count))
        message_id = self.sending.next_message
        self.sending.next_message += 1
        return [
            self.seal(struct.pack(">BIBB", piece_kind, message_id, index, count) + piece, now)
            for index, piece in enumerate(pieces)]

    # In.

    def receive(self, datagram: bytes, now: float, source: Address | None = None) -> Received | None:
        """A whole message, or None: a keepalive, a piece of a message not whole yet, or a drop."""
        try:
            plaintext, epoch = self.open(datagram, now, source)
            received = self._assembled(plaintext, epoch, now) if plaintext else None
            if received is not None and received.kind == CONTROL:
                self._control(received.message, now, source)
            return received
        except (wire.Malformed, keys.Refused) as reason:
            self.drops[str(reason)] += 1
            return None

    def open(
        self, datagram: bytes, now: float, source: Address | None = None
    ) -> tuple[bytes, Epoch]:
        if len(datagram) < 32 or datagram[0] != wire.TRANSPORT or any(datagram[1:4]):
            raise wire.Malformed("transport header")
        index, counter = struct.unpack(">IQ", datagram[4:16])
        epoch = self.receiving.get(index)
        if epoch is None or (epoch.ends is not None and now > epoch.ends):
            raise keys.Refused("receiver index")
        if not epoch.window.check(counter):
            raise keys.Refused("replayed")
        plaintext = keys.open_sealed(
            self.suite, epoch.receive_key, counter, datagram[16:-16], datagram[-16:], datagram[:16])
        if plaintext is None:
            raise keys.Refused("tag")
        newer = [e for e in self.receiving.values() if e.generation > epoch.generation]
        newest = epoch.window.is_newest(counter) and all(e.window.is_empty for e in newer)
        if epoch.window.is_empty:
            self._heard_first(epoch, now)
        epoch.window.accept(counter)
        self.opened = True
        if epoch is self._next:
            self._send_with(epoch, now)
            self.outgoing.append(self.seal(b"", now))
        elif epoch is self.sending:
            self._confirmations = 0
        if source is not None and not (plaintext[:1] == bytes((CONTROL,)) and plaintext[1:2] in PATH_CHECKS):
            self.roaming.arrived(source, len(datagram), newest, now)
            self._challenge(now)
        return plaintext, epoch

    def _heard_first(self, epoch: Epoch, now: float) -> None:
        """The peer has these keys in use, so it needs the ones before them for what is under way only."""
        for older in self.receiving.values():
            if older.generation < epoch.generation:
                older.ends = min(older.ends or now + OLD_KEYS_LIFE, now + OLD_KEYS_LIFE)

    def _assembled(self, plaintext: bytes, epoch: Epoch, now: float) -> Received | None:
        kind = plaintext[0]
        if kind in (IP, CONTROL):
            return Received(kind, plaintext[1:])
        if kind not in PIECES or len(plaintext) < 8:
            raise wire.Malformed("plaintext")
        message_id, index, count = struct.unpack(">IBB", plaintext[1:7])
        if not 2 <= count <= PIECES[kind] or index >= count:
            raise wire.Malformed("piece")
        for stale in [i for i, p in epoch.partials.items() if now - p.since > PARTIAL_LIFE]:
            del epoch.partials[stale]
        held = epoch.partials
        if message_id not in held and len(held) >= PARTIAL_LIMIT:
            raise keys.Refused("too many unfinished messages")
        if sum(p.size for p in held.values()) + len(plaintext) > PARTIAL_BYTES:
            raise keys.Refused("too many unfinished bytes")
        partial = held.setdefault(message_id, Partial(kind, count, now))
        if (partial.kind, partial.count) != (kind, count):
            raise wire.Malformed("pieces disagree")
        partial.pieces[index] = plaintext[7:]
        if len(partial.pieces) < count:
            return None
        del held[message_id]
        whole_kind = IP if kind == IP_PIECE else CONTROL
        return Received(whole_kind, b"".join(partial.pieces[i] for i in range(count)))

    # Control messages that a session answers by itself.

    def _control(self, message: bytes, now: float, source: Address | None) -> None:
        kind, body = message[:1], message[1:]
        if kind == bytes((PING,)) and len(body) == 4:
            self._answer(struct.pack(">B4sB", PONG, body, int(self.added_peer)), now)
        elif kind == bytes((PATH_PROBE,)) and len(body) >= 2:
            self._answer(bytes((PATH_PROBE_ACK,)) + body[:2], now)
        elif kind == bytes((PATH_PROBE_ACK,)) and len(body) == 2:
            (size,) = struct.unpack(">H", body)
            self.path_payload = max(self.path_payload, size)
        elif kind == bytes((PATH_CHALLENGE,)):
            if len(body) != RANDOM or source is None:
                raise keys.Refused("path challenge")
            self._send_elsewhere(bytes((PATH_ANSWER,)) + body, source)
            self.path_payload = PATH_PAYLOAD
        elif kind == bytes((PATH_ANSWER,)):
            if not self.roaming.answered(body, source):
                raise keys.Refused("path answer")
            self.path_payload = PATH_PAYLOAD
        elif kind == bytes((PATH_CHECK,)):
            if len(body) + 1 != CHECK_SIZE or source is None:
                raise keys.Refused("path check")
            answer = bytes((PATH_CHECK_ANSWER,)) + body[:8] + bytes(CHECK_SIZE - 9)
            self._send_elsewhere(answer, source)
        elif kind == bytes((REKEY_REQUEST,)) and len(body) == 8 + wire.OFFER:
            self._rekey_requested(message, now)
        elif kind == bytes((REKEY_ANSWER,)) and len(body) == 8 + wire.ANSWER:
            self._rekey_answered(message, now)

    def _answer(self, message: bytes, now: float) -> None:
        self.outgoing += self.send(CONTROL, message, now)

    def _challenge(self, now: float) -> None:
        due = self.roaming.due(now)
        if due is not None:
            self._send_elsewhere(*due)

    def _send_elsewhere(self, message: bytes, address: Address) -> None:
        """It counts as nothing sent to the peer's address."""
        self.elsewhere.append((self.seal(bytes((CONTROL,)) + message, self.last_sent), address))

    def probe(self, size: int, now: float) -> None:
        message = struct.pack(">BH", PATH_PROBE, size)
        self.outgoing.append(self.seal(bytes((CONTROL,)) + message.ljust(size - OVERHEAD, b"\0"), now))

    def rekey(self, now: float) -> None:
        index, offer = fresh_index(), keys.Offer()
        request = struct.pack(">BII", REKEY_REQUEST, self.sending.generation + 1, index) + offer.encoded
        self._request, self._request_tries = (request, offer, index), 0
        self._send_request(request, now)

    def _send_request(self, request: bytes, now: float) -> None:
        self._request_due, self._request_tries = now + REQUEST_INTERVAL, self._request_tries + 1
        self._answer(request, now)

    def tick(self, now: float) -> None:
        """A request for new keys, then their use, and a challenge are sent each second until answered."""
        self._challenge(now)
        if self._confirmations and now >= self._confirmation_due:
            self._confirm(now)
        if self._request is not None and now >= self._request_due:
            if self._request_tries < REQUEST_TRIES:
                self._send_request(self._request[0], now)
            else:
                self._request = None

    def _rekey_requested(self, request: bytes, now: float) -> None:
        if self._answered is not None and self._answered[0] == request:
            self._answer(self._answered[1], now)
            return
        generation, remote_index = struct.unpack(">II", request[1:9])
        if generation != self.sending.generation + 1 or remote_index == 0:
            raise wire.Malformed("rekey generation or index")
        if self._request is not None:
            if self.initiator:
                raise keys.Refused("our own request stands")
            self._request = None
        local_index = fresh_index()
        exchange, shared = keys.answer(request[9:])
        reply = struct.pack(">BII", REKEY_ANSWER, generation, local_index) + exchange
        root = keys.rekeyed_root(self.sending.root, shared, request, reply)
        self._next = self._epoch(generation, root, local_index, remote_index)
        self.receiving[local_index] = self._next
        self._answered = (request, reply)
        self._answer(reply, now)

    def _rekey_answered(self, reply: bytes, now: float) -> None:
        if self._request is None:
            raise keys.Refused("a rekey answer that nobody asked for")
        request, offer, local_index = self._request
        generation, remote_index = struct.unpack(">II", reply[1:9])
        if generation != self.sending.generation + 1 or remote_index == 0:
            raise wire.Malformed("rekey generation or index")
        root = keys.rekeyed_root(self.sending.root, offer.shared(reply[9:]), request, reply)
        epoch = self._epoch(generation, root, local_index, remote_index)
        self.receiving[local_index] = epoch
        self._request = None
        self._send_with(epoch, now)
        self._confirmations = CONFIRMATIONS
        self._confirm(now)

    def _confirm(self, now: float) -> None:
        self._confirmations -= 1
        self._confirmation_due = now + REQUEST_INTERVAL
        self.outgoing.append(self.seal(b"", now))

    def _send_with(self, epoch: Epoch, now: float) -> None:
        self.sending, self._next = epoch, None
