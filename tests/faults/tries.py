"""The tries of a campaign: planned, kept as JSON, put together from parts, told as a table."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import record
from tests.faults.kinds import SERVED


@dataclass(frozen=True)
class Try:
    """One fault and what came of it.

    Attributes:
        kind: of the fault. survived: whether all is as it should be. why: what is not.
        again_s: seconds of the repeated command. undisturbed_s: of the command on an undisturbed study, in the same sitting.
        commands: that were given after the fault until one said that all is complete.
        kept: share of all epochs that had not to be trained again when the first of them was given; NaN where the command that
            was disturbed went on by itself.
        missed: moments at which there was nothing left to disturb. number: of the try. code: the version that was tried.
    """

    kind: str
    survived: bool
    why: str
    again_s: float = 0.0
    undisturbed_s: float = 0.0
    commands: int = 0
    kept: float = math.nan
    missed: int = 0
    number: int = 0
    code: str = ""


def read(path: Path) -> list[Try]:
    """The tries of a file; JSON has no NaN."""
    found = json.loads(path.read_text(encoding="utf-8"))["tries"]
    return [Try(**(one | {"kept": math.nan if one["kept"] is None else one["kept"]})) for one in found]


def table(tries: list[Try]) -> str:
    """Fault, tries, survived; commands until all was there, epochs that were kept, seconds against an undisturbed study."""
    head = "| fault | tries | survived | commands, most | epochs kept, least | their time, mean share of an undisturbed study |"
    lines = [head, "|---|---|---|---|---|---|"]
    for kind in sorted({one.kind for one in tries}):
        mine = [one for one in tries if one.kind == kind]
        ended = [one for one in mine if one.commands]
        kept = [one.kept for one in mine if not math.isnan(one.kept)]
        shares = [one.again_s / one.undisturbed_s for one in ended] if kind not in SERVED else []  # no server is undisturbed
        least = f"{min(kept):.2f}" if kept else "–"
        share = f"{sum(shares) / len(shares):.2f}" if shares else "–"
        most = max((one.commands for one in mine), default=0)
        lines.append(f"| {kind} | {len(mine)} | {sum(one.survived for one in mine)} | {most} | {least} | {share} |")
    lines.append(f"| all | {len(tries)} | {sum(one.survived for one in tries)} | {max(one.commands for one in tries)} | | |")
    return "\n".join(lines)


def planned(seed: int, tries: int, kinds: list[str]) -> list[str]:
    """The kind of each try: each as often as another, in an order of the seed."""
    chosen = [kinds[i % len(kinds)] for i in range(tries)]
    random.Random(seed).shuffle(chosen)
    return chosen


def earlier(out: Path | None, numbers: Sequence[int], chosen: list[str]) -> list[Try]:
    """The tries of a campaign that was stopped, from its file; none where there is no file.

    Args:
        out: the file. numbers: of the tries that are asked for, in order. chosen: the kind of each try of the whole campaign.

    Raises:
        ValueError: if they are of another campaign, or of another version of the code.
    """
    if out is None or not out.exists():
        return []
    tries = read(out)
    if [(one.number, one.kind) for one in tries] != [(number, chosen[number]) for number in numbers[: len(tries)]]:
        raise ValueError(f"out must be of the same seed, tries, part and kinds, got {out} with other tries. Name another file.")
    if others := {one.code for one in tries} - {record.code_version()}:
        raise ValueError(f"out must be of this version of the code, got {out} of {min(others)}. Name another file.")
    return tries


def keep(out: Path | None, words: str, left: list[str], tries: list[Try]) -> None:
    """Write the tries so far, with what made them and the kinds that could not be tried; whole or not at all."""
    if out is None:
        return
    about = record.environment(f"python -m tests.faults.campaign {words}")
    told = [{name: None if value != value else value for name, value in vars(one).items()} for one in tries]
    content = about | {"not_tried": left, "survived": sum(one.survived for one in tries), "tries": told}
    beside = out.with_name(f".{out.name}.partial")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    beside.replace(out)


def joined(files: Sequence[Path], chosen: list[str]) -> list[Try]:
    """The tries of several parts, in order.

    Raises:
        ValueError: if they are not all tries of the campaign, each once and of one version of the code.
    """
    tries = sorted((one for file in files for one in read(file)), key=lambda one: one.number)
    if [(one.number, one.kind) for one in tries] != list(enumerate(chosen)):
        raise ValueError(f"join must have each of {len(chosen)} tries of a seed once, got {len(tries)}. Name all parts of it.")
    if len(codes := {one.code for one in tries}) != 1:
        raise ValueError(f"join must have tries of one version of the code, got {', '.join(sorted(codes))}. Try them anew.")
    return tries
