"""A peer on a UDP socket: initiators, a responder, sessions. One thread drives any number of peers."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable

from . import keys, wire
from .initiator import Initiator
from .responder import Address, Responder
from .transport import CONTROL, IP, Received, Session

Filter = Callable[[bytes], bool]


def passes(datagram: bytes) -> bool:
    return False


class UDPPeer:
    """`drops_incoming` and `drops_outgoing` stand for a lossy path: True loses the datagram."""

    def __init__(self, identity: keys.Identity, responder: Responder | None = None):
        self.identity = identity
        self.responder = responder or Responder(identity)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.initiators: dict[bytes, tuple[Initiator, Address]] = {}
        self.sessions: list[tuple[Session, Address]] = []
        self.received: list[Received] = []
        self.drops_incoming: Filter = passes
        self.drops_outgoing: Filter = passes
        self.sent: list[bytes] = []

    @property
    def address(self) -> Address:
        return self.socket.getsockname()

    def close(self) -> None:
        self.socket.close()

    def start(self, initiator: Initiator, address: Address) -> Initiator:
        self.initiators[initiator.id] = (initiator, address)
        initiator.start(time.monotonic())
        self._flush()
        return initiator

    def session_with(self, key_hash: bytes) -> Session | None:
        for session, _ in self.sessions:
            if session.peer == key_hash:
                return session
        return None

    def send(self, session: Session, kind: int, message: bytes) -> None:
        session.outgoing += session.send(kind, message, time.monotonic())
        self._flush()

    def ip_packets(self) -> list[bytes]:
        return [r.message for r in self.received if r.kind == IP]

    def control_messages(self, kind: int) -> list[bytes]:
        return [r.message for r in self.received if r.kind == CONTROL and r.message[:1] == bytes((kind,))]

    # One turn: everything that has come, then timers, then everything to send.

    def turn(self) -> None:
        now = time.monotonic()
        while True:
            try:
                datagram, address = self.socket.recvfrom(65_536)
            except BlockingIOError:
                break
            if not self.drops_incoming(datagram):
                self.receive(datagram, address, now)
        for initiator, _ in self.initiators.values():
            initiator.tick(now)
        self.responder.tick(now)
        for session, _ in self.sessions:
            session.tick(now)
        self._flush()

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        kind = datagram[0] if datagram else 0
        if kind == wire.TRANSPORT:
            self._transport(datagram, address, now)
        elif kind in (wire.RETRY, wire.M2A, wire.M2B, wire.ACK) and datagram[5:13] in self.initiators:
            initiator, _ = self.initiators[datagram[5:13]]
            initiator.receive(datagram, now)
            if initiator.session is not None and self._place(initiator.session) is None:
                self.sessions.append((initiator.session, address))
        else:
            self.responder.receive(datagram, address, now)
            completed, self.responder.completed = self.responder.completed, []
            for session, session_address in completed:
                self.sessions.append((session, session_address))
                for early in self.responder.early_packets(session):
                    self._transport(early, session_address, now)

    def _place(self, session: Session) -> int | None:
        return next((i for i, (s, _) in enumerate(self.sessions) if s is session), None)

    def _transport(self, datagram: bytes, address: Address, now: float) -> None:
        index = int.from_bytes(datagram[4:8])
        for session, _ in self.sessions:
            if index in session.receiving:
                message = session.receive(datagram, now)
                if message is not None:
                    self.received.append(message)
                for initiator, _ in self.initiators.values():
                    if initiator.session is session and session.opened and not initiator.confirmed:
                        initiator.confirm()
                return
        self.responder.receive(datagram, address, now)

    def _flush(self) -> None:
        for initiator, address in self.initiators.values():
            self._send_all(initiator.outgoing, address)
        for datagram, address in self.responder.outgoing:
            self._send_all([datagram], address)
        self.responder.outgoing.clear()
        for session, address in self.sessions:
            self._send_all(session.outgoing, address)

    def _send_all(self, datagrams: list[bytes], address: Address) -> None:
        for datagram in datagrams:
            self.sent.append(datagram)
            if not self.drops_outgoing(datagram):
                self.socket.sendto(datagram, address)
        datagrams.clear()


def drive(peers: Iterable[UDPPeer], until: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Turns the peers until the condition holds; False when the time was over first."""
    peers = list(peers)
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            return False
        select.select([p.socket for p in peers], [], [], 0.02)
        for peer in peers:
            peer.turn()
    return True
