"""A peer on a UDP socket: initiators, a responder, sessions. One thread drives any number of peers."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable

from . import keys, wire
from .initiator import Initiator
from .responder import Responder
from .roaming import Address
from .transport import CONTROL, IP, Received, Session

Filter = Callable[[bytes], bool]


def passes(datagram: bytes) -> bool:
    return False


class UDPPeer:
    """`drops_incoming` and `drops_outgoing` stand for a lossy path: True loses the datagram.

    `shown` stands for a NAT before another peer: by that peer's own address the one that it is seen at.
    """

    def __init__(self, identity: keys.Identity, responder: Responder | None = None):
        self.identity = identity
        self.responder = responder or Responder(identity)
        self.socket = bound_socket()
        self.initiators: dict[bytes, tuple[Initiator, Address]] = {}
        self.sessions: list[Session] = []
        self.shown: dict[Address, Address] = {}
        self.received: list[Received] = []
        self.drops_incoming: Filter = passes
        self.drops_outgoing: Filter = passes
        self.sent: list[bytes] = []

    @property
    def address(self) -> Address:
        return self.socket.getsockname()

    def move(self) -> None:
        """From here on its packets come from another port, and what goes to the old one is lost."""
        self.socket.close()
        self.socket = bound_socket()

    def close(self) -> None:
        self.socket.close()

    def start(self, initiator: Initiator, address: Address) -> Initiator:
        self.initiators[initiator.id] = (initiator, address)
        initiator.start(time.monotonic())
        self._flush()
        return initiator

    def session_with(self, key_hash: bytes) -> Session | None:
        for session in self.sessions:
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
                self.receive(datagram, self.shown.get(address, address), now)
        for initiator, _ in self.initiators.values():
            initiator.tick(now)
        self.responder.tick(now)
        for session in self.sessions:
            session.tick(now)
        self._flush()

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        kind = datagram[0] if datagram else 0
        if kind == wire.TRANSPORT:
            self._transport(datagram, address, now)
        elif kind in (wire.RETRY, wire.M2A, wire.M2B, wire.ACK) and datagram[5:13] in self.initiators:
            initiator, _ = self.initiators[datagram[5:13]]
            initiator.receive(datagram, now)
            if initiator.session is not None and initiator.session not in self.sessions:
                self._hold(initiator.session, address)
        else:
            self.responder.receive(datagram, address, now)
            completed, self.responder.completed = self.responder.completed, []
            for session, session_address in completed:
                self._hold(session, session_address)
                for early in self.responder.early_packets(session):
                    self._transport(early, session_address, now)

    def _hold(self, session: Session, address: Address) -> None:
        session.roaming.address = address
        self.sessions.append(session)

    def _transport(self, datagram: bytes, address: Address, now: float) -> None:
        index = int.from_bytes(datagram[4:8])
        for session in self.sessions:
            if index in session.receiving:
                message = session.receive(datagram, now, address)
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
        for session in self.sessions:
            assert session.roaming.address is not None
            self._send_all(session.outgoing, session.roaming.address)
            for datagram, address in session.elsewhere:
                self._send_all([datagram], address)
            session.elsewhere.clear()

    def _send_all(self, datagrams: list[bytes], address: Address) -> None:
        for datagram in datagrams:
            self.sent.append(datagram)
            real = self._real(address)
            if real is not None and not self.drops_outgoing(datagram):
                self.socket.sendto(datagram, real)
        datagrams.clear()

    def _real(self, address: Address) -> Address | None:
        """Where a datagram to this address ends; None when it is shown elsewhere, and nobody is there."""
        for real, shown in self.shown.items():
            if shown == address:
                return real
        return None if address in self.shown else address


def bound_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


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
