"""results/nat.html: the grid as a person reads it, one SVG in one page, no script and nothing from elsewhere."""

from html import escape

from . import report, shares
from .sites import KINDS

CELL_WIDTH, CELL_HEIGHT = 96, 66
LEFT, TOP = 290, 96
COLOURS = {
    # White text on each of them has a contrast of 4.5 or more.
    "direct": "#24734a",
    "relayed": "#94600c",
    "mixed": "#66721a",
    "some": "#a24f30",
    "none": "#a32a2a",
    "unplayed": "#80808055",
}
LEGEND = (
    ("direct", "direct in every try"),
    ("mixed", "direct in some tries, relayed in others"),
    ("relayed", "through relays"),
    ("some", "not connected in some tries"),
    ("none", "never connected"),
    ("unplayed", "not played"),
)
STYLE = """
:root { color-scheme: light dark; --text: #1c1c1c; --paper: #ffffff; --weak: #6a6a6a; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --paper: #16181c; --weak: #9a9a9a; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--paper); margin: 2rem auto;
       max-width: 1500px; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; }
td.value { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #d23f3f; font-weight: 600; }
svg { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text); }
svg .cell { fill: #ffffff; font-weight: 600; }
svg .small { font-size: 11px; font-weight: 400; }
a { color: inherit; }
p.weak { color: var(--weak); }
"""


def colour(cell):
    if cell is None or not cell.tries:
        return "unplayed"
    good = [each for each in cell.tries if each.first_byte is not None]
    if not good:
        return "none"
    if len(good) < len(cell.tries):
        return "some"
    direct = sum(each.direct for each in good)
    if direct:
        return "direct" if direct == len(good) else "mixed"
    return "relayed"


def cell_svg(cell, x, y):
    fill = COLOURS[colour(cell)]
    parts = [
        f'<rect x="{x}" y="{y}" width="{CELL_WIDTH - 2}" height="{CELL_HEIGHT - 2}" rx="3" fill="{fill}"/>'
    ]
    if cell is not None and cell.tries:
        good = [each for each in cell.tries if each.first_byte is not None]
        middle = x + CELL_WIDTH / 2 - 1
        for number, line in enumerate(lines(cell, good)):
            kind, below = ("cell", 16) if number == 0 else ("cell small", 16 + 14 * number)
            parts.append(f'<text class="{kind}" x="{middle}" y="{y + below}" text-anchor="middle">{line}</text>')
        parts.append(f"<title>{escape(told(cell))}</title>")
    return f"<g>{''.join(parts)}</g>"


def lines(cell, good):
    """What stands in a cell: time to the first byte, time to the best path, path and tries, bytes carried."""
    if not good:
        return ["none", f"0 of {len(cell.tries)}"]
    best = [each.best_path for each in good if each.best_path is not None]
    hops = max((each.hops or 0) for each in good)
    if all(each.direct for each in good):
        path = "direct"
    elif any(each.direct for each in good):
        path = "mixed"
    else:
        path = f"{hops} relay{'s' if hops != 1 else ''}" if hops else "relayed"
    carried = "no file" if not cell.carried else amount(cell.carried)
    if cell.carried and not cell.carried_equal:
        carried += " damaged"
    return [
        f"{report.median([each.first_byte for each in good]) * 1000:.0f} ms",
        f"best {report.median(best) * 1000:.0f} ms" if best else "best: none",
        f"{path}, {len(good)} of {len(cell.tries)}",
        carried,
    ]


def amount(count):
    return f"{count / 2**20:.3g} MiB" if count >= 2**20 else f"{count / 2**10:.3g} KiB"


def told(cell):
    """Everything about a cell, for whoever rests the pointer on it."""
    lines = [f"{KINDS[cell.first].says}  ->  {KINDS[cell.second].says}", f"plain sockets meet: {cell.meets}"]
    good = [each for each in cell.tries if each.first_byte is not None]
    if good:
        first = [each.first_byte for each in good]
        best = [each.best_path for each in good if each.best_path is not None]
        lines.append(f"first byte: {min(first) * 1000:.0f} to {max(first) * 1000:.0f} ms")
        if best:
            lines.append(f"best path: {min(best) * 1000:.0f} to {max(best) * 1000:.0f} ms")
        lines += sorted({f"{each.kind}: {each.reason}" for each in good})
    if cell.carried:
        checked = "checksum equal" if cell.carried_equal else "checksum DIFFERENT"
        lines.append(f"{cell.carried} bytes carried in {cell.carried_seconds:.1f} s, {checked}")
    if cell.error:
        lines.append(cell.error)
    return "\n".join(lines)


