"""The code of a GPU, run on the CPU: each branch gives what the other one gives, to rounding or to the bit.

Bounds are those of the sums themselves (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.): n products added up
in any order are off by at most n u of the sum of their sizes, u = ε / 2, so two orders by at most n ε of it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from grok.numerics import band, linalg, placement
from grok.numerics.linalg import cholesky_solve, gram_panels, product, upper_gram
from grok.numerics.nulls import Count, count_pairs, upper_inverse
from grok.numerics.repulsion import centred, measure_repulsion
from tests.conftest import PROJECT
from tests.helpers.gpu_path import gpu_path
from tests.helpers.references import EPS, direct_gram, one_thread  # noqa: F401

ELSEWHERE = {
    "grok/numerics/placement.py": "the question itself",
    "grok/numerics/linalg.py": "the library's name: test_a_word_is_of_what_was_used",
    "grok/numerics/sketch.py": "calls of any device but the CPU: tests/numerics/test_sketch.py, `at_once`",
    "grok/training/devices.py": "what is refused and told: tests/training/test_rounding.py",
    "grok/training/size.py": "the card's memory: test_the_memory_of_a_gpu_is_its_own",
    "grok/runs/words.py": "the card's name: test_a_gpu_is_named",
    "grok/runs/study.py": "workers and seeds: test_a_study_fits_the_gpus",
    "grok/runs/trial.py": "a task's samples must be on the CPU",
    "grok/monitor/pieces.py": "any device but the CPU: tests/monitor/test_devices.py, on torch's lazy one",
    "grok/monitor/budget.py": "any device but the CPU: test_doubles_are_what_is_brought_to_float64_at_a_time",
    "grok/monitor/selection.py": "a device without float64: tests/monitor/test_unseen.py",
    "grok/monitor/sums.py": "which GPU the sums of shards pass through: needs several, tested nowhere",
}
"""Files that ask for the kind of a device, and which test runs what they do then. All others ask `placement.on_gpu`."""


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(dtype)


def both(compute: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """What a CPU's code gives, and a GPU's."""
    here = compute()
    with gpu_path():
        there = compute()
    return here, there


def within(here: Tensor, there: Tensor, terms: int, sizes: Tensor) -> None:
    """Apart by at most `terms` ε, of the precision of `here`, of each sum of sizes."""
    assert here.dtype == there.dtype
    bound = terms * torch.finfo(here.dtype).eps * sizes
    assert ((here.double() - there.double()).abs() <= bound).all()


def test_all_else_that_asks_for_a_device_is_named() -> None:
    asks = re.compile(r"\bis_cuda\b|\bdevice[._]type\b|\.type (==|!=|in) ")
    found = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "grok").rglob("*.py")
        if asks.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(ELSEWHERE)
    tests = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "tests").rglob("test_*.py"))
    for said in ELSEWHERE.values():
        assert all((PROJECT / path).is_file() for path in re.findall(r"tests/[\w/]+\.py", said)), said
        assert all(f"def {name}(" in tests for name in re.findall(r"\b(?<!/)test_\w+\b(?!\.py)", said)), said


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seeds", [1, 3])
def test_products(dtype: torch.dtype, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = drawn(seeds, 17, 40, dtype=dtype), drawn(seeds, 9, 40, dtype=dtype)
    calls: list[str] = []
    bmm = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda *a: (calls.append("bmm"), bmm(*a))[1])
    with gpu_path():
        there = product(x, y)
    assert calls == ["bmm"]  # oneDNN has no product on a GPU
    within(product(x, y), there, 40, x.double().abs() @ y.double().abs().transpose(1, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cut", [lambda x: x, lambda x: x.T], ids=["rows", "columns"])
def test_the_upper_triangle_of_a_gram(dtype: torch.dtype, cut: Callable[[Tensor], Tensor]) -> None:
    x = cut(drawn(30, 13, dtype=dtype))
    here, there = both(lambda: upper_gram(x))
    within(here, there, len(x), (x.double().abs().T @ x.double().abs()))
    assert torch.equal(there, there.triu())  # what is below counts not, and is 0 all the same


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_panels_of_a_gram(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linalg, "PANEL_ROWS", 4)
    x = drawn(10, 40, dtype=dtype)
    here = list(gram_panels(x))
    with gpu_path():
        ((rows, panel),) = gram_panels(x)
    assert (len(here), rows) == (3, slice(0, 10))
    for part, strip in here:
        within(strip, panel[part, part.start :], 40, x[part].double().abs() @ x[part.start :].double().abs().T)


def definite(size: int) -> Tensor:
    """Positive definite with eigenvalues from 1 to 10; not to be read below the diagonal."""
    q = torch.linalg.qr(drawn(size, size)).Q
    whole = (q * torch.linspace(1, 10, size, dtype=torch.float64)) @ q.T
    return torch.full_like(whole, torch.nan).tril(-1) + whole.triu()


@pytest.mark.parametrize("size", [1, 2, 20, 65])
def test_a_solve_by_cholesky(size: int) -> None:
    """Each x̂ solves (A + ΔA) x̂ = b with |ΔA| ≤ (3K + 1) u |Rᵀ| |R| (Higham, theorem 10.4), so A times the difference of two
    is at most (3K + 1) ε |Rᵀ| |R| |x|; one more for what is of second order."""
    a, right = definite(size), drawn(size, 3)
    whole = a.triu() + a.triu(1).T
    here, there = both(lambda: cholesky_solve(a.clone(), right))
    factor = torch.linalg.cholesky(whole).abs()
    within(whole @ here, whole @ there, 3 * size + 2, factor @ factor.T @ here.abs())


@pytest.mark.parametrize("size", [1, 2, 20, 65])
def test_an_inverse_by_cholesky(size: int) -> None:
    """A Cholesky inverse is off by some K u κ of its norm; here κ ≤ 10 and ‖B‖ ≤ 1, and both stay under a K-th of that."""
    a = definite(size)
    kept = a.clone()
    here, there = both(lambda: upper_inverse(a, 0.5).triu())
    whole = a.triu() + a.triu(1).T + 0.5 * torch.eye(size, dtype=torch.float64)
    within(here, there, 10, torch.ones_like(here))
    within(torch.linalg.inv(whole).triu(), there, 10, torch.ones_like(here))
    assert torch.equal(a.triu(), kept.triu())


@pytest.mark.parametrize("pivots", [(1.0, -1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 1.0)])
def test_what_is_not_definite_is_refused_in_the_same_words(pivots: tuple[float, ...]) -> None:
    """0 too, which torch's inverse of a factor would refuse in words of its own."""
    matrix, ridge = torch.diag(torch.tensor(pivots, dtype=torch.float64)), 0.25
    right = torch.ones(3, 1, dtype=torch.float64)
    for compute in (lambda: cholesky_solve(matrix.clone(), right), lambda: upper_inverse(matrix - ridge * torch.eye(3), ridge)):
        said = []
        for path in (gpu_path, contextlib.nullcontext):
            with path(), pytest.raises(np.linalg.LinAlgError, match=r"got a pivot ≤ 0 at \d\. Raise the ridge\.$") as caught:
                compute()
            said.append(str(caught.value))
        assert said[0] == said[1]


