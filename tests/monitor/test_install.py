"""The monitor in an environment of its own: the package as pip installs it, with torch, numpy and scipy alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ABSENT = ("mlflow", "pandas", "matplotlib", "pyarrow", "optuna", "sqlalchemy", "tqdm", "yaml")
USE = """
import importlib.util, json, sys, torch
import grok
from grok import SpectralMonitor
from grok.monitor.sinks import JsonLines
model = torch.nn.Linear(4, 3)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
monitor = SpectralMonitor(model, 3, strict=True, sinks=[JsonLines("run.jsonl")])
with monitor.attach(optimizer):
    for t in range(6):
        optimizer.zero_grad()
        (model(torch.ones(2, 4)) - t % 2).square().sum().backward()
        optimizer.step()
monitor.calibrate([{"gap_23": torch.ones(200).numpy()}])
print(json.dumps({
    "file": grok.__file__,
    "there": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
    "eigenvalues": monitor.eigenvalues(count=2).tolist()[-1],
    "rows": len(open("run.jsonl").readlines()),
    "torch": torch.__version__,
}))
"""


@pytest.mark.slow
def test_it_installs_and_runs_with_torch_numpy_and_scipy_alone(tmp_path: Path) -> None:
    """With torch as it is pinned; numpy and scipy come with the package. Takes a gigabyte, and an index that pip reaches."""
    source, home = tmp_path / "source", tmp_path / "home"
    ignored = shutil.ignore_patterns(".*", "docs", "tests", "mlruns", "*.db", "build", "*.egg-info")
    shutil.copytree(PROJECT, source, ignore=ignored)
    pinned = re.findall(r"^torch==(\S+)$", (PROJECT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    def call(*words: str | Path) -> str:
        answer = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert answer.returncode == 0, answer.stderr[-3000:]
        return answer.stdout

    call(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    call(python, "-m", "pip", "-q", "install", f"torch=={pinned[0]}")
    call(python, "-m", "pip", "-q", "install", source)
    said = json.loads(call(python, "-c", USE, *ABSENT))
    assert Path(said["file"]).is_relative_to(home)
    assert said["there"] == []
    assert said["rows"] == 6
    assert said["torch"].partition("+")[0] == pinned[0]
    first, second = said["eigenvalues"]
    assert first > second > 0
    installed = {line.partition("==")[0].lower() for line in call(python, "-m", "pip", "freeze").splitlines()}
    assert {"numpy", "scipy"} <= installed
    assert not {*ABSENT, "pyyaml"} & installed
    call(python, "-m", "pip", "check")
    shutil.rmtree(home)
