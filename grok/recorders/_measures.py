"""The measures of an anatomy: each yields (kind, name, x, value), x a displacement where there is one, else 0.

Shapes: p weights, k orthonormal directions as rows, c places that have a label, d features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from grok.numerics import ablation, fourier, probes
from grok.recorders._instrument import Instrument
from grok.recorders._targets import Targets

Row = tuple[str, str, float, float]
SWEEP, HESSIAN, SWEPT = 0.005, 0.001, 0.03
"""The paper's steps along v: in its responses and its curvature, in units of ‖θ‖; and the end of its sweep, in units of θ."""
SWEPT_POINTS = 25
BEFORE_NORM, AFTER_NORM = "before", "after"
FAST = ("linear_raw", "linear_standardised", "linear_standardised_ols")
SLOW = ("linear_raw_ols", "quadratic_raw", "mlp_raw")
STANDARDISED = ("quadratic_standardised", "mlp_standardised")


def flow(exact: Instrument, directions: Tensor, sigma: Tensor) -> Iterator[Row]:
    """What the gap flow equation needs of each direction: d, h = vᵀ H v and ⟨v, ∇L⟩ on the training samples."""
    slope, bent = ablation.curvatures(exact.loss, exact.theta, directions)
    for k, (v, h) in enumerate(zip(directions, bent, strict=True), start=1):
        yield "flow", f"d{k}", 0.0, float(sigma[k - 1])
        yield "flow", f"h{k}", 0.0, h
        yield "flow", f"g{k}", 0.0, float(slope @ v)


def ablated(single: Instrument, directions: Tensor, seed: int, draws: int) -> Iterator[Row]:
    """Accuracy without the edge, without the bulk, and without what matches the edge: change, share and residual of ‖θ‖."""
    theta, (base, by_place, _) = single.theta.double(), single.judge(single.theta)
    yield "ablation", "base", 0.0, base
    found: dict[str, list[tuple[float, ...]]] = {}
    for one in ablation.removals(theta, directions[:2], seed=seed, draws=draws):
        whole, places, apart = single.judge(one.theta)
        found.setdefault(one.name, []).append((whole - base, places - by_place, one.share, one.residual, apart))
    if len(directions) > 2:
        left = ablation.project_out(theta, directions[2:])
        whole, places, apart = single.judge(left)
        sizes = float((theta - left).norm() / theta.norm()), float(left.norm() / theta.norm())
        found["bulk"] = [(whole - base, places - by_place, *sizes, apart)]
    for name, values in found.items():
        change, places, share, residual, apart = np.array(values).T
        yield "ablation", f"{name}/change", 0.0, float(change.mean())
        yield "ablation", f"{name}/worst", 0.0, float(change.min())
        yield "ablation", f"{name}/share", 0.0, float(share.mean())
        yield "ablation", f"{name}/residual", 0.0, float(residual.mean())
        yield "ablation", f"{name}/divergence", 0.0, float(apart.mean())
        if single.whole:
            yield "ablation", f"{name}/change_token", 0.0, float(places.mean())


def swept(single: Instrument, v: Tensor) -> Iterator[Row]:
    """Accuracy and KL along v from its ablation to as far on the other side; and the largest KL of the published sweep."""
    theta, projection = single.theta.double(), float(single.theta.double() @ v)
    published = SWEEP * float(theta.norm())
    ends = [float(x) for x in ablation.displacements(theta, v)]
    for x in sorted({*ends, published, -published, 0.0}):
        whole, _, apart = single.judge(theta + x * v)
        yield "sweep", "accuracy", x, whole
        yield "sweep", "divergence", x, apart
        if x == published:
            yield "sweep", "published", x, whole
    yield "sweep", "projection", 0.0, projection
    points = np.linspace(-SWEPT, SWEPT, SWEPT_POINTS)
    yield "sweep", "largest_divergence", SWEPT, max(single.judge(theta + float(x) * v)[2] for x in points)


