"""What the project is made of: licences listed, dependencies explained, one statement of its own licence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from docs import licences

PROJECT = Path(__file__).resolve().parent.parent.parent


def listed() -> dict[str, tuple[str, str]]:
    """Version and licence by package, as the page has them."""
    text = (PROJECT / "docs" / "licences.md").read_text(encoding="utf-8")
    return {name: (version, licence) for name, version, licence in re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", text, re.M)}


def test_every_locked_package_is_in_the_list_of_licences() -> None:
    assert {name: version for name, (version, _) in listed().items() if name != "package"} == licences.locked()


def test_every_pinned_package_has_a_licence_that_lets_it_be_used() -> None:
    pins = re.findall(r"^([a-z0-9-]+)==", (PROJECT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    found = listed()
    assert [name for name in pins if "UNKNOWN" in found[name][1] or "not installed" in found[name][1]] == []
    assert [name for name, (_, licence) in found.items() if re.search(r"\bA?GPL", licence)] == []


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (PROJECT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = [row for line in page.splitlines() if line.startswith("| ") for row in line.split("|")[1].split(",")]
    told = {row.replace("(extra)", "").strip() for row in rows}
    assert {re.split(r"[>=\[<]", name)[0] for name in project["dependencies"]} <= told
    assert {"dask", "psycopg2"} <= told


def test_the_licence_is_stated_once_for_all_files() -> None:
    reuse = tomllib.loads((PROJECT / "REUSE.toml").read_text(encoding="utf-8"))
    (statement,) = reuse["annotations"]
    assert (statement["path"], statement["SPDX-License-Identifier"]) == ("**", "MIT")
    assert (PROJECT / "LICENSES" / "MIT.txt").read_bytes() == (PROJECT / "LICENSE").read_bytes()


def test_the_oldest_and_the_newest_versions_have_a_job() -> None:
    job = yaml.safe_load((PROJECT / ".github" / "workflows" / "versions.yml").read_text(encoding="utf-8"))["jobs"]
    assert job["fast-tests"]["strategy"]["matrix"]["resolution"] == ["lowest-direct", "highest"]
    assert any("--require-hashes" in str(step.get("run")) for step in job["locked"]["steps"])
