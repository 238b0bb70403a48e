"""Results as data: rows with the versions, the hardware, the date and the command that gave them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "numpy", "scipy", "mlflow", "pandas")


def environment(command: str) -> dict[str, Any]:
    """Command, date, versions and hardware of this sitting."""
    import torch

    from grok.spec.config import PROTOCOL_VERSION
    from grok.store.provenance import code_tags

    cuda = torch.cuda.is_available()
    return {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "code": {**code_tags(), "protocol": PROTOCOL_VERSION},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}},
        "machine": {
            "system": platform.system(),
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "memory_gb": memory_gb(),
            "load_before": os.getloadavg()[0],
            "gpu": torch.cuda.get_device_name() if cuda else None,
        },
    }


def code_version() -> str:
    """The commit of the code that runs, and whether its files are others."""
    from grok.store.provenance import code_tags
    from grok.store.tags import CODE_DIRTY, CODE_VERSION

    code = code_tags()
    return code[CODE_VERSION] + (" and changes" if code[CODE_DIRTY] == "true" else "")


def _version(name: str) -> str | None:
    """Of an installed package; None where the monitor's part alone is installed, which needs fewer."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def memory_gb() -> float:
    """Memory of the machine in GB."""
    import psutil

    return round(psutil.virtual_memory().total / 1e9, 1)


def spelt(module: str) -> str:
    """The command of this process as one would type it."""
    return " ".join(["python -m", module, *sys.argv[1:]])


def json_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of every benchmark for its data."""
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for the data with versions, hardware and date")


def write(path: Path, about: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write rows with what is known about them, a row a line."""
    head = json.dumps(about, indent=1, ensure_ascii=False)[:-2]
    body = ",\n".join(f"  {json.dumps(_rounded(row), ensure_ascii=False)}" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head},\n "rows": [\n{body}\n ]\n}}\n', encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote: `rows` and the entries of `environment`."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _rounded(value: Any) -> Any:
    """Numbers to five significant digits: more is noise."""
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def headline(about: dict[str, Any]) -> str:
    """One line on where and with what a sitting took place."""
    machine, versions = about["machine"], about["versions"]
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores{gpu}, load {machine['load_before']:.1f} before; "
        f"python {versions['python']}, torch {versions['torch']}; {about['date']}"
    )
