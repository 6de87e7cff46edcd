"""The resend timer of §7: 500 ms, then 1, 2, 2, 2 … seconds, each ± 10 %."""

from __future__ import annotations

import random

FIRST, LONGEST, JITTER = 0.5, 2.0, 0.1


class Backoff:
    def __init__(self) -> None:
        self.due: float | None = None
        self._interval = FIRST

    def start(self, now: float) -> None:
        """From the first interval again: at the start, and at every progress."""
        self._interval = FIRST
        self._arm(now)

    def stop(self) -> None:
        self.due = None

    def fires(self, now: float) -> bool:
        if self.due is None or now < self.due:
            return False
        self._interval = min(2 * self._interval, LONGEST)
        self._arm(now)
        return True

    def _arm(self, now: float) -> None:
        self.due = now + self._interval * random.uniform(1 - JITTER, 1 + JITTER)
