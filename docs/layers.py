"""The layers as the imports have them: `python -m docs.layers` writes docs/figures/layers.svg and a table in architecture.md.

The rows come from the contract in pyproject.toml that `lint-imports` enforces, the arrows from the code's own imports.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from html import escape
from pathlib import Path

import grimp

PROJECT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = PROJECT / "docs" / "architecture.md", PROJECT / "docs" / "figures" / "layers.svg"
MARKS = ("<!-- layers: written by docs/layers.py -->\n", "<!-- end of layers -->\n")
WIDTH, BOX, ROW, GAP = 860, 30, 58, 14
STYLE = """\
text { font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1f2430 }
rect { fill: #eef3f9; stroke: #7b93b0; rx: 5 }
path { fill: none; stroke: #4c6a91; stroke-opacity: .7; marker-end: url(#tip) }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9ef } rect { fill: #263041; stroke: #6f86a6 } path { stroke: #9db6d6 }
}"""


def layers() -> list[list[str]]:
    """The rooms, top row first."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (rows,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [row.split(" | ") for row in rows]


def arrows(rooms: list[str]) -> dict[str, dict[str, int]]:
    """Per room, the rooms that it imports from and by how many import statements' modules."""
    graph = grimp.build_graph(*sorted({room.partition(".")[0] for room in rooms}), cache_dir=None)
    out: dict[str, dict[str, int]] = {room: {} for room in rooms}
    for room in rooms:
        for module in {room, *graph.find_descendants(room)}:
            for target in graph.find_modules_directly_imported_by(module):
                home = next((r for r in rooms if target == r or target.startswith(f"{r}.")), None)
                if home is not None and home != room:
                    out[room][home] = out[room].get(home, 0) + 1
    return out


def direct(found: dict[str, dict[str, int]]) -> dict[str, list[str]]:
    """The arrows that no longer way of arrows stands for: the picture's; the table has all."""

    def reached(room: str) -> set[str]:
        return {room}.union(*(reached(target) for target in found[room]))

    return {
        room: [t for t in sorted(targets) if not any(t in reached(other) for other in targets if other != t)]
        for room, targets in found.items()
    }


def sentence(room: str) -> str:
    """What a room says of itself: the first sentence of its docstring."""
    place = PROJECT / room.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(re.split(r"(?<=[.?])\s", text, maxsplit=1)[0].split())


def table(rows: list[list[str]], found: dict[str, dict[str, int]]) -> str:
    """The rooms in Markdown: what each is, and what it imports."""
    lines = ["| room | what it is | imports from |", "|---|---|---|"]
    order = [room for row in rows for room in row]
    for room in order:
        used = ", ".join(f"`{target}`" for target in order if target in found[room])
        lines.append(f"| `{room}` | {sentence(room)} | {used or '–'} |")
    return "\n".join(lines) + "\n"


def picture(rows: list[list[str]], found: dict[str, dict[str, int]]) -> str:
    """The rows as an SVG, an arrow for each of `direct`."""
    place: dict[str, tuple[float, float, float]] = {}
    for number, row in enumerate(rows):
        width = min(230.0, (WIDTH - GAP) / len(row) - GAP)
        left = (WIDTH - len(row) * (width + GAP) + GAP) / 2
        for i, room in enumerate(row):
            place[room] = (left + i * (width + GAP), 10 + number * ROW, width)
    lines = []
    for room, targets in direct(found).items():
        x, y, width = place[room]
        for target in targets:
            u, v, wide = place[target]
            a, b, start, end = x + width / 2, u + wide / 2, y + BOX, v
            bend = 0.0 if v - y <= ROW else 0.28 * (v - y) * (1 if (b, a) > (a, b) else -1)
            middle = (a + b) / 2 + bend
            lines.append(f'<path d="M{a:.0f} {start:.0f} Q{middle:.0f} {(start + end) / 2:.0f} {b:.0f} {end:.0f}"/>')
    for room, (x, y, width) in place.items():
        lines.append(f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}"/>')
        lines.append(f'<text x="{x + width / 2:.0f}" y="{y + 20:.0f}">{escape(room)}</text>')
    height = len(rows) * ROW - (ROW - BOX) + 20
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n<style>{STYLE}</style>\n'
    return f'{head}<defs>{tip}<path d="M0 0L8 4L0 8z"/></marker></defs>\n' + "\n".join(lines) + "\n</svg>\n"


def main() -> None:
    """Write both; exit 1 with `--check` if they were not as the imports have them."""
    rows = layers()
    found = arrows([room for row in rows for room in row])
    text = PAGE.read_text(encoding="utf-8")
    page = re.sub(f"{MARKS[0]}.*?{MARKS[1]}", lambda _: MARKS[0] + table(rows, found) + MARKS[1], text, flags=re.DOTALL)
    drawn = picture(rows, found)
    if "--check" in sys.argv[1:]:
        same = page == text and PICTURE.read_text(encoding="utf-8") == drawn
        raise SystemExit(0 if same else "docs/architecture.md must be as the imports are. Write it: python -m docs.layers")
    PAGE.write_text(page, encoding="utf-8")
    PICTURE.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
