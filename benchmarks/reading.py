"""How a report reads, measured in a browser: `python -m benchmarks.reading docs/report/report.html`.

Words in the longest cell of a table that is seen, words of the first screen (1440 × 900, without the contents list), how far
down the first figure is, and printed pages, A4 where the page says so. It takes Chromium, by `--browser` where it is not called
that.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

SCRIPT = r"""
addEventListener("load", () => setTimeout(() => {
  const words = (text) => text.trim().split(/\s+/).filter(Boolean).length;
  const main = document.querySelector("main");
  let cell = 0, screen = 0;
  for (const one of main.querySelectorAll("td")) {
    if (!one.offsetParent || one.closest("details:not([open])")) continue;
    const seen = one.cloneNode(true);
    seen.querySelectorAll("details:not([open]) > :not(summary)").forEach((fold) => fold.remove());
    cell = Math.max(cell, words(seen.textContent));
  }
  const texts = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.parentElement.closest("script, style, svg")) continue;
    for (const word of text.textContent.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const box = range.getBoundingClientRect();
      screen += box.height > 0 && box.top >= 0 && box.bottom <= 900;
    }
  }
  const figure = Math.round(main.querySelector("figure")?.getBoundingClientRect().top ?? -1);
  document.title = JSON.stringify({ cell, screen, figure });
}, 0));
"""


def browse(browser: str, *arguments: str) -> str:
    """Run the browser without a window, and return what it prints.

    Raises:
        FileNotFoundError: if it is not there.
        subprocess.CalledProcessError: if it fails.
    """
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1440,900"]
    return subprocess.run([browser, *flags, *arguments], check=True, capture_output=True, text=True).stdout


def measure(page: Path, browser: str) -> dict[str, int]:
    """The words, places and pages of a report.

    Args:
        page: its HTML. browser: the command.

    Returns:
        cell, screen: words. figure: px. pages. bytes.
    """
    text = page.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace(
        "</body>", f"<script>{SCRIPT}</script></body>"
    )
    with tempfile.TemporaryDirectory() as folder:
        copy, printed = Path(folder) / "page.html", Path(folder) / "page.pdf"
        copy.write_text(text, encoding="utf-8")
        shown = browse(browser, "--virtual-time-budget=5000", "--dump-dom", copy.as_uri())
        browse(browser, "--no-pdf-header-footer", f"--print-to-pdf={printed}", page.resolve().as_uri())
        pages = len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))
    found = re.search(r"<title>(\{.*?\})</title>", shown)
    assert found is not None, "the page must have a main part, got none"
    seen: dict[str, int] = json.loads(found[1])
    return seen | {"pages": pages, "bytes": page.stat().st_size}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each report that is named, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path, metavar="HTML", help="report.html, one or several.")
    parser.add_argument("--browser", default="chromium", help="its command. Default chromium.")
    given = parser.parse_args(arguments)
    print("| report | words in the longest cell | words in the first screen | first figure at px | pages | MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for page in given.pages:
        found = measure(page, given.browser)
        words = f"{found['cell']} | {found['screen']} | {found['figure']}"
        print(f"| {page} | {words} | {found['pages']} | {found['bytes'] / 1e6:.2f} |")


if __name__ == "__main__":
    main()
