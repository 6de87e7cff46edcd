"""A ladder of worse and worse links: at each rung the session has to stay, and new ones to come about."""

import time

from .echo import Transfer
from .events import Pair
from .grid import forget
from .mesh import TRANSFER_PORT
from .programs import Failed
from .report import Figure

TIME = 12.0  # seconds of echo a rung
INTERVAL = 0.1  # seconds from one to the next
FILE = 256 << 10
# What the first site's link is set to; delays are of that link alone, in ms, and met in both directions.
# `device_mtu` is of its router's outer device, which answers with ICMP; `mtu` is the link's, which drops in silence.
CLEAN = {"loss": 0, "reorder": 0, "late": 0, "mtu": 65536, "delay": 20}
SMALL = (
    ("MTU 1280, the router says so", {"device_mtu": 1280}),
    ("MTU 1280, black hole", {"mtu": 1280}),
)
LADDER = (
    ("clean, 80 ms", {}),
    ("1 % loss", {"loss": 0.01}),
    ("2 % reordered", {"reorder": 0.02, "late": 15}),
    ("5 % loss", {"loss": 0.05}),
    ("10 % loss", {"loss": 0.10}),
    ("15 % loss", {"loss": 0.15}),
    ("20 % loss", {"loss": 0.20}),
    ("25 % loss", {"loss": 0.25}),
    ("200 ms", {"delay": 80}),
    ("400 ms", {"delay": 180}),
    ("800 ms", {"delay": 380}),
    *SMALL,
)


class Ladder:
    def __init__(self, world, mesh, say):
        self.world, self.mesh, self.say = world, mesh, say

    def play(self, ends, rungs=LADDER, prefix=""):
        """One session for the whole ladder; then at each rung a new one and a file."""
        figures = []
        link = ends[0][0].link
        with Pair(self, ends) as pair:
            if not pair.connected:
                self.say(pair.reason)
            for rung, settings in rungs:
                name = prefix + rung
                site = ends[0][0]
                device = settings.get("device_mtu", 1500)
                site.outside.shell(f"ip link set wan mtu {device}")
                on_link = {key: value for key, value in settings.items() if key != "device_mtu"}
                self.world.internet.set_link(link, **{**CLEAN, **on_link})
                before = self.crossed(link)
                figures += self.rung(name, pair)
                if self.crossed(link) - before < TIME / INTERVAL:
                    raise Failed(f"{name}: the packets don't cross {link}, whose quality is set")
                site.outside.shell("ip link set wan mtu 1500")
            self.world.internet.set_link(link, **CLEAN)
        return figures

    def crossed(self, link):
        count = self.world.internet.count(link)
        return count.packets_in + count.packets_out + count.dropped

    def rung(self, name, pair):
        machine, other = pair.machines
        before = session_begun(pair)
        answers = self.mesh.echo.run(
            machine, pair.two.address, TIME, INTERVAL, until_first=False, size=64
        )
        last = max((sent for sent, _ in answers), default=0.0)
        file = Transfer(machine, other, pair.two.address, TRANSFER_PORT, FILE, patience=60).start().wait()
        after = session_begun(pair)
        # Packets sent in the last seconds may be lost by chance; none of the last four means that nothing comes.
        kept = None not in (before, after) and after < before + 1.5 and last > TIME - 4
        forget(*pair.ends)
        self.mesh.reset(pair.one, pair.two)
        first = self.mesh.echo.run(machine, pair.two.address, 20)
        figures = [
            Figure(f"{name}: session kept", float(kept), "", at_least=1),
            Figure(f"{name}: echoes answered", round(100 * len(answers) / (TIME / INTERVAL), 1), "%"),
            Figure(f"{name}: 256 KiB arrive whole", float(file.ok), "", at_least=1),
            Figure(f"{name}: longest stall", round(file.longest_stall, 2), "s", 5 if "MTU" in name else None),
            Figure(f"{name}: 256 KiB take", round(file.seconds, 2) if file.ok else None, "s"),
            Figure(
                f"{name}: new session, first byte",
                round(sum(first[0]), 3) if first else None,
                "s",
                at_most=20,
            ),
        ]
        self.say(
            ", ".join(f"{f.name.split(': ')[1]} {f.value}" for f in figures) + f" ({name}) {file.error or ''}"
        )
        # Both ends may have begun: the session that stays is there for the next rung.
        self.world.internet.set_link(pair.ends[0][0].link, **CLEAN)
        settle(pair)
        return figures


def settle(pair, quiet=6, patience=40):
    """Waits until no other session has taken the place of the one in use for a while."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        begun = session_begun(pair)
        if begun is not None and time.monotonic() - begun >= quiet:
            return
        time.sleep(0.5)


def session_begun(pair):
    """When the session in use began, by this program's clock to a second; none is in use: None."""
    peer = pair.one.peer(pair.two.name)
    age = peer.get("session_seconds") if peer else None
    return None if age is None else time.monotonic() - age
