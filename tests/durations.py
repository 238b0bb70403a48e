"""The tests that the fast suite leaves out, by what they took: writes `long.txt`.

    python -m pytest -n 2 -m "not slow" --durations=0 --durations-min=0.3 > LOG
    python -m tests.durations LOG

on a machine that does nothing else. A test is long from `LONG_S` on, whatever its parameters; so are all of a file whose
fixtures take `FIXTURES_S`, since leaving out the first test that needs a fixture saves nothing.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

LIST = Path(__file__).with_name("long.txt")
LONG_S, FIXTURES_S = 1.0, 5.0
LINE = re.compile(r"\s*([\d.]+)s (call|setup|teardown)\s+((\S+?)::(\w+))")


def long(lines: Iterable[str]) -> list[str]:
    """Files and tests that are long, sorted; of pytest's table of durations.

    Example:
        >>> long(["2.00s call     a.py::test_x[1]", "0.90s call     a.py::test_y", "6.00s setup    b.py::test_z"])
        ['a.py::test_x', 'b.py']
    """
    calls, fixtures = defaultdict[str, float](float), defaultdict[str, float](float)
    for line in lines:
        if found := LINE.match(line):
            seconds, phase, test, file = float(found[1]), found[2], found[3], found[4]
            if phase == "call":
                calls[test] = max(calls[test], seconds)
            else:
                fixtures[file] += seconds
    files = {file for file, seconds in fixtures.items() if seconds >= FIXTURES_S}
    return sorted(files | {test for test, seconds in calls.items() if seconds >= LONG_S and test.split("::")[0] not in files})


def kept() -> set[str]:
    """Files and tests that are long, as they were measured last."""
    return set(LIST.read_text(encoding="utf-8").split())


def main(arguments: list[str]) -> int:
    """Write the list from a log."""
    found = long(Path(arguments[0]).read_text(encoding="utf-8", errors="replace").splitlines())
    LIST.write_text("\n".join(found) + "\n", encoding="utf-8")
    print(f"out={LIST.name} long={len(found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