@pytest.mark.parametrize("chunk", [7, 2048])
def test_a_band_is_of_one_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a CPU's is; an inner product of 300 terms is off by at most 300 ε of the norms, and to the bit where one holds
    all of them."""
    monkeypatch.setattr(band, "CHUNK", chunk)
    updates = drawn(13, 2, 300, dtype=torch.float32)

    def fed() -> band.BandedGram:
        grams = band.BandedGram(4, 300, seeds=2, block=3)
        for update in updates:
            grams.append(update, torch.zeros(2, 300))
        return grams

    here = fed()
    with gpu_path():
        there = fed()
    assert there.ring.shape[1] == 1
    assert here.ring.shape[1] == -(-300 // min(chunk, 300))
    assert torch.equal(here.window(4), there.window(4))
    if chunk > 300:
        np.testing.assert_array_equal(there.band(), here.band())
    scale = float(updates.double().square().sum(dim=2).max())
    np.testing.assert_allclose(there.band(), here.band(), rtol=0, atol=300 * EPS * scale)
    np.testing.assert_allclose(there.band()[0, -1, 0], direct_gram(updates[:, 0].numpy())[-1, -1], rtol=300 * EPS)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_repulsion_and_its_nulls(shape: tuple[int, int]) -> None:
    """The same pairs, signs and counts; cosines are sums of n ≤ 30 products of unit vectors, over three roundings of norms."""
    f = centred(drawn(*shape))
    counted: list[list[Count]] = []
    measured = []
    for path in (contextlib.nullcontext, gpu_path):
        with path():
            counted.append(count_pairs(f, {"r": 0.1, "s": 3.0}, 15, torch.tensor([[0, 1], [2, 5]])))
            measured.append(measure_repulsion(f, 0.1, 15, seed=0))
    for one, other in zip(*counted, strict=True):
        assert one._replace(value=0, low=0, high=0, median_cos=0) == other._replace(value=0, low=0, high=0, median_cos=0)
        np.testing.assert_allclose(one.median_cos, other.median_cos, rtol=0, atol=33 * EPS)
        np.testing.assert_allclose(one.value, other.value, rtol=33 * EPS)
    here, there = measured
    assert torch.equal(here.pairs, there.pairs)
    np.testing.assert_allclose(here.cos, there.cos, rtol=0, atol=33 * EPS)
    for name in ("rate", "null_rate", "theorem6", "published_estimator", "dead"):
        assert getattr(here, name) == getattr(there, name)


WITHOUT_NUMPY: dict[str, Callable[[str], Tensor]] = {
    "product": lambda device: product(drawn(1, 10, 7).to(device), drawn(1, 4, 7).to(device)),
    "gram_panels": lambda device: next(iter(gram_panels(drawn(10, 7).to(device))))[1],
    "upper_gram": lambda device: upper_gram(drawn(10, 7).to(device)),
    "cholesky_solve": lambda device: cholesky_solve(definite(7).to(device), drawn(7, 3).to(device)),
    "upper_inverse": lambda device: upper_inverse(definite(7).to(device), 0.5),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", WITHOUT_NUMPY)
def test_none_of_it_hands_a_gpus_tensor_to_numpy(name: str, elsewhere: str) -> None:
    """On a device whose tensors numpy cannot read. Its products may add up in another order: 10 terms, none of them above 10,
    and a solve of κ = 10 make 1000 ε at most."""
    with gpu_path():
        here, there = (WITHOUT_NUMPY[name](device) for device in ("cpu", elsewhere))
    assert there.device.type == elsewhere
    np.testing.assert_allclose(there.cpu().triu(), here.triu(), rtol=0, atol=1000 * EPS)


def test_the_answer_is_where_the_tensor_is() -> None:
    """Torch's fake tensors say that they are on a GPU without one."""
    with FakeTensorMode():
        assert placement.on_gpu(torch.empty(2, device="cuda:0"))
    assert not placement.on_gpu(torch.empty(2))
