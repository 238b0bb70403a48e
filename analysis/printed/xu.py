"""The numbers of Xu (arXiv 2605.08119), of its author's notes and of a review with a simulated rebuttal, as printed.

A text keeps the printed digits. The technical note has the headline, ReLU, the window table, the sign match over seeds and the
fitted line; the findings beside the author's code have the eigenvalues, the levels of λ₁/λ₂ and ρ, the η and the M × p table.
"""

from __future__ import annotations

import math
from typing import NamedTuple

XU = "Xu (arXiv 2605.08119)"
FINDINGS = f"findings beside the author's code, {XU}"
REBUTTAL = f"simulated rebuttal in a machine-written review of {XU}"
NEVER = math.nan

EIGENVALUES: tuple[tuple[str, int, tuple[str, str, str]], ...] = (
    ("grok", 25, ("3.6", "0.46", "0.027")),
    ("grok", 100, ("3.5", "0.54", "0.020")),
    ("grok", 150, ("0.86", "0.0146", "6.8e-4")),
    ("grok", 200, ("0.92", "0.0044", "2.1e-5")),
    ("grok", 300, ("0.73", "0.0026", "8.4e-6")),
    ("eta0", 100, ("2.7", "0.15", "0.008")),
    ("eta0", 200, ("0.013", "6.0e-4", "5.5e-4")),
    ("eta0", 400, ("1.2e-3", "1.1e-3", "9.5e-4")),
)
"""λ₁, λ₂, λ₃ of the w = 20 Gram of ΔW, seed 0, by condition and epoch (printed as σ)."""
LEVELS: tuple[tuple[float, str, int | None, int | None], ...] = ((25, "2", 15, 15), (100, "160", 15, 0), (200, "191", 15, None))
"""λ₁/λ₂ ≥ level: median epoch, fires of 15 with weight decay and of 15 without (None: not printed)."""
SUSTAINED: dict[float, int] = {25: 5}
"""Epochs for which λ₁/λ₂ must stay at a level to fire, where it is more than one."""
COLLAPSE, COLLAPSE_NOTES = 100.0, "30"
"""Factor by which λ₃ falls between epochs 150 and 200: two orders of magnitude in the paper, 30 in the notes."""
LATE_QUARTILES = {"grok": (168.0, 320.0), "eta0": (1.25, 1.37)}
"""Quartiles of the late gap over 15 seeds, by condition; the findings have them, the paper does not."""
RHO_LEVELS = (("0.070", 15, 0), ("0.075", 17, None), ("0.085", 22, None), ("0.10", 28, None))
"""ρ ≥ level: median epoch, and fires of 15 without weight decay where printed."""


class WindowRow(NamedTuple):
    """A row of the window table: fire epochs of seeds 0–2 with weight decay and without, sorted; late gaps of both."""

    grok: tuple[float, float, float]
    control: tuple[float, float, float]
    late_grok: str
    late_control: str


WINDOW_TABLE = {
    5: WindowRow((144, 149, 153), (179, 193, 263), "408", "8.0"),
    10: WindowRow((NEVER, NEVER, 347), (263, 266, 278), "64", "2.3"),
    20: WindowRow((173, 173, 174), (NEVER, NEVER, NEVER), "285", "1.3"),
    30: WindowRow((180, 180, 180), (NEVER, NEVER, NEVER), "140", "1.2"),
}
"""By window; square."""
WINDOW_SEEDS = (0, 1, 2)

REBUTTAL_WINDOWS = (5, 10, 20)
REBUTTAL_EPOCH = 174
REBUTTAL_SENTENCE = "windows 5, 10, 20 and thresholds ±0.01 … ±0.05, full or randomised SVD: ≥ 14/15 at epoch 174, ReLU silent"
THRESHOLD = 0.04
"""Of the published slope detector."""
STEPS = (0.01, 0.02, 0.03, 0.04, 0.05)
SIGNED = tuple(sign * step for step in STEPS for sign in (1, -1))
THRESHOLD_READINGS: dict[str, tuple[float, ...]] = {
    "positive": STEPS,
    "offset": tuple(round(THRESHOLD + step, 2) for step in SIGNED),
    "signed": SIGNED,
    "mirrored": tuple(-step for step in STEPS),
}
"""What the rebuttal's ±0.01 … ±0.05 may mean. positive: slope > δ. offset: slope > 0.04 ± δ, about the published threshold.
signed: slope > ±δ, as written. mirrored: slope < −δ, a gap that falls."""

