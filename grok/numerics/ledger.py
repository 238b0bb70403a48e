"""Inner products of the changes of a vector over intervals of N steps, and of their parts: what every measure of an edge needs.

Shapes: p entries of θ in G segments, T intervals of N steps so far, L lags kept. δ_i = θ_i − θ_{i−1} is the change over an
interval, D_i = −Σ_s η ω_s θ_s its decay part, summed over the steps in float64, A_i = δ_i − D_i the rest, which is Adam's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Ledger(NamedTuple):
    """The inner products of T intervals, per segment.

    Attributes:
        dd: (T, L, G) float64, ⟨δ_i, δ_{i−l}⟩. wd: ⟨D_i, δ_{i−l}⟩. dw: ⟨δ_i, D_{i−l}⟩. NaN where l ≥ i, counting from 1.
        ww: (T, G), ‖D_i‖². td: (T, G), ⟨θ_i, δ_i⟩. t0d: (T, G), ⟨θ_0, δ_i⟩.
        tt: (T + 1, G), ‖θ_i‖², first that of θ_0. tt0: (T + 1, G), ⟨θ_i, θ_0⟩.
        rate: (T,), Σ_s η ω_s over the steps of an interval. first: (T,) int64, the interval before which nothing is
            known: a window must not reach beyond it.
    """

    dd: np.ndarray
    wd: np.ndarray
    dw: np.ndarray
    ww: np.ndarray
    td: np.ndarray
    t0d: np.ndarray
    tt: np.ndarray
    tt0: np.ndarray
    rate: np.ndarray
    first: np.ndarray

    @property
    def intervals(self) -> int:
        """T."""
        return len(self.rate)

    def of(self, segments: Sequence[int] | slice | None = None) -> Ledger:
        """The ledger of some segments taken together, or of all: G is gone from the shapes."""
        chosen = slice(None) if segments is None else segments
        summed = [value[..., chosen].sum(axis=-1) for value in self[:8]]
        return Ledger._make([*summed, self.rate, self.first])


def coarsen(ledger: Ledger, factor: int) -> Ledger:
    """The ledger of intervals of k·N steps, from that of N steps: a change over k intervals is the sum of their changes.

        ⟨Δ_I, Δ_J⟩ = Σ_{i in I, j in J} ⟨δ_i, δ_j⟩, and likewise with D

    Exact up to rounding. L lags of N are ⌊L / k⌋ lags of k·N. An interval that would reach back across a restart is NaN, and
    so is ‖D_I‖², whose terms are not kept.

    Args:
        ledger: without segments, as `Ledger.of` gives it. factor: k ≥ 1.

    Raises:
        ValueError: if not even one lag is left.
    """
    lags, count = ledger.dd.shape[1] // factor, ledger.intervals // factor
    if factor < 1 or lags < 1:
        raise ValueError(f"factor must be in [1, {ledger.dd.shape[1]}] (lags of the ledger), got {factor}. Lower it.")
    ends = np.arange(1, count + 1) * factor
    first = -(-ledger.first[ends - 1] // factor)
    out = {name: np.full((count, lags), np.nan) for name in ("dd", "wd", "dw")}
    td, t0d = np.full(count, np.nan), np.add.reduceat(ledger.t0d[: count * factor], ends - factor) if count else np.empty(0)
    for new in range(count):
        if first[new] > new:
            continue
        mine = range(new * factor, (new + 1) * factor)
        td[new] = sum(ledger.td[j] + sum(_pair(ledger.dd, ledger.dd, i, j) for i in mine if i > j) for j in mine)
        for lag in range(min(lags, new + 1 - int(first[new]))):
            old = range((new - lag) * factor, (new - lag + 1) * factor)
            out["dd"][new, lag] = sum(_pair(ledger.dd, ledger.dd, i, j) for i in mine for j in old)
            out["wd"][new, lag] = sum(_pair(ledger.wd, ledger.dw, i, j) for i in mine for j in old)
            out["dw"][new, lag] = sum(_pair(ledger.dw, ledger.wd, i, j) for i in mine for j in old)
    at = np.concatenate(([0], ends))
    rate = np.add.reduceat(ledger.rate[: count * factor], ends - factor) if count else np.empty(0)
    blank = np.full(count, np.nan)
    return Ledger(**out, ww=blank, td=td, t0d=t0d, tt=ledger.tt[at], tt0=ledger.tt0[at], rate=rate, first=first)


def _pair(newer: np.ndarray, older: np.ndarray, i: int, j: int) -> float:
    """⟨a_i, b_j⟩: from ⟨a_i, b_{i−l}⟩ in `newer` for j ≤ i, and from ⟨b_j, a_{j−l}⟩ in `older` for j > i."""
    return float(newer[i, i - j] if j <= i else older[j, j - i])


class Keeper:
    """Takes θ after every N steps with what decay did in between, and writes the ledger.

    Raw rows are kept in float32, relative rounding 6e-8; products are taken in float64.

    Args:
        start: θ_0, (p,). segments: where each segment is; without gaps. lags: L ≥ 2.

    Example: one parameter that decays by a tenth in each of two intervals.
        >>> keeper = Keeper(torch.tensor([10.0]), [slice(0, 1)], lags=2)
        >>> for theta, decay in ((9.0, -1.0), (8.1, -0.9)):
        ...     keeper.take(torch.tensor([theta]), torch.tensor([decay], dtype=torch.float64), 0.1)
        >>> keeper.ledger().of().dd.round(3).tolist()
        [[1.0, nan], [0.81, 0.9]]
    """

    def __init__(self, start: Tensor, segments: Sequence[slice], lags: int) -> None:
        self.segments, self.lags = list(segments), lags
        self.zero, self.last = start.detach().clone(), start.detach().clone()
        self.ring = torch.zeros(lags, 2, len(start), dtype=torch.float32, device=start.device)
        self.count, self.first = 0, 0
        norms = self._dot(start.double()[None], start.double()[None])[:, 0, 0]
        self.parts: dict[str, list[np.ndarray]] = {name: [] for name in Ledger._fields}
        self.parts["tt"], self.parts["tt0"] = [norms], [norms]

    def _dot(self, rows: Tensor, others: Tensor) -> np.ndarray:
        """(G, a, b) inner products per segment, in float64, of rows (a, p) and (b, p)."""
        return np.stack([(rows[:, at].double() @ others[:, at].double().T).cpu().numpy() for at in self.segments])

    def take(self, theta: Tensor, decay: Tensor, rate: float) -> None:
        """Add an interval.

        Args:
            theta: θ_i at its end, (p,). decay: D_i, (p,) float64. rate: Σ_s η ω_s.
        """
        now = theta.double()
        delta = now - self.last.double()
        slot = self.count % self.lags
        self.ring[slot, 0], self.ring[slot, 1] = delta, decay
        self.count += 1
        known = min(self.count - self.first, self.lags)
        slots = [(self.count - 1 - lag) % self.lags for lag in range(known)]
        pair = self.ring[slot].double()
        products = self._dot(pair, self.ring[slots].flatten(0, 1)).reshape(len(self.segments), 2, known, 2)
        blank = np.full((self.lags - known, len(self.segments)), np.nan)

        def lagged(mine: int, other: int) -> np.ndarray:
            return np.concatenate((products[:, mine, :, other].T, blank))

        heads = self._dot(torch.stack((now, self.zero.double())), torch.stack((pair[0], now)))
        row: dict[str, Any] = {"dd": lagged(0, 0), "wd": lagged(1, 0), "dw": lagged(0, 1), "ww": products[:, 1, 0, 1]}
        row |= {"td": heads[:, 0, 0], "t0d": heads[:, 1, 0], "tt": heads[:, 0, 1], "tt0": heads[:, 1, 1]}
        row |= {"rate": np.float64(rate), "first": np.int64(self.first)}
        for name, value in row.items():
            self.parts[name].append(value)
        self.last = theta.detach().clone()

    def restart(self) -> None:
        """Forget the rows: windows do not reach back across this point."""
        self.first = self.count

    def ledger(self) -> Ledger:
        """The inner products so far."""
        lags, parts = self.lags, len(self.segments)
        empty = {"dd": (0, lags, parts), "wd": (0, lags, parts), "dw": (0, lags, parts), "rate": (0,), "first": (0,)}
        found = {
            name: np.stack(rows) if rows else np.empty(empty.get(name, (0, parts)), np.int64 if name == "first" else np.float64)
            for name, rows in self.parts.items()
        }
        return Ledger(**found)

    def tail(self, size: int, segments: Sequence[int] | None = None) -> Ledger:
        """Some segments together, or all, of the last rows, as a ledger of their own; θ_0 stays the first of all."""
        count = min(self.count - self.first, size)
        last = {name: np.stack(rows[-count:]) for name, rows in self.parts.items()}
        for name in ("tt", "tt0"):
            last[name] = np.stack([self.parts[name][0], *self.parts[name][-count:]])
        last["first"] = np.zeros(count, dtype=np.int64)
        return Ledger(**last).of(segments)

    def truncate(self, count: int) -> None:
        """Forget all but the first intervals."""
        for name, rows in self.parts.items():
            del rows[count + (name in ("tt", "tt0")) :]
        self.count = min(self.count, count)

    def state(self) -> dict[str, Tensor]:
        """What `load` goes on from."""
        kept = {"ring": self.ring, "zero": self.zero, "last": self.last, "at": torch.tensor([self.count, self.first])}
        return kept | {f"ledger/{name}": torch.from_numpy(value) for name, value in self.ledger()._asdict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`; without rows windows begin anew."""
        self.zero, self.last = (state[name].to(self.ring.device).clone() for name in ("zero", "last"))
        self.count, self.first = (int(value) for value in state["at"])
        self.parts = {name: list(state[f"ledger/{name}"].numpy()) for name in Ledger._fields}
        if "ring" in state:
            self.ring.copy_(state["ring"])
        else:
            self.restart()
