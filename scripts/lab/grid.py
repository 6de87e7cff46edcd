"""Every kind of site against every other: path reached, time to first byte, time to the best path, bytes carried."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .echo import Transfer
from .mesh import TRANSFER_PORT
from .programs import Failed
from .world import rounds

PATIENCE = 15.0  # seconds for the first byte
UPGRADE = 6.0  # seconds for the best path, after it
FILE = 2 << 20
DIRECT = ("direct", "local")  # without a relay


@dataclass
class Try:
    """What one try came to. Times in seconds since the first packet was sent; None: not within the patience."""

    first_byte: float | None = None
    best_path: float | None = None
    kind: str = "none"
    hops: int | None = None
    endpoint: str = ""
    reason: str = ""
    first_kind: str = ""

    @property
    def direct(self):
        return self.first_byte is not None and self.kind in DIRECT


@dataclass
class Cell:
    """Two kinds, in the order that the pair was built: the first one's machine sends first."""

    first: str
    second: str
    meets: str  # what plain sockets did: always, at once, never
    tries: list = field(default_factory=list)
    carried: int = 0
    carried_seconds: float = 0.0
    carried_equal: bool | None = None
    error: str = ""

    @property
    def has_to_be_direct(self):
        return self.meets == "always"


class Grid:
    """`tries` is how often each cell that has to be direct is played, `others` how often the rest is."""

    def __init__(self, world, mesh, meets, say, tries, others, at_once):
        self.world, self.mesh, self.meets, self.say = world, mesh, meets, say
        self.tries, self.others, self.at_once = tries, others, at_once
        self.cells = {}
        self._done, self._lock = 0, threading.Lock()

    def play(self, wanted=None):
        """All cells, or those of `wanted`, pairs of kinds in either order."""
        kinds = [kind.name for kind in self.world.kinds]
        every = [
            [pair for pair in pairs if wanted is None or pair in wanted or pair[::-1] in wanted]
            for pairs in rounds(kinds)
        ]
        total = sum(map(len, every))
        for pairs in every:
            with ThreadPoolExecutor(self.at_once) as pool:
                list(pool.map(lambda pair: self._cell(pair, total), pairs))
            self.mesh.check_alive()
        return self.cells

    def _cell(self, pair, total):
        first, second = self.world.left[pair[0]], self.world.right[pair[1]]
        # Who begins is chance: two kinds count as able to meet when they do whoever is first.
        orders = {self.meets[each] for each in (pair, pair[::-1]) if each in self.meets}
        cell = Cell(*pair, next(word for word in ("never", "at once", "always") if word in orders))
        self.cells[pair] = cell
        try:
            self._play(cell, first, second)
        except (Failed, OSError, LookupError, TypeError) as error:
            cell.error = f"{type(error).__name__}: {error}"
        with self._lock:
            self._done += 1
            self.say(f"{self._done}/{total} {pair[0]} x {pair[1]}: {summary(cell)}")

    def _play(self, cell, first, second):
        one, two = self.mesh.nodes[first[1].name], self.mesh.nodes[second[1].name]
        self.mesh.introduce(one, two)
        try:
            time.sleep(1.5)  # both records say now that the other may know where their node is
            for _ in range(self.tries if cell.has_to_be_direct else self.others):
                time.sleep(random.uniform(0.3, 0.8))
                forget(first, second)
                self.mesh.reset(one, two)
                cell.tries.append(self._try(cell, first[1], one, two))
            if cell.tries[-1].first_byte is not None:
                file = Transfer(first[1], second[1], two.address, TRANSFER_PORT, FILE).start().wait()
                cell.carried, cell.carried_equal = file.arrived, file.equal
                cell.carried_seconds = file.seconds
                cell.error = file.error or ""
        finally:
            self.mesh.separate(one, two)

    def _try(self, cell, machine, one, two):
        outcome = Try()
        watch = Watch(one, two.name, DIRECT if cell.has_to_be_direct else None)
        answers = self.mesh.echo.run(machine, two.address, PATIENCE)
        if not answers:
            watch.stop(0)
            outcome.reason = one.peer(two.name)["path"]["reason"]
            return outcome
        outcome.first_byte = sum(answers[0])
        # Packets go on, as with whoever uses it: that is what makes a node look for better.
        with Chatter(self.mesh.echo, machine, two.address):
            watch.stop(UPGRADE)
        outcome.best_path, outcome.first_kind = watch.reached, watch.first_kind
        path = one.peer(two.name)["path"]
        outcome.kind, outcome.hops = path["kind"], hops(path)
        outcome.endpoint, outcome.reason = path["endpoint"], path["reason"]
        return outcome


class Watch:
    """Looks at the path to a peer every 30 ms, until it is of a wanted kind."""

    def __init__(self, node, name, wanted):
        self.reached, self.first_kind = None, ""
        self._node, self._name, self._wanted = node, name, wanted
        self._begun = time.monotonic()
        self._deadline = None
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self, patience):
        """Waits that long for the wanted kind; without one, until there is any path."""
        self._deadline = time.monotonic() + patience
        self._thread.join()

    def _look(self):
        while self._deadline is None or time.monotonic() < self._deadline:
            try:
                peer = self._node.peer(self._name)
            except (OSError, Failed, ValueError):
                peer = None
            kind = peer["path"]["kind"] if peer else "none"
            if kind != "none" and peer["session"] in ("connected", "unconfirmed"):
                self.first_kind = self.first_kind or kind
                if self._wanted is None or kind in self._wanted:
                    self.reached = time.monotonic() - self._begun
                    return
            time.sleep(0.03)


class Chatter:
    """An echo request every 200 ms while the block lasts."""

    def __init__(self, echo, machine, target):
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._talk, args=(echo, machine, target), daemon=True)

    def _talk(self, echo, machine, target):
        while not self._end.is_set():
            echo.run(machine, target, 0.4, interval=0.2, until_first=False)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def forget(first, second):
    """As if the two had never met: their routers know nothing of each other's sites any more.

    What they know of backbone and relays stays: that is how a node in use is found.
    """
    for (site, _), (other, _) in ((first, second), (second, first)):
        site.forget_site(other)


def hops(path):
    """How many relays; 0 when the path is direct."""
    return path.get("hops", 0 if path["kind"] in DIRECT else None)


def summary(cell):
    good = [each for each in cell.tries if each.first_byte is not None]
    if not good:
        why = cell.error or (cell.tries[-1].reason if cell.tries else "")
        return f"not connected ({why})"
    kinds = sorted({each.kind for each in good})
    worst = max(each.first_byte for each in good)
    return f"{len(good)}/{len(cell.tries)} connected, {'/'.join(kinds)}, first byte in {worst * 1000:.0f} ms at most"
