"""The notebooks: their cells run on any store, and the outputs that are committed are those of their cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import pytest

from docs.notebooks.write import FOLDER, cells, read

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
COMPARED = {"epochs": 8, "max_window": 20, "window": 20, "first_epoch": 2, "checkpoint_epochs": (0, 8), "observe_every": 0}
"""A study of seconds whose band has the windows that the notebook asks for."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_outputs_are_whole(path: Path) -> None:
    """Each code cell has run once, in order, and none has failed."""
    code = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert "error" not in kinds
    assert sum("image/png" in output.get("data", {}) for cell in code for output in cell["outputs"]) >= 2
    assert "/work" not in path.read_text(encoding="utf-8")


def test_the_headline_notebook_runs_on_another_store(
    store: Any, tiny: Any, finish: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    base = {
        name: text for name, text in tiny(**COMPARED).to_strings().items() if name not in ("seed", "weight_decay", "n_train")
    }
    settings = ", ".join(f"{name}: '{text}'" for name, text in base.items())
    runs = "".join(f"    - {{condition: {name}, seed: 0, weight_decay: {decay}, {settings}}}\n" for name, decay in DECAYS)
    (tmp_path / "tiny.yaml").write_text(f"two:\n  sentence: Two.\n  source: ours\n  runs:\n{runs}", encoding="utf-8")
    for _, decay in DECAYS:
        finish(store, tiny(**COMPARED, weight_decay=decay))
    names: dict[str, Any] = {"__name__": "notebook"}
    for source in cells(FOLDER / "headline.ipynb"):
        exec(source.replace('"headline"', '"tiny.yaml:two"'), names)
    assert len(names["runs"]) == 2
    assert len(plt.get_fignums()) == 2
    plt.close("all")
    assert capsys.readouterr().out.count(" of 1") == 4
    assert list(names["right"]) == [0, 8]


DECAYS = (("grok", 0.0002), ("eta0", 0.0))