SEED_0 = {50: "0.83", 100: "0.91", 175: "0.975", 250: "0.975", 300: "0.995"}
RELU_0 = {100: "0.91", 300: "0.995", 500: "1.000"}
NEGATIVE_0 = {50: "0.83", 100: "0.91", 175: "0.97", 250: "0.97", 300: "0.99"}
"""Share of negative entries of B among those of the 200 pairs whose cosine is positive, square, seed 0; in the findings."""
SATURATED = 0.95
"""Sign match from which on the paper says that it is saturated."""
WIDEST = "0.015"
"""Width of the quartiles of the sign match over five seeds, at most, at every checkpoint."""
FIVE_SEEDS: dict[int, tuple[str, tuple[float, float] | None]] = {
    50: ("0.865", (0.865, 0.875)),
    100: ("0.895", None),
    175: ("0.955", None),
    250: ("0.970", None),
    300: ("0.985", (0.98, 0.99)),
}
"""Theorem 6 sign match by epoch: of seed 0 with square and with ReLU; median and quartiles over five seeds of square."""


class EtaRow(NamedTuple):
    """A row of the η table: runs that grok of 5, median epochs, None where a dash is printed."""

    condition: str
    grok: int
    rho: str
    test: str | None
    lead: str | None
    fire: str


ETA_ROWS = (
    EtaRow("η 1e-5", 0, "542", None, None, "397"),
    EtaRow("η 5e-5", 5, "185", "312", "127", "280"),
    EtaRow("η 1e-4", 5, "20", "174", "154", "199"),
    EtaRow("η 2e-4", 5, "17", "101", "84", "173"),
    EtaRow("η 5e-4", 5, "23", "102", "79", "553"),
)
ETA_LATE = {"η 1e-5": "1.8", "η 5e-5": "1949", "η 1e-4": "14.3", "η 2e-4": "6.8", "η 5e-4": "20.4"}
"""Median over seeds of the late λ₂/λ₃ of the η table, where late is epoch 300 to the end, 600, as the author's code has it."""
ETA_LATE_FROM = 300
ETA_RANGE = ("79", "154")
"""Smallest and largest lead of the 20 runs that grok, as printed; they are also those of the table's four medians."""
ETA_PEAK = "25"
"""Of λ₂/λ₃ at η = 1e-5."""
ETA_LINE = ("0.80", "-75", "0.87")
"""Slope and intercept of t_ρ on t_test, and R²."""
ETA_LONG = {"test_99_epoch": "1527", "rho_epoch": "527", "lead": "567"}
"""Of the one seed of 2000 epochs at η = 1e-5. "Groks at 1527" is test ≥ 0.99: a lead of 567 puts test ≥ 0.5 at 1094."""
ETA_LEADS = 20
"""Runs of the η table that grok, in each of which ρ ≥ 0.075 comes before test ≥ 0.5."""
FIRES = {("square", "grok"): 1.0, ("square", "eta0"): 0.0, ("relu", "grok"): 0.0}
"""Share of the fifteen runs in which the slope detector fires, where printed."""
LAGS = {"test_50_epoch": "72", "test_99_epoch": "35"}
"""Epochs by which the slope detector fires after test ≥ 0.5 and ≥ 0.99."""
LAG_QUARTILES = (34.0, 36.0)
"""Of the second, over the six seeds of a pilot."""


class ScalingSetting(NamedTuple):
    """An entry of the M × p table: runs that grok of 5, median epochs, None where a dash is printed."""

    modulus: int
    share: str
    n_train: int
    grok: int
    test: str | None
    rho: str | None
    lead: str | None


SCALING = (
    ScalingSetting(41, "0.1", 168, 0, None, "13", None),
    ScalingSetting(41, "0.2", 336, 0, None, "14", None),
    ScalingSetting(41, "0.3", 504, 0, None, "15", None),
    ScalingSetting(41, "0.5", 840, 5, "201", "18", "135"),
    ScalingSetting(71, "0.1", 504, 0, None, "11", None),
    ScalingSetting(71, "0.2", 1008, 5, "580", "13", "462"),
    ScalingSetting(71, "0.3", 1512, 5, "249", "15", "183"),
    ScalingSetting(71, "0.5", 2520, 5, "88", "20", "55"),
    ScalingSetting(127, "0.1", 1612, 0, None, "11", None),
    ScalingSetting(127, "0.2", 3225, 5, "205", "16", "153"),
    ScalingSetting(127, "0.3", 4838, 5, "120", "22", "88"),
    ScalingSetting(127, "0.5", 8064, 0, None, None, None),
)
