"""`smh1-interop-peer`: the Swift session core as a child process, driven by lines."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from shadowmesh_peer.roaming import Address
from shadowmesh_peer.udp import UDPPeer, drive


class SwiftPeer:
    def __init__(self, program: Path, *arguments: str):
        self.process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        os.set_blocking(self.process.stdout.fileno(), False)
        self._pending = b""
        self.lines: list[str] = []
        deadline = time.monotonic() + 10
        while not self.seen("listening"):
            assert time.monotonic() < deadline and self.process.poll() is None, "the Swift peer did not start"
            time.sleep(0.01)
        _, port, key_hash, public_key = self.seen("listening")[0].split()
        self.address: Address = ("127.0.0.1", int(port))
        self.key_hash, self.public_key = bytes.fromhex(key_hash), bytes.fromhex(public_key)

    def seen(self, *words: str) -> list[str]:
        """Every line so far that begins with these words."""
        while True:
            chunk = self.process.stdout.read(65_536)
            if not chunk:
                break
            *whole, self._pending = (self._pending + chunk).split(b"\n")
            self.lines += [line.decode() for line in whole]
        return [line for line in self.lines if line.split()[: len(words)] == list(words)]

    def tell(self, *words: str) -> None:
        self.process.stdin.write(" ".join(words).encode() + b"\n")

    def drive(self, peer: UDPPeer, until: Callable[[], bool], seconds: float = 20.0) -> bool:
        return drive([peer], until, seconds)

    def close(self) -> int:
        """Ends its input and returns its exit status: anything but 0 is a crash."""
        self.process.stdin.close()
        try:
            return self.process.wait(5)
        finally:
            self.process.kill()
            self.process.stdout.close()