def curved(
    single: Instrument, exact: Mapping[str, Instrument], directions: Tensor, sigma: Tensor, part: Instrument
) -> Iterator[Row]:
    """vᵀ H v exactly on each part, by the published difference in float32 beside it, and the change of loss at its step.

    Args:
        single: float32. exact: float64, by the name of its samples. part: float32, the samples of the published difference.
    """
    for name, instrument in exact.items():
        _, bent = ablation.curvatures(instrument.loss, instrument.theta, directions)
        yield from (("curvature", f"{name}/v{k}", 0.0, h) for k, h in enumerate(bent, start=1))
    step = HESSIAN * float(single.theta.norm())
    for k, v in enumerate(directions, start=1):
        value = ablation.finite_difference(part.loss, part.theta, v.float(), step)
        yield "curvature", f"published/v{k}", step, value
        moved = part.theta + step * v.float()
        with torch.no_grad():
            yield "curvature", f"change/v{k}", step, abs(float(part.loss(moved) - part.loss(part.theta)))
        yield "curvature", f"sigma/v{k}", 0.0, float(sigma[k - 1])


def responded(single: Instrument, states: Mapping[str, np.ndarray], v: Tensor, asked: Targets) -> Iterator[Row]:
    """How the last states move at the published step along v: R² to the label, and its spectrum over labels beside a ramp's."""
    theta = single.theta.double()
    published = SWEEP * float(theta.norm())
    response = single.states(theta + published * v)["norm"] - states["norm"]
    yield from _scores("functional", "", response, asked.labels, {"token": asked.token}, FAST[:2], published)
    shuffled = np.random.default_rng(0).permutation(asked.labels)
    yield from _scores("functional", "shuffled/", response, shuffled, {"token": asked.token}, FAST[:2], published)
    drawn = torch.randn(len(theta), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(theta.device)
    other = single.states(theta + published * drawn / drawn.norm())["norm"] - states["norm"]
    yield from _scores("functional", "random/", other, asked.labels, {"token": asked.token}, FAST[:2], published)
    if not asked.ordered and single.grid.dim() == 1:
        for name, labels in (("periodic", asked.labels), ("periodic_shuffled", shuffled)):
            yield "functional", f"{name}/token", published, probes.periodic(response, labels, asked.token)
    profile = fourier.by_depth((response.astype(np.float64) ** 2).sum(axis=1), asked.labels)
    yield "fourier", "elevation", published, fourier.elevation(profile)
    yield "fourier", "ramp", 0.0, fourier.elevation(np.arange(float(len(profile))))
    yield "fourier", "quadratic", 0.0, fourier.elevation(np.arange(float(len(profile))) ** 2)
    yield "fourier", "labels", 0.0, float(len(profile))


def read(states: Mapping[str, np.ndarray], asked: Targets) -> Iterator[Row]:
    """Linear probes of each layer, before and after the last norm: the fast ones."""
    names = [name for name in states if name not in ("norm", "encoder")]
    for name in names:
        yield from _scores("probe", f"{name}/", states[name], asked.labels, {"token": asked.token}, FAST[:1])
    before, both = states[names[-1]], {"token": asked.token, "sequence": asked.apart}
    yield from _scores("probe", f"{BEFORE_NORM}/", before, asked.labels, both, FAST)
    yield from _scores("probe", f"{AFTER_NORM}/", states["norm"], asked.labels, both, FAST[1:])
    yield "probe", "scale", 0.0, float(before.std())
    found = probes.centroids(before, asked.labels)
    yield "probe", "centroid_step", 0.0, found.step
    yield "probe", "centroid_first", 0.0, found.first
    if asked.sign is not None:
        yield from _scores("probe", "sign/", before, asked.sign, {"token": asked.token}, FAST[:1])


def battery(states: Mapping[str, np.ndarray], asked: Targets, seed: int) -> Iterator[Row]:
    """The slow probes and the nulls of shuffled labels, and the published linear one by other splits and in its own sample."""
    before = states[_last(states)]
    token, both = {"token": asked.token}, {"token": asked.token, "sequence": asked.apart}
    yield from _scores("probe", f"{BEFORE_NORM}/", before, asked.labels, token, SLOW)
    yield from _scores("probe", f"{BEFORE_NORM}/", before, asked.labels, both, STANDARDISED)
    yield from _scores(
        "probe", f"{AFTER_NORM}/", states["norm"], asked.labels, both, ("mlp_standardised", "logistic_standardised")
    )
    others = {f"token{other}": probes.by_token(len(asked.labels), other) for other in range(1, 5)}
    others |= {"same": probes.in_sample(len(asked.labels))}
    yield from _scores("probe", f"{BEFORE_NORM}/", before, asked.labels, others, FAST[:1])
    shuffled = np.random.default_rng(seed).permutation(asked.labels)
    yield from _scores("probe", "shuffled/", before, shuffled, token, (*FAST[:2], "mlp_raw"))
    for name, (labels, split) in asked.samples.items():
        yield from _scores("probe", f"{name}/", states["encoder"], labels, {"sample": split}, ("logistic_standardised",))


def untrained(states: Mapping[str, np.ndarray], asked: Targets) -> Iterator[Row]:
    """The probes of the initial network: what its untrained layers tell by themselves."""
    before, both = states[_last(states)], {"token": asked.token, "sequence": asked.apart}
    yield from _scores("untrained", "", before, asked.labels, both, FAST)
    yield from _scores("untrained", "", before, asked.labels, {"token": asked.token}, ("mlp_raw",))
    yield from _scores("untrained", "after/", states["norm"], asked.labels, both, ("logistic_standardised",))


@torch.no_grad()
def attended(single: Instrument) -> Iterator[Row]:
    """Entropy of attention by layer and head, how far it is from counting, and even attention's entropy beside it."""
    for name, weights in single.maps().items():
        found = fourier.entropy(weights).double()
        heads = found.mean(dim=(0, 2))
        yield "attention", f"entropy/{name}", 0.0, float(heads.mean())
        yield "attention", f"entropy_least/{name}", 0.0, float(heads.min())
        if single.grid.dim() == 2 and weights.shape[2] == single.places:
            tokens = found.mean(dim=1)[single.sample, single.place]
            yield "attention", f"entropy_tokens/{name}", 0.0, float(tokens.mean())
        if single.grid.dim() == 2 and name.startswith("layer"):
            apart = fourier.counting_divergence(weights)
            yield "attention", f"counting_least/{name}", 0.0, float(apart.min())
            yield "attention", f"counting_most/{name}", 0.0, float(apart.max())
    even = float(np.log(single.inputs.shape[1])) if single.grid.dim() == 1 else fourier.uniform_entropy(single.places)
    yield "attention", "uniform", 0.0, even


def positions(single: Instrument, states: Mapping[str, np.ndarray]) -> Iterator[Row]:
    """Leading frequency over places of each layer, its share and that of the first three; of a constant beside it.

    The null has the same value at each place that counts and 0 at padding: what the lengths alone give.
    """
    if single.places < 2:
        return
    grids = {name: single.filled(state) for name, state in states.items() if name.startswith("layer")}
    grids["padding"] = single.filled(np.ones((len(single.labels), 1)))
    if (encoded := single.encoded()) is not None:
        grids["encoder"] = encoded
    for name, grid in grids.items():
        shares = fourier.positional(grid)
        order = np.argsort(-shares)
        yield "fourier", f"position/{name}/frequency", 0.0, float(order[0])
        yield "fourier", f"position/{name}/first", 0.0, float(shares[order[0]])
        yield "fourier", f"position/{name}/three", 0.0, float(shares[order[:3]].sum())


def _last(states: Mapping[str, np.ndarray]) -> str:
    """The name of the last layer's output before the norm."""
    return [name for name in states if name not in ("norm", "encoder")][-1]


def _scores(
    kind: str,
    prefix: str,
    features: np.ndarray,
    labels: np.ndarray,
    splits: dict[str, probes.Split],
    readers: Sequence[str],
    x: float = 0.0,
) -> Iterable[Row]:
    return ((kind, prefix + name, x, value) for name, value in probes.battery(features, labels, splits, readers))
