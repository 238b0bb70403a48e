"""Which eigenvalues of the updates' Gram the weights' own digits resolve.

Shapes: T updates, w window, P parameters, k eigenvalues.
"""

from __future__ import annotations

import math

import numpy as np

from grok.numerics.spectra import RESOLUTION

SAFETY = 4.0
"""Times u²‖θ‖², of which twelve times the mean squared rounding error is, and 22 times that of weights of many sizes."""


def floors(rounding: np.ndarray, window: int, coordinates: int, every: int = 1) -> np.ndarray:
    """The eigenvalue below which a window's spectrum may be rounding of the weights and no update, at every row.

        floor(t) = 4 · every · (1 + √(w/P))² · max_{t − w ≤ s ≤ t} Σ_i u_i² θ_{s,i}²

    u is half of the ε of the dtype in which a weight is stored: 2⁻²⁴ of float32, 2⁻⁸ of bfloat16, 2⁻⁵³ of float64.

    What an optimiser leaves is θ_t = fl(θ_{t−1} + s_t), so the update that is read is s_t + e_t with |e_{t,i}| ≤ u|θ_{t,i}|,
    half a unit in the last place of θ. (The difference of the two weights adds nothing to it: it is exact where they are
    within a factor of two of each other, by Sterbenz' lemma, and else rounded by u of itself.) Even in that half unit,
    e has a mean square of a third of its bound: u²θ²/3 for a weight that is a power of two, 0.18 u²θ² on average where the
    logarithms of weights are spread evenly. The roundings of w steps make a matrix E (P × w) of nearly independent entries,
    whose largest squared singular value is E‖e_t‖² (1 + √(w/P))² (Marčenko and Pastur). Where weights are themselves copies
    that are rounded from ones in more digits, e_t = r_t − r_{t−1}, whose spectrum reaches four times as far. So

        ‖E‖² ≤ 4/3 u²‖θ‖² (1 + √(w/P))² for copies, 1/3 for weights that are stepped themselves,  ≈ 0.7 and 0.18 on average.

    Independent errors add ‖e‖² to each λ_k and turn its direction by next to nothing, so that a λ at the floor is off by at
    most a factor 1/(1 − 1/3) = 1.5, on average by 1.05 (steps) to 1.25 (copies), and the gap above it by no more. An update
    of several steps has the roundings of each. Measured against updates in float64 from the same weights, against whole
    trainings in float64, and for copies, with SGD, momentum and AdamW, float32 and bfloat16, windows of 20 and 64: where
    λ_{k+1} is at the floor or above, λ_k / λ_{k+1} was within a factor of 1.2, of whole trainings of 1.3; at a quarter of
    it and below it was off by up to 10⁷ and more. Of the gaps that were right, those whose λ_{k+1} is within a factor of
    some seven below the floor are lost.

    It is the floor of the weights' digits alone. What the gradient loses to its own digits, in autocast or where a large
    learning rate meets a gradient of small differences, is part of what the optimiser did and is not known here.

    Args:
        rounding: (rows,) float64, Σ u² θ² at the weights before the first update and after each; NaN where not known.
        window: w. coordinates: P, of a sketch its numbers where they are fewer. every: steps in an update.

    Returns:
        (rows,) float64, in the unit of an eigenvalue; 0 where nothing is known.

    Source: Higham (Accuracy and Stability of Numerical Algorithms, 2002) §2; Marčenko and Pastur (Math. USSR Sb. 1, 1967).

    Example: the weights of three rows were largest in the first, which a window of one update sees until the second.
        >>> floors(np.array([4.0, 1.0, 1.0]), window=1, coordinates=1).tolist()
        [64.0, 64.0, 16.0]
    """
    before = np.concatenate((np.full(window, np.nan), rounding))
    largest = np.fmax.reduce(np.lib.stride_tricks.sliding_window_view(before, window + 1), axis=1)
    scale = SAFETY * every * (1 + math.sqrt(window / coordinates)) ** 2
    out: np.ndarray = np.where(np.isnan(largest), 0.0, scale * largest)
    return out


def resolved(eigenvalues: np.ndarray, floor: np.ndarray, window: int) -> np.ndarray:
    """Eigenvalues with NaN in place of those below the floor, or below what a float64 Gram resolves, w · 4ε · λ₁.

    Args:
        eigenvalues: (…, k) float64, descending. floor: (…,) float64. window: w.

    Example:
        >>> resolved(np.array([[4.0, 2.0, 1e-20]]), np.array([3.0]), window=2).tolist()
        [[4.0, nan, nan]]
    """
    least = np.maximum(floor, window * RESOLUTION * eigenvalues[..., 0])
    return np.where(eigenvalues >= least[..., None], eigenvalues, np.nan)
