"""`shadowmesh-backbone dev` as a child process on a loopback port of its own."""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

STARTS_WITHIN = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RunningBackbone:
    """What a node is configured with: `url`, `region` and `key_hash`, as the program prints them."""

    def __init__(self, program: Path, directory: Path):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = directory / "backbone.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, "dev", "--port", str(port), "--region", "interop"], cwd=directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self._wait_until_ready()
        self.key_hash = bytes.fromhex(self._printed("backbone_key", "[0-9a-f]{64}"))
        self.region = self._printed("region", "[a-z0-9_-]+")

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait_until_ready(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                opener.open(self.url + "/ready", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None and time.monotonic() < deadline, self.log
                time.sleep(0.05)

    def _printed(self, key: str, pattern: str) -> str:
        match = re.search(rf'{key}[:=]\s*"?({pattern})', self.log)
        assert match, f"the backbone did not print its {key}:\n{self.log}"
        return match.group(1)

    def close(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
