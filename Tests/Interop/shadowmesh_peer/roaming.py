"""Where a session's peer is (§9): what its packets' sources say, and the challenge that settles it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

Address = tuple[str, int]

PATH_CHALLENGE, PATH_ANSWER = 0x32, 0x33
RANDOM = 8
DATAGRAM = 42
INTERVAL, TRIES = 1.0, 3
AMPLIFICATION = 3


@dataclass
class Challenge:
    address: Address
    random: bytes
    received: int
    due: float
    sent: int = 0
    tries: int = 0


class Roaming:
    """`address` is where the session's packets go. Without one (no socket around it) nothing is asked."""

    def __init__(self, drops: Counter[str]):
        self.address: Address | None = None
        self.challenge: Challenge | None = None
        self._raised: float | None = None
        self._drops = drops

    def arrived(self, source: Address, size: int, newest: bool, now: float) -> None:
        """A packet from `source` opened. `newest`: none that its sender sealed later has come."""
        challenge = self.challenge
        asked = challenge is not None and challenge.address == source
        if challenge is not None and asked:
            challenge.received += size
        if not newest or self.address is None:
            return
        if source == self.address:
            self.challenge = None
        elif not asked:
            if self._raised is not None and now < self._raised + INTERVAL:
                self._drops["challenge too soon"] += 1
                return
            self._raised = now
            self.challenge = Challenge(source, os.urandom(RANDOM), size, now)

    def due(self, now: float) -> tuple[bytes, Address] | None:
        """The message to send now, and where to."""
        challenge = self.challenge
        if challenge is None or now < challenge.due:
            return None
        if challenge.tries == TRIES:
            self.challenge = None
            return None
        challenge.tries, challenge.due = challenge.tries + 1, now + INTERVAL
        if challenge.sent + DATAGRAM > AMPLIFICATION * challenge.received:
            self._drops["challenge not paid for"] += 1
            return None
        challenge.sent += DATAGRAM
        return bytes((PATH_CHALLENGE,)) + challenge.random, challenge.address

    def answered(self, random: bytes, source: Address | None) -> bool:
        """Whether the answer is the one that was asked for, from where it was asked for: then it moves."""
        challenge = self.challenge
        if challenge is None or random != challenge.random or source != challenge.address:
            return False
        self.address, self.challenge = challenge.address, None
        return True
