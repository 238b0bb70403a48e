"""Run the notebooks on a store and keep their outputs: `python -m docs.notebooks.write`, after `pip install -e ".[notebook]"`.

`MLFLOW_TRACKING_URI` names the store. The cells are those of the files; a cell that fails leaves the files as they were.
"""

from __future__ import annotations

import base64
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


def page(path: Path) -> dict[str, bytes]:
    """A notebook as a page of the docs: the Markdown and its pictures, by file name."""
    files: dict[str, bytes] = {}
    parts = []
    for cell in read(path)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            shown = output.get("data", {})
            text = "".join(output.get("text", shown.get("text/plain", ())))
            if "image/png" in shown:
                name = f"{path.stem}-{len(files) + 1}.png"
                files[name] = base64.b64decode("".join(shown["image/png"]))
                parts.append(f"![{path.stem}, figure {len(files)}]({name})")
            elif text.strip():
                parts.append(f"```text\n{text.rstrip()}\n```")
    made = f"*[{path.name}]({path.name}) with the outputs of its last run; `python -m docs.notebooks.write` makes both.*"
    first, rest = parts[0].split("\n", 1)
    return {f"{path.stem}.md": "\n\n".join([first, made, rest.strip(), *parts[1:]]).encode() + b"\n"} | files


def main() -> int:
    """Run each notebook, write it with its outputs, and the page that shows them; with `--page`, the page alone."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if "--page" not in sys.argv:
            _run(path)
        for name, content in page(path).items():
            (FOLDER / name).write_bytes(content)
        print(f"out={path.name}")
    return 0


def _run(path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(FOLDER.parents[1])}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if "outputs" in cell:  # warnings of the machine that ran it are no result
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    sys.exit(main())
