"""What the lab found, as figures with gates, as tables for the terminal, and as results/nat.json."""

from dataclasses import dataclass

from . import shares

FIRST_BYTE = 1.0  # seconds, at 80 ms there and back, where the two can punch
WIDTH = 9


@dataclass
class Figure:
    """A gate is a bound: `at_most` or `at_least`. Without one the value is only reported."""

    name: str
    value: float | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def gate(self):
        return self.at_least if self.at_most is None else self.at_most

    @property
    def ok(self):
        if self.gate is None:
            return True
        if self.value is None:
            return False
        return self.value <= self.at_most if self.at_most is not None else self.value >= self.at_least

    @property
    def gate_text(self):
        if self.gate is None:
            return "reported"
        return f"{'at most' if self.at_most is not None else 'at least'} {self.gate:g}"

    def json(self):
        return {"name": self.name, "value": self.value, "unit": self.unit, "gate": self.gate, "ok": self.ok}


def share(part, whole):
    return round(100 * part / whole, 2) if whole else None


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None


def grid_figures(cells):
    """The gates of the grid, over the tries of all cells."""
    tries = [each for cell in cells.values() for each in cell.tries]
    unplayed = [cell for cell in cells.values() if not cell.tries]
    connected = [each for each in tries if each.first_byte is not None]
    whole = [
        cell for cell in cells.values() if cell.tries and all(t.first_byte is not None for t in cell.tries)
    ]
    punched = [each for cell in cells.values() if cell.has_to_be_direct for each in cell.tries]
    direct = [each for each in punched if each.direct]
    first = [each.first_byte for each in punched if each.first_byte is not None]
    best = [each.best_path for each in punched if each.best_path is not None]
    carried = [cell for cell in cells.values() if cell.carried_equal]
    figures = [
        Figure("cells connected, by any path", share(len(whole), len(cells)), "%", at_least=100),
        Figure("tries connected", share(len(connected), len(tries)), "%"),
        Figure("tries direct where sockets can meet", share(len(direct), len(punched)), "%", at_least=100),
        Figure(
            "first byte there, the slowest", milliseconds(max(first, default=None)), "ms", FIRST_BYTE * 1000
        ),
        Figure(
            "first byte there, within 1 s",
            share(sum(t <= FIRST_BYTE for t in first), len(punched)),
            "%",
            at_least=100,
        ),
        Figure("first byte there, the median", milliseconds(median(first)), "ms"),
        Figure("best path there, the median", milliseconds(median(best)), "ms"),
        Figure("best path there, the slowest", milliseconds(max(best, default=None)), "ms"),
        Figure("cells that carried a file whole", share(len(carried), len(cells)), "%", at_least=100),
    ]
    if unplayed:
        figures.append(Figure("cells that could not be played", len(unplayed), "cells", at_most=0))
    return figures + mix_figures(cells)


def mix_figures(cells):
    figures = []
    for mix in shares.MIXES:
        bound = shares.weighted(mix, lambda a, b: possible(cells, a, b))
        value = shares.weighted(mix, lambda a, b: direct_share(cells, a, b))
        if bound is None:
            continue
        figures.append(Figure(f"{mix.name}: direct, as far as physics lets", percent(bound), "%"))
        figures.append(Figure(f"{mix.name}: direct", percent(value), "%", at_least=min(95, percent(bound))))
    limit = shares.most_symmetric(0.95)
    figures.append(Figure("symmetric NATs up to which 95 % can be direct", percent(limit), "%"))
    return figures


def possible(cells, first, second):
    cell = cells.get((first, second)) or cells.get((second, first))
    return None if cell is None else float(cell.has_to_be_direct)


def direct_share(cells, first, second):
    tries = [
        each for pair in {(first, second), (second, first)} if pair in cells for each in cells[pair].tries
    ]
    return sum(each.direct for each in tries) / len(tries) if tries else 0.0


def percent(value):
    return None if value is None else round(100 * value, 1)


def milliseconds(value):
    return None if value is None else round(value * 1000, 1)


def grid_json(cells):
    return [
        {
            "first": cell.first,
            "second": cell.second,
            "sockets_meet": cell.meets,
            "tries": [
                {
                    "first_byte_ms": milliseconds(each.first_byte),
                    "best_path_ms": milliseconds(each.best_path),
                    "first_path": each.first_kind,
                    "path": each.kind,
                    "hops": each.hops,
                    "endpoint": each.endpoint,
                    "reason": each.reason,
                }
                for each in cell.tries
            ],
            "carried_bytes": cell.carried,
            "checksum_equal": cell.carried_equal,
            "seconds": round(cell.carried_seconds, 3),
            "error": cell.error,
        }
        for cell in cells.values()
    ]


def cell_word(cell):
    """Nine letters at most: the path, and the median of the first byte in ms; how many failed when some did."""
    if cell is None:
        return ""
    good = [each for each in cell.tries if each.first_byte is not None]
    if not good:
        return "none"
    hops = max((each.hops or 0) for each in good)
    direct = sum(each.direct for each in good)
    letter = "D" if direct == len(good) else "D/R" if direct else f"R{hops}"
    text = f"{letter} {median([each.first_byte for each in good]) * 1000:.0f}"
    return text if len(good) == len(cell.tries) else f"{text} -{len(cell.tries) - len(good)}"


def grid_table(cells):
    """Rows begin, columns answer. D: direct, R2: through two relays; the median of the first byte in ms."""
    names = list(dict.fromkeys(cell.first for cell in cells.values()))
    columns = sorted(
        {cell.second for cell in cells.values()}, key=lambda name: names.index(name) if name in names else 99
    )
    lines = ["".join([" " * 12, *(f"{name[:WIDTH]:>{WIDTH + 1}}" for name in columns)])]
    for row in names:
        words = (cell_word(cells.get((row, column))) for column in columns)
        lines.append(f"{row:12}" + "".join(f"{word:>{WIDTH + 1}}" for word in words))
    return "\n".join(lines)


def figure_table(figures):
    width = max(len(figure.name) for figure in figures)
    lines = []
    for figure in figures:
        value = "-" if figure.value is None else f"{figure.value:g}"
        mark = " " if figure.gate is None else "+" if figure.ok else "!"
        lines.append(f"{mark} {figure.name.ljust(width)}  {value:>10} {figure.unit:6} {figure.gate_text}")
    return "\n".join(lines)
