"""`shadowmesh-backbone` as a child process on a loopback port of its own."""

from __future__ import annotations

import re
import socket
import ssl
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
    """What a node is configured with: `url`, `region`, `key_hash` (printed by the program) and `ca_file`."""

    def __init__(
        self, program: Path, directory: Path, arguments: list[str], url: str, region: str,
        ca_file: Path | None = None, open_files: int | None = None,
    ):
        self.program, self.url, self.region, self.ca_file = program, url, region, ca_file
        self._log = directory / "backbone.log"
        limited = [] if open_files is None else ["prlimit", f"--nofile={open_files}"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*limited, program, *arguments], cwd=directory, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)
        self._wait_until_ready()
        match = re.search(r'backbone_key[:=]\s*"?([0-9a-f]{64})', self.log)
        assert match, f"the backbone did not print its key:\n{self.log}"
        self.key_hash = bytes.fromhex(match[1])

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait_until_ready(self) -> None:
        context = ssl.create_default_context(cafile=self.ca_file)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                opener.open(self.url + "/ready", timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log
                time.sleep(0.05)

    def close(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()


def dev(program: Path, directory: Path, open_files: int | None = None) -> RunningBackbone:
    """`dev`: plain HTTP, open admission, nothing kept."""
    port = free_port()
    arguments = ["dev", "--port", str(port), "--region", "interop"]
    url = f"http://127.0.0.1:{port}"
    return RunningBackbone(program, directory, arguments, url, "interop", open_files=open_files)
