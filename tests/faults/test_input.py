"""Hostile input to the command lines: sizes, numbers, study files, code of one's own, closed streams, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.sensitivity.settings import SensitivityConfig
from entry_points import cli, study
from grok.networks._activations import activation
from grok.numerics.methods import BLOCK
from grok.runs.train import check_trainable
from grok.spec import limited_yaml
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.spec.studies import load_file, registry
from grok.training.size import check_size, memory, row_bytes, shown, tensor_bytes
from tests.conftest import PROJECT

pytestmark = pytest.mark.faults
HEAD = "s:\n  sentence: a\n  source: b\n  runs:\n"
DIGITS = "9" * 5000


def refused(call: Callable[[], object]) -> str:
    """What a call refuses, empty if it does not; any other error is one."""
    try:
        call()
    except ConfigError as error:
        return str(error)
    return ""


# sizes


@pytest.mark.parametrize(
    "words",
    [
        ("--width", "1000000000"),
        ("--modulus", "1000000"),
        ("--modulus", str(2**62)),
        ("--epochs", "1000000000000"),
        ("--max-window", "4096", "--width", "100000000"),
    ],
    ids=lambda words: "".join(words)[:20],
)
def test_what_memory_cannot_hold_is_refused_with_its_bytes_before_a_run_is_made(store: Any, command: Any, words: Any) -> None:
    began = time.monotonic()
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "config must fit in the memory of cpu (" in done.err
    assert "iB at least. Lower them" in done.err
    assert store.find({"kind": "train"}) == []
    assert time.monotonic() - began < 5


def test_the_runs_of_the_registry_fit_in_two_gibibytes_and_the_estimate_is_from_below() -> None:
    """All but the float64 ones and those of a thousand lags, if there ever are such, in 15 lockstep seeds' worth of 16 GiB."""
    for found in registry().values():
        for cell in found.cells:
            assert tensor_bytes(cell.config) + row_bytes(cell.config) < 2**31, cell.config.display_name()
    config = RunConfig(modulus=11, width=32, epochs=10).resolved()
    ring = 4 * 3 * 11 * 32 * (64 + BLOCK)
    assert ring < tensor_bytes(config) < 2 * ring
    assert tensor_bytes(config, 3) == 3 * tensor_bytes(config)


def test_a_containers_share_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grok.training.size.CGROUP", tmp_path / "memory.max")
    (tmp_path / "memory.max").write_text("1000000\n")
    with pytest.raises(ConfigError, match=r"fit in the memory of cpu \(1000000 bytes\), got .*Lower them\.$"):
        check_size(RunConfig(device="cpu").resolved())
    (tmp_path / "memory.max").write_text("max\n")
    check_size(RunConfig(device="cpu").resolved())


