"""Products by every routine and layout against float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from grok.numerics import linalg
from grok.numerics.linalg import STRIP, gram_panels, product, symmetric, symmetric_rows
from grok.numerics.tridiagonal import all_eigenvalues, top_eigenvectors, tridiagonal


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_product_in_every_layout(
    onednn: bool, seeds: int, transposed: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sum of 40 products in float32 is off by at most 40 ε of the sum of their sizes."""
    if onednn and not linalg.ONEDNN:
        pytest.skip("this torch has no oneDNN product")
    monkeypatch.setattr(linalg, "ONEDNN", onednn)
    generator = torch.Generator().manual_seed(1)
    operands = []
    for rows, turned in zip((17, 9), transposed, strict=True):
        shape = (seeds, 40, rows) if turned else (seeds, rows, 40)
        drawn = torch.randn(shape, generator=generator)
        operands.append(drawn.transpose(1, 2) if turned else drawn)
    x, y = operands
    exact = torch.bmm(x.double(), y.double().transpose(1, 2))
    bound = 40 * torch.finfo(torch.float32).eps * torch.bmm(x.double().abs(), y.double().abs().transpose(1, 2))
    assert ((product(x, y).double() - exact).abs() <= bound).all()
    assert torch.equal(product(x.double(), y.double()), exact)


@pytest.mark.parametrize("cut", [lambda m: m.T[2:9], lambda m: m[:, 3:], lambda m: m[::2], lambda m: m.T[:, 1:7].T])
def test_slices_are_multiplied_as_matrices_without_gaps(cut: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.randn(14, 12, generator=torch.Generator().manual_seed(2))
    part = cut(x)
    assert linalg._dense(part).stride() == (part.shape[1], 1)
    torch.testing.assert_close(product(part[None], part[None])[0], part @ part.T)


@pytest.mark.parametrize("whole", [lambda m: m, lambda m: m.T, lambda m: m[3:9]])
def test_a_matrix_without_gaps_is_not_copied(whole: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.randn(14, 12, generator=torch.Generator().manual_seed(2))
    assert linalg._dense(whole(x)).data_ptr() == whole(x).data_ptr()


def test_a_torch_without_the_product_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        """As a torch of another version would be."""

        def _linear_pointwise(self, *arguments: object) -> torch.Tensor:
            raise RuntimeError("the schema has changed")

    monkeypatch.setattr(torch.ops, "mkldnn", Gone())
    assert not linalg._has_onednn()


@pytest.mark.parametrize("rows", [1, 3, 10, 64])
def test_panels_are_the_upper_triangle_and_the_blocks_on_the_diagonal(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linalg, "PANEL_ROWS", rows)
    x = torch.randn(10, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, seen = x @ x.T, 0
    for part, panel in gram_panels(x):
        assert part.start == seen
        torch.testing.assert_close(panel, whole[part, part.start :])
        seen = part.stop
    assert seen == 10


def test_rows_of_a_symmetric_matrix_from_its_upper_triangle() -> None:
    x = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    whole = x.triu() + x.triu(1).T
    rows = torch.tensor([4, 0, 5, 2])
    assert torch.equal(symmetric_rows(x, rows), whole[rows])  # what x has below its diagonal is not read


@pytest.mark.parametrize("size", [1, STRIP - 1, STRIP, STRIP + 1, 3 * STRIP + 5])
def test_a_triangle_is_mirrored_strip_by_strip(size: int) -> None:
    upper = torch.from_numpy(np.random.default_rng(size).standard_normal((size, size))).triu()
    expected = upper + upper.T - torch.diag(upper.diagonal())
    assert torch.equal(symmetric(upper), expected)
    assert torch.equal(upper, expected)  # nothing is copied


def test_a_tridiagonal_form_and_its_eigenvectors() -> None:
    """In either order of a symmetric matrix the same bits; Q is applied to the vectors of T."""
    x = np.random.default_rng(0).standard_normal((40, 23))
    gram = x.T @ x
    gram = (gram + gram.T) / 2
    one, other = tridiagonal(gram), tridiagonal(gram.T)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    kept = one.reflectors.copy()
    values, vectors = all_eigenvalues(one), top_eigenvectors(one, 4)
    assert np.array_equal(one.reflectors, kept)
    np.testing.assert_allclose(gram @ vectors, vectors * values[-4:], rtol=0, atol=1e-12 * values[-1])
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), rtol=0, atol=1e-13)
