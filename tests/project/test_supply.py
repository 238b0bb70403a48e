"""What the project is made of: licences listed, dependencies explained, one statement of its own licence."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from docs import licences

SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
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
    extras = {name: packages for name, packages in project["optional-dependencies"].items() if name != "test"}
    every = {bare(one) for packages in (project["dependencies"], *extras.values()) for one in packages}
    assert {name.removesuffix("-binary") for name in every} - {"grok-registry"} <= told


OURS = {"grok", "analysis", "entry_points"}
MODULES = {
    "yaml": "pyyaml",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "ignite": "pytorch-ignite",
    "distributed": "dask",
    "nbformat": "nbclient",
}
"""Packages by the module that is imported, where its name is another."""
IMPORTS = re.compile(r"^ *(?:from (\w+)[\w.]* import |import (\w+)[\w.]*(?: as \w+)?(?:  #.*)?$)", re.MULTILINE)
"""A module at the head of a line."""


def test_what_is_imported_is_asked_for() -> None:
    """And not only brought by what is asked for today."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {
        bare(one) for packages in (project["dependencies"], *project["optional-dependencies"].values()) for one in packages
    }
    imported: dict[str, str] = {}
    for path in (path for folder in OURS for path in sorted((PROJECT / folder).rglob("*.py"))):
        for names in IMPORTS.findall(path.read_text(encoding="utf-8")):
            imported |= dict.fromkeys(filter(None, names), str(path.relative_to(PROJECT)))
    foreign = {name: path for name, path in imported.items() if name not in OURS | set(sys.stdlib_module_names)}
    assert {"yaml", "PIL", "mlflow"} <= set(foreign)
    missing = {name: path for name, path in foreign.items() if MODULES.get(name, name) not in asked}
    assert missing == {}


def bare(requirement: str) -> str:
    """The name of a package in a requirement."""
    return re.split(r"[>=\[<~! ;]", requirement)[0].lower()


def asked_of_uv(text: str) -> list[set[str]]:
    """The extras that each `uv pip compile pyproject.toml` of a text names."""
    return [set(re.findall(r"--extra (\S+)", line)) for line in re.findall(r"uv pip compile pyproject\.toml.*", text)]


def test_lists_of_versions_have_all_that_the_project_is_run_with() -> None:
    """Without the extra `registry` a list has neither mlflow nor pandas, and the job fails before its first test."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = {bare(line) for line in (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines() if "==" in line}
    tools = {bare(one) for one in project["optional-dependencies"]["test"]}
    for path in (".github/workflows/versions.yml", "docs/dependencies.md"):
        (extras,) = asked_of_uv((PROJECT / path).read_text(encoding="utf-8"))
        packages = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
        assert pins | tools <= {bare(one) for one in packages}, path
    assert asked_of_uv("uv pip compile pyproject.toml --extra test --resolution highest") == [{"test"}]


def test_the_lock_file_of_the_tests_has_the_pins_of_the_other_and_what_the_tests_need() -> None:
    texts = [(PROJECT / name).read_text(encoding="utf-8") for name in ("requirements.lock", "requirements-test.lock")]
    found = [{name: (version, set(SHA256.findall(rest))) for name, version, rest in ENTRY.findall(text)} for text in texts]
    plain, tests = found
    assert {name: tests.get(name) for name in plain} == plain
    assert all(hashes for _, hashes in tests.values())
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {bare(one) for one in project["optional-dependencies"]["test"]} <= set(tests)


ENTRY = re.compile(r"^([a-z0-9._-]+)==([^ ;\\\n]+)(.*\n(?:    --hash=sha256:[0-9a-f]{64}.*\n)*)", re.MULTILINE)
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("lock", ["docs/server.lock", "requirements-tools.lock"])
def test_what_a_server_and_the_checks_are_run_with_is_locked_with_hashes(lock: str) -> None:
    """All that their lists name, in the versions that the project itself is tested with where it has the package too."""
    texts = {name: (PROJECT / name).read_text(encoding="utf-8") for name in (lock, "requirements.lock")}
    found = {
        name: {one: (version, set(SHA256.findall(rest))) for one, version, rest in ENTRY.findall(texts[name])} for name in texts
    }
    mine, plain = found[lock], found["requirements.lock"]
    assert all(hashes for _, hashes in mine.values())
    assert {name: known for name, known in mine.items() if name in plain} == {n: k for n, k in plain.items() if n in mine}
    asked = (PROJECT / lock).with_suffix(".in").read_text(encoding="utf-8").split()
    assert {bare(one): one.partition("==")[2] for one in asked} == {bare(one): mine[bare(one)][0] for one in asked}
    assert f"uv pip compile {lock.removesuffix('.lock')}.in " in (PROJECT / "docs" / "dependencies.md").read_text(
        encoding="utf-8"
    )


def test_workflows_run_no_tool_in_whatever_version_is_newest() -> None:
    """Actions are named by tags, a limit that the page tells; tools come from lock files, the runner has a version."""
    for path in WORKFLOWS:
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        for name, job in jobs.items():
            assert re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"]), (path.name, name)
            for step in job["steps"]:
                assert not re.search(r"\b(?:uvx|pipx)\b", str(step.get("run"))), (path.name, name)
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1")), (path.name, name)
                if "setup-uv" in step.get("uses", ""):
                    assert re.fullmatch(r"\d+\.\d+\.\d+", step["with"]["version"]), (path.name, name)


def test_a_sample_of_the_campaigns_is_run_each_week_and_a_release_has_its_list_of_parts() -> None:
    jobs = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    weekly = jobs["versions"]["jobs"]
    runs = {name: " ; ".join(str(step.get("run")) for step in job["steps"]) for name, job in weekly.items()}
    assert re.search(r"sudo \S+python -m tests\.faults\.campaign --seed \$\(date \+%V\) --tries 10", runs["campaign"])
    assert all(package in runs["campaign"] for package in ("postgresql", "libfaketime", "-r docs/server.lock"))
    assert re.search(r"python -m tests\.fuzz --inputs 100000 --seed \$\(date \+%V\)", runs["fuzz"])
    release = jobs["release"]
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML's `on`
    (job,) = release["jobs"].values()
    steps = " ; ".join(str(step.get("run")) for step in job["steps"])
    made = "cyclonedx-py requirements requirements.lock -o sbom.json"
    assert made in steps
    assert made in runs["locked"]
    assert re.search(r"gh release upload \S+ sbom\.json", steps)


def test_the_licence_is_stated_once_for_all_files() -> None:
    reuse = tomllib.loads((PROJECT / "REUSE.toml").read_text(encoding="utf-8"))
    (statement,) = reuse["annotations"]
    assert (statement["path"], statement["SPDX-License-Identifier"]) == ("**", "MIT")
    assert (PROJECT / "LICENSES" / "MIT.txt").read_bytes() == (PROJECT / "LICENSE").read_bytes()


def test_the_oldest_and_the_newest_versions_have_a_job() -> None:
    job = yaml.safe_load((PROJECT / ".github" / "workflows" / "versions.yml").read_text(encoding="utf-8"))["jobs"]
    assert job["fast-tests"]["strategy"]["matrix"]["resolution"] == ["lowest-direct", "highest"]
    steps = [str(step.get("run")) for step in job["locked"]["steps"]]
    installed = steps.index("uv pip install --require-hashes -r requirements-test.lock")
    assert any("-m pytest" in step for step in steps[installed:])
    folders = re.findall(r"tests/\w+", " ".join(steps))
    assert folders
    assert all((PROJECT / folder).is_dir() for folder in folders)
