"""Run the notebooks on a store and keep their outputs: `python -m docs.notebooks.write`, after `pip install -e ".[notebook]"`.

`MLFLOW_TRACKING_URI` names the store. The cells are those of the files; a cell that fails leaves the files as they were.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cells(path: Path) -> list[str]:
    """The code of a notebook, cell by cell."""
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def read(path: Path) -> dict[str, Any]:
    """A notebook as JSON has it."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> int:
    """Run each notebook and write it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        place = {"metadata": {"path": str(FOLDER.parents[1])}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
        for cell in notebook.cells:
            cell.metadata = {}
            if "outputs" in cell:  # warnings of the machine that ran it are no result
                cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
        notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
        nbformat.write(notebook, path)
        print(f"out={path.name} cells={len(notebook.cells)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
