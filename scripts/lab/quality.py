"""A ladder of worse and worse links: at each rung the session has to stay, and new ones to come about."""

import time

from .echo import Transfer
from .events import Pair
from .grid import forget, hops
from .mesh import TRANSFER_PORT
from .programs import Failed
from .report import Figure

TIME = 12.0  # seconds of echo a rung
INTERVAL = 0.1  # seconds from one to the next
FILE = 256 << 10
SILENCE = 5  # seconds at most in which nothing passes where a link's MTU shrinks
# What one site's link is set to; delays are of that link alone, in ms, and met in both directions.
# `device_mtu` is of its router's outer device, which answers with ICMP; `mtu` is the link's, which drops in silence.
CLEAN = {"loss": 0, "reorder": 0, "late": 0, "mtu": 65536, "delay": 20}
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
)
SMALL = (
    ("MTU 1280, the router says so", {"device_mtu": 1280}),
    ("MTU 1280, black hole", {"mtu": 1280}),
)


class Ladder:
    def __init__(self, world, mesh, say):
        self.world, self.mesh, self.say = world, mesh, say

    def play(self, direct, relayed):
        """`direct` are two ends that reach each other, `relayed` two that only relays connect. Returns figures."""
        figures = self.climb(direct, LADDER)
        figures += self.shrink(direct)
        figures += self.shrink(relayed, "relayed, ", relays=1)
        return figures + self.shrink(relayed, "relayed, at the receiver ", worse=1, relays=1)

    def shrink(self, ends, prefix="", **how):
        """Each small MTU comes over nodes that know nothing but the large one, and hosts that remember no path."""
        figures = []
        for rung in SMALL:
            for _, machine in ends:
                machine.shell("ip route flush cache; ip -6 route flush cache; ip tcp_metrics flush all")
            self.mesh.restart(*(self.mesh.nodes[machine.name] for _, machine in ends))
            figures += self.climb(ends, (rung,), prefix, **how)
        return figures

    def climb(self, ends, rungs, prefix="", worse=0, relays=None):
        """At each rung echoes and a file in the session that is there, and then a new one, for the next.

        `ends[worse]` is the one whose link is worse; the first sends. `relays` is through how many at least.
        """
        figures = []
        site = ends[worse][0]
        link = site.link
        with Pair(self, ends) as pair:
            if not pair.connected:
                self.say(pair.reason)
            for name, settings in rungs:
                settle(pair)
                mtu = pair.one.ask("status")[0]["mtu"]
                site.outside.shell(f"ip link set wan mtu {settings.get('device_mtu', 1500)}")
                on_link = {key: value for key, value in settings.items() if key != "device_mtu"}
                self.world.internet.set_link(link, **{**CLEAN, **on_link})
                before = self.crossed(link)
                figures += self.rung(prefix + name, pair, site, relays, mtu)
                if self.crossed(link) - before < TIME / INTERVAL:
                    raise Failed(f"{prefix}{name}: the packets don't cross {link}, whose quality is set")
                site.outside.shell("ip link set wan mtu 1500")
                self.world.internet.set_link(link, **CLEAN)
        return figures

    def crossed(self, link):
        count = self.world.internet.count(link)
        return count.packets_in + count.packets_out + count.dropped

    def too_large(self, site):
        """How many packets the link has lost without a word, and how many its router has refused as too large."""
        names, values = (
            line.split()[1:] for line in site.outside.run("cat", "/proc/net/snmp").splitlines()[:2]
        )
        return self.world.internet.count(site.link).dropped + int(values[names.index("FragFails")])

    def rung(self, name, pair, site, relays, mtu):
        machine, other = pair.machines
        shrinks = "MTU" in name
        before, refused = session_begun(pair), self.too_large(site)
        file = Transfer(machine, other, pair.two.address, TRANSFER_PORT, FILE, patience=60)
        if shrinks:
            # At once: it is what is in the way when large packets are lost that makes a hole black.
            file.start().wait()
        answers = self.mesh.echo.run(
            machine, pair.two.address, TIME, INTERVAL, until_first=False, size=64
        )
        last = max((sent for sent, _ in answers), default=0.0)
        if not shrinks:
            file.start().wait()
        after, refused = session_begun(pair), self.too_large(site) - refused
        path = pair.one.peer(pair.two.name)["path"]
        # Packets sent in the last seconds may be lost by chance; none of the last four means that nothing comes.
        kept = None not in (before, after) and after < before + 1.5 and last > TIME - 4
        forget(*pair.ends)
        self.mesh.reset(pair.one, pair.two)
        first = self.mesh.echo.run(machine, pair.two.address, 20)
        longest = SILENCE if shrinks else None
        figures = [
            Figure(f"{name}: session kept", float(kept), "", at_least=1),
            Figure(f"{name}: echoes answered", round(100 * len(answers) / (TIME / INTERVAL), 1), "%"),
            Figure(f"{name}: longest silence", silence(answers), "s", at_most=longest),
            Figure(f"{name}: relays in use", hops(path), "", at_least=relays),
            Figure(f"{name}: 256 KiB arrive whole", float(file.ok), "", at_least=1),
            Figure(f"{name}: longest stall", round(file.longest_stall, 2), "s", at_most=longest),
            Figure(f"{name}: 256 KiB take", round(file.seconds, 2) if file.ok else None, "s"),
            Figure(
                f"{name}: new session, first byte",
                round(sum(first[0]), 3) if first else None,
                "s",
                at_most=20,
            ),
        ]
        if shrinks:
            # Nothing is shown where nothing larger went before, or nothing was too large.
            figures += [
                Figure(f"{name}: the device's MTU before", mtu, "bytes", at_least=1281),
                Figure(f"{name}: packets that were too large", refused, "", at_least=1),
            ]
        self.say(
            ", ".join(f"{f.name.split(': ')[1]} {f.value}" for f in figures) + f" ({name}) {file.error or ''}"
        )
        return figures


def silence(answers):
    """The longest time between two answers, in seconds; also that before the first and after the last."""
    times = [0.0, *sorted(sent + trip for sent, trip in answers), TIME]
    return round(max(later - earlier for earlier, later in zip(times, times[1:])), 2)


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