def grid_svg(cells):
    names = [name for name in KINDS if any(name in pair for pair in cells)]
    width, height = LEFT + CELL_WIDTH * len(names) + 10, TOP + CELL_HEIGHT * len(names) + 10
    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">']
    for index, name in enumerate(names):
        x, y = LEFT + CELL_WIDTH * index + CELL_WIDTH / 2, TOP + CELL_HEIGHT * index + CELL_HEIGHT / 2
        parts.append(f'<text transform="translate({x - 4} {TOP - 10}) rotate(-35)">{escape(name)}</text>')
        parts.append(f'<text x="{LEFT - 10}" y="{y - 2}" text-anchor="end">{escape(name)}</text>')
        says = KINDS[name].says
        parts.append(
            f'<text class="small" x="{LEFT - 10}" y="{y + 12}" text-anchor="end">{escape(says)}</text>'
        )
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            parts.append(cell_svg(cells.get((row, column)), LEFT + CELL_WIDTH * j, TOP + CELL_HEIGHT * i))
    return "".join(parts) + "</svg>"


def legend_svg():
    parts = ['<svg viewBox="0 0 1340 24" width="1340" height="24">']
    x = 0
    for name, text in LEGEND:
        parts.append(f'<rect x="{x}" y="4" width="14" height="14" rx="3" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 20}" y="16">{escape(text)}</text>')
        x += 40 + 6.4 * len(text)
    return "".join(parts) + "</svg>"


def rows(figures):
    for figure in figures:
        value = "" if figure.value is None else f"{figure.value:g}"
        met = "" if figure.gate is None else "ok" if figure.ok else "NOT MET"
        shown = "" if figure.ok else ' class="bad"'
        yield (
            f"<tr{shown}><td>{escape(figure.name)}</td><td class=value>{value}</td><td>{escape(figure.unit)}</td>"
            f"<td>{escape(figure.gate_text)}</td><td>{met}</td></tr>"
        )


def sources():
    for mix in shares.MIXES:
        text = ", ".join(f"{100 * part:g} % {name}" for name, part in mix.shares.items())
        source = f'<a href="{mix.address}">{escape(mix.source)}</a>'
        yield f"<li>{escape(mix.name)} ({escape(text)}): {source}. {escape(mix.says)}.</li>"
    for says, source, address in shares.MEASURED:
        yield f'<li>To compare: {escape(says)}. <a href="{address}">{escape(source)}</a>.</li>'


def page(outcome, cells, figures):
    """The whole page as text."""
    verdict = "every gate is met" if outcome["ok"] else outcome.get("error") or "not every gate is met"
    about = f"{outcome['time']}, {outcome['configuration']} build, {outcome['seconds']:.0f} s: {verdict}."
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ShadowMesh: every NAT against every NAT</title>
<style>{STYLE}</style></head><body>
<h1>Every NAT against every NAT</h1>
<p>{escape(about)}</p>
<p>Two nodes that have no session meet, each behind the kind of NAT that its row or column names. The row's node sends
first; 80 ms there and back between any two sites. In each cell, from above:</p>
<ul>
<li><b>time to the first byte</b>, from the first packet until its answer has come back through the overlay;</li>
<li><b>best</b>: time until the best path was in use, a direct one where plain sockets can meet; often before its first
answer is back. None: not within 6 s of the first byte;</li>
<li><b>path</b>: direct, or through how many relays; and how many of the tries connected;</li>
<li><b>bytes</b> of a file that went through in the end, with its checksum.</li>
</ul>
<p class="weak">Times are medians of the tries. Rest the pointer on a cell for the least and the most, and for the
reason that the node gave for its path.</p>
{legend_svg()}
{grid_svg(cells)}
<h2>Figures</h2>
<table><tr><th>figure</th><th>value</th><th></th><th>gate</th><th></th></tr>
{"".join(rows(figures))}
</table>
<h2>Shares, and who published them</h2>
<ul>{"".join(sources())}</ul>
</body></html>
"""