def test_the_memory_of_a_gpu_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of a stand-in for the driver."""
    cards = {torch.device("cuda", 1): SimpleNamespace(total_memory=7)}
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    assert memory(torch.device("cuda", 1)) == 7


@pytest.mark.parametrize(("count", "text"), [(5, "5 bytes"), (3 << 30, "3 GiB"), (10**30, "10^14 PiB"), (1 << 55, "32 PiB")])
def test_bytes_are_told_for_people(count: int, text: str) -> None:
    assert shown(count) == text


@pytest.mark.parametrize("name", ["samples", "window", "n_trials", "workers"])
@pytest.mark.parametrize("text", [str(2**40), "3..10000000000", DIGITS])
def test_a_sensitivity_of_any_size_answers_at_once(name: str, text: str) -> None:
    if ".." in text and name != "window":
        text = text.partition("..")[2]
    if text == str(2**40) and name in ("n_trials", "workers"):
        return  # a budget and a number of processes: any 64-bit number is one
    began = time.monotonic()
    if name in ("n_trials", "workers") and text != DIGITS:
        SensitivityConfig.from_strings({name: text})
        return
    with pytest.raises(ConfigError, match=rf"^{name} must ") as caught:
        SensitivityConfig.from_strings({name: text})
    assert len(str(caught.value)) < 400
    assert time.monotonic() - began < 1


# numbers


@pytest.mark.parametrize("name", sorted({*RunConfig().to_strings()} - {"data_folder"}))  # a folder may have any name
@pytest.mark.parametrize("text", [DIGITS, f"-{DIGITS}", f"1e{DIGITS}", f"gram,randomized_{DIGITS}", f"0,{DIGITS}"])
def test_a_number_of_thousands_of_digits_is_one_short_line_in_any_field(name: str, text: str) -> None:
    said = refused(lambda: RunConfig.from_strings({name: text}))
    assert said.startswith(f"{name} must ")
    assert len(said) < 900  # the names of all signals, and the value cut


@pytest.mark.parametrize("value", [10**5000, -(10**400), 2**63], ids=["5000 digits", "400 digits", "64 bits"])
def test_a_number_of_more_than_64_bits_is_refused_in_python_too(value: int) -> None:
    for field in ("seed", "modulus", "epochs", "weight_decay", "width"):
        with pytest.raises(ConfigError, match=f"^{field} must "):
            RunConfig(**{field: value})
    with pytest.raises(ConfigError, match=r"^checkpoint_epochs must "):
        RunConfig(checkpoint_epochs=(value,))


@pytest.mark.parametrize("flag", ["--workers", "--seeds-at-once"])
def test_a_flag_of_thousands_of_digits_is_one_short_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        study.parser().parse_args([flag, DIGITS])
    assert left.value.code == 2
    assert len(capsys.readouterr().err) < 400


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(RunConfig().to_strings())), st.text(max_size=30), max_size=4))
def test_any_text_for_any_field_is_a_config_or_one_line(strings: dict[str, str]) -> None:
    said = refused(lambda: ResolvedConfig.from_strings(strings))
    assert "\n" not in said
    assert len(said) < 1000
    if not said:
        config = ResolvedConfig.from_strings(strings)
        assert ResolvedConfig.from_strings(config.to_strings()) == config


# study files


def studies_of(tmp_path: Path, text: str, head: str = HEAD) -> Any:
    path = tmp_path / "own.yaml"
    path.write_text(head + text, encoding="utf-8")
    began = time.monotonic()
    try:
        return load_file(path)
    finally:
        assert time.monotonic() - began < 15  # of a machine that does other things too; each is under a second


BOMB = "&a [1,2,3,4,5,6,7,8,9]" + "".join(
    f", &{n} [{','.join(['*' + m] * 9)}]" for m, n in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  - &a [*a]\n", "at most 16 deep, aliases unfolded, line 5"),
        ("  - &a {seed: *a}\n", "at most 16 deep"),
        ("  - {seed: " + "[" * 900 + "1" + "]" * 900 + "}\n", "at most 16 deep, line 5"),
        (f"  - {{seed: [{BOMB}]}}\n", "at most 30000 keys and values, aliases unfolded"),
        (f"  - {{seed: 0..{DIGITS}}}\n", "seed must be a whole number, got '0..9999"),
        (f"  - {{seed: {DIGITS}}}\n", "a number must have at most 40 characters, got 5000, line 5"),
        (f"  - {{seed: 0..{10**18}}}\n", f"block 1 must be at most 10000 runs, got {10**18 + 1}"),
        ("".join(f"  - {{seed: {n}0000..{n}9998}}\n" for n in range(30)), "at most 10000 runs in all, got 299970"),
        ("  - {" + ",".join(f"k{n}: 1" for n in range(60_000)) + "}\n", "at most 30000 keys and values"),
        ("  - {seed: 1, seed: 2}\n", "seed is there twice"),
        (
            "  - !!python/object/apply:os.system ['touch pwned']\n",
            "must have a core tag of YAML 1.2",
        ),
        ("  - {seed: '" + "x" * 2**20 + "'}\n", f"at most {2**20} bytes"),
    ],
)
def test_a_study_file_beyond_the_limits_is_one_line_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        studies_of(tmp_path, text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_study_file_that_is_no_plain_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="a plain file is read, not a folder, a pipe or a device"):
            load_file(path)


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    block = "  - {condition: yes, seed: 010, learning_rate: 1e-3, modulus: 0o17, window: 0xa, labels: true}\n"
    (cell,) = studies_of(tmp_path, block)["s"].cells
    c = cell.config
    assert (cell.condition, c.seed, c.learning_rate, c.modulus, c.window, c.labels) == ("yes", 10, 0.001, 15, 10, "true")
    (tmp_path / "a.yaml").write_text(
        "[~, null, True, FALSE, on, No, 1_000, 1:30, 2026-01-01, .5, -.inf, .nan, '010', =, 0b1, ]"
    )
    found = limited_yaml.read(tmp_path / "a.yaml")
    assert found[:-4] == [None, None, True, False, "on", "No", "1_000", "1:30", "2026-01-01", 0.5, float("-inf")]
    assert (found[-4] != found[-4], found[-3:]) == (True, ["010", "=", "0b1"])


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(max_size=200) | st.text("{}[]&*a:,- \n'\"!1.0<", max_size=60))
def test_any_text_for_a_study_file_is_studies_or_one_line(tmp_path: Path, text: str) -> None:
    for head in ("", HEAD):
        path = tmp_path / "own.yaml"
        path.write_bytes((head + text).encode("utf-8", "surrogatepass"))
        assert "\n" not in refused(lambda path=path: load_file(path))


# code of one's own


MODULES = {
    "broken": "def f(:\n",
    "divides": "1 / 0\n",
    "leaves": "raise SystemExit(0)\n",
    "exits": "def f(h): raise SystemExit\n",
    "doubles": "def f(h): return h.double() * h\n",
    "halves": "def f(h): return (h * h).half()\n",
    "shapes": "def f(h): return h[..., :1]\n",
    "sums": "def f(h): return h.sum()\n",
    "softmax": "import torch\ndef f(h): return torch.softmax(h, -1)\n",
    "centres": "def f(h): return h - h.mean()\n",
    "cumulates": "def f(h): return h.cumsum(-1)\n",
    "random": "import torch\ndef f(h): return h * torch.rand_like(h)\n",
    "drops": "import torch\ndef f(h): return torch.nn.functional.dropout(h, 0.5)\n",
    "writes": "def f(h): return h.mul_(2) if not h.requires_grad else h * 2\n",
    "detaches": "def f(h): return h.detach() * 2\n",
    "text": "def f(h): return 'h'\n",
    "numpy": "def f(h): return h.numpy() ** 2\n",
    "fine": "def f(h): return h * h\n",
    "logarithm": "import torch\ndef f(h): return torch.log(h)\n",
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_an_activation_of_ones_own_is_probed_before_a_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"own_{name}"
    (tmp_path / f"{module}.py").write_text(MODULES[name])
    monkeypatch.syspath_prepend(str(tmp_path))
    before = torch.random.get_rng_state()
    config = RunConfig(activation=f"{module}:f")
    if name == "fine":
        check_trainable(config)
    else:
        with pytest.raises(ConfigError, match=rf"^activation must .*, got {module}:f\b.*\.$") as caught:
            check_trainable(config)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    assert torch.equal(torch.random.get_rng_state(), before)
    sys.modules.pop(module, None)


@pytest.mark.parametrize("name", ["builtins:exit", "builtins:print", "os:getcwd", "torch:zeros", "torch:rand_like"])
def test_a_function_that_is_no_activation_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^activation must .*got {name}"):
        activation(name)


@pytest.mark.parametrize("kind", ["task", "network", "detector", "signals", "recorders"])
@pytest.mark.parametrize("name", ["broken", "divides", "leaves"])
def test_a_module_of_ones_own_that_fails_on_import_is_one_line(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"own_{kind}_{name}"
    (tmp_path / f"{module}.py").write_text(MODULES[name])
    monkeypatch.syspath_prepend(str(tmp_path))
    one = f"{module}:X"
    with pytest.raises(ConfigError, match=rf"^{kind.rstrip('s')} must be importable, got {one} \(.*Error|SystemExit") as caught:
        check_trainable(RunConfig(**{kind: (one,) if kind in ("signals", "recorders") else one}))
    assert "\n" not in str(caught.value)


# streams and disks


def run(words: str, environment: dict[str, str], **streams: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", words], cwd=PROJECT, env=os.environ | environment, check=False, **streams)


@pytest.mark.slow
def test_help_and_a_plan_work_where_the_terminal_is_ascii() -> None:
    plain = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    for words in ("train --help", "study --plan"):
        done = run(f"{sys.executable} -m entry_points.{words}", plain, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert "η" in done.stdout.decode("utf-8")


def test_a_closed_standard_error_and_a_full_standard_output_end_no_work(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from entry_points.cli import run_main\nfrom entry_points.progress import StageBar\n"
        "def main(words):\n    with StageBar() as bar:\n        bar.update('work', 1, 2)\n"
        f"    print('told', file=sys.stderr)\n    print('result')\n    Path({str(tmp_path / 'done')!r}).touch()\n    return 0\n"
        "run_main(main)\n"
    )
    command = f"PYTHONPATH={PROJECT} {sys.executable} {script}"
    full = (
        "told\nerror: standard output must take the result line, got [Errno 28] No space left on device. Make room, then "
        "repeat the command: the work is done and in the store.\n"
    )
    for streams, status, said in (("2>&-", 0, ""), ("2>/dev/full", 0, ""), (">/dev/full", 1, full)):
        done = run(f"{command} {streams}", {}, capture_output=True)
        assert (done.returncode, done.stderr.decode()) == (status, said), streams
        assert (tmp_path / "done").exists()
        (tmp_path / "done").unlink()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/store/mlruns/x"), "'/store/mlruns/x'. Make room, then repeat the command"),
        (OSError(30, "Read-only file system", "/store"), "Make it writable, then repeat the command"),
        (OSError(27, "File too large"), "Raise the limit of a file's size, then repeat the command"),
        (
            RuntimeError(
                "(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO metrics]\n[parameters: (1, 2)]"
            ),
            "must have room, got: (sqlite3.OperationalError) database or disk is full. Make room, then repeat the command\n",
        ),
        (RuntimeError("(sqlite3.OperationalError) attempt to write a readonly database [SQL: x]"), "must be writable"),
        (RecursionError(), "input must not be nested so deep"),
        (MemoryError(), "memory must hold the work"),
        (KeyError(""), "the command must come to its end, got KeyError: ''. GROK_TRACEBACK=1 before it says where"),
        (RuntimeError("x" * 5000), "x …"),
    ],
)
def test_what_a_disk_or_a_library_says_is_one_line_with_the_next_step(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(arguments: list[str]) -> int:
        raise error

    with pytest.raises(SystemExit) as left:
        cli.run_main(main)
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert said.count("\n") == 1
    assert words in said
    assert "[SQL" not in said
    assert len(said) < 600
