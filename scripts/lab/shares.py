"""How common each kind of NAT is, by who has published it, and what that means for pairs drawn by chance.

Two machines drawn from a mix are connected directly as often as their cells of the grid are. Physics bounds
that: behind two NATs of which one is symmetric and the other admits only whom it has sent to, nobody can know where
to send.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mix:
    name: str
    shares: dict
    source: str
    address: str
    says: str


MIXES = (
    Mix(
        "home NATs of 2005",
        {"port": 0.82, "symmetric": 0.18},
        "B. Ford, P. Srisuresh, D. Kegel: Peer-to-Peer Communication Across Network Address Translators, "
        "USENIX 2005",
        "https://arxiv.org/abs/cs/0603074",
        "82 % of the NATs tested keep one mapping, as punching needs. All of them are taken as port-restricted "
        "and the rest as symmetric: the worst that the figure allows",
    ),
)

# What others measure between real peers, to hold the grid's mixes against.
MEASURED = (
    (
        "70 % ± 7.1 % of the attempts punch",
        "D. Trautwein, C. Ihle, M. Schubotz, B. Gipp: Challenging Tribal Knowledge, 2025 (4.4 million attempts, "
        "85,000 networks)",
        "https://arxiv.org/abs/2510.27500",
    ),
    (
        "64 % of the peers are behind a NAT or firewall that punching suits, and over 80 % of the attempts "
        "between those work",
        "G. Halkes, J. Pouwelse: UDP NAT and Firewall Puncturing in the Wild, NETWORKING 2011",
        "https://doi.org/10.1007/978-3-642-20798-3_1",
    ),
)


def weighted(mix, share_of):
    """The share of pairs, by a function of two kinds that gives the share of that cell. None when one is missing."""
    total = 0.0
    for first, one in mix.shares.items():
        for second, other in mix.shares.items():
            share = share_of(first, second)
            if share is None:
                return None
            total += one * other * share
    return total


def most_symmetric(goal):
    """The largest share of symmetric NATs, all others port-restricted, with which so many pairs can be direct."""
    return 1 - goal**0.5
