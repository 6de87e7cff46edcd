"""The whole lab: an internet, a backbone and relays at providers, and two sites of each kind."""

import itertools

from . import prober
from .internet import Internet
from .sites import KINDS, Server, Site

BACKBONE = (0, 1)  # the third bytes of its two addresses: STUN as in RFC 5780 wants two
RELAYS = (2, 3, 4, 5)
FIRST_SITE = 20


class World:
    """`kinds` are built twice, as sites `a-KIND` and `b-KIND`; those with two machines once."""

    def __init__(self, directory, kinds=tuple(KINDS), relays=len(RELAYS), delay=20.0):
        self.directory = directory
        self.internet = Internet(directory, delay)
        self.backbone = Server(self.internet, "backbone", BACKBONE)
        self.relays = [Server(self.internet, f"relay{n + 1}", (RELAYS[n],)) for n in range(relays)]
        self.kinds = [KINDS[name] for name in kinds]
        self.sites = []
        self._numbers = itertools.count(FIRST_SITE)
        # Where the first and the second node of a pair stand: kind -> (site, machine).
        self.left, self.right = {}, {}
        for kind in self.kinds:
            if kind.machines > 1:
                site = self.site(kind.name, kind)
                self.left[kind.name], self.right[kind.name] = (
                    (site, machine) for machine in site.machines[:2]
                )
            else:
                for prefix, side in (("a", self.left), ("b", self.right)):
                    site = self.site(f"{prefix}-{kind.name}", kind)
                    side[kind.name] = (site, site.machines[0])

    def site(self, name, kind, **link):
        made = Site(self.internet, name, kind, next(self._numbers), **link)
        self.sites.append(made)
        return made

    def verify(self):
        """Looks at every site with plain sockets, then has every two of them meet, or fail to.

        Returns what was seen by site, and by pair of kinds whether they meet when both begin at once, and when the
        second begins later: `always`, `at once` (only then) or `never`.
        """
        servers = prober.Servers(self.backbone)
        try:
            seen = prober.check(self.sites, servers, self.internet.delay)
            return seen, self._punch(servers)
        finally:
            servers.stop()

    def _punch(self, servers):
        met = {}
        for pairs in rounds([kind.name for kind in self.kinds]):

            def meet(pair):
                ends = self.left[pair[0]], self.right[pair[1]]
                results = []
                for head_start in (0.0, 0.3):
                    for site, machine in ends:
                        site.forget(machine)
                    results.append(prober.punch(*ends, servers, head_start=head_start))
                met[pair] = "always" if all(results) else "at once" if results[0] else "never"

            prober.each(pairs, meet)
        return met


def rounds(names):
    """Every ordered pair of kinds, in rounds where each left and each right site takes part once."""
    return [
        [(name, names[(index + shift) % len(names)]) for index, name in enumerate(names)]
        for shift in range(len(names))
    ]
