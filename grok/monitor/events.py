"""What happens in a training, as it is told, and what is known of the rule that told it."""

from __future__ import annotations

from dataclasses import dataclass

ONSET, COLLAPSE, DIVERGENCE = "onset", "late collapse", "divergence"
"""What an event is of. Divergence is an update that is not finite, and needs no detector."""


@dataclass(frozen=True)
class Calibration:
    """How often a rule gave an alarm on runs in which there was nothing to find.

    Attributes:
        label: which runs. negatives: how many. alarms: on how many of them.
        updates: the median of the last updates at which those runs knew the signal.
        anywhere: of a rule in several blocks: how many, negatives with an alarm in any of them, and negatives.
    """

    label: str
    negatives: int
    alarms: int
    updates: int
    anywhere: tuple[int, int, int] | None = None

    @property
    def rate(self) -> float:
        """Share of the negatives with an alarm."""
        return self.alarms / self.negatives

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the rate.

        Source: Clopper and Pearson (Biometrika 26, 1934).
        """
        from scipy.stats import beta

        low = beta.ppf(0.025, self.alarms, self.negatives - self.alarms + 1) if self.alarms else 0.0
        high = beta.ppf(0.975, self.alarms + 1, self.negatives - self.alarms) if self.alarms < self.negatives else 1.0
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval
        told = (
            f"false alarms on {self.alarms} of {self.negatives} negatives ({self.label}; median {self.updates} updates), "
            f"rate {self.rate:.2f} [{low:.2f}, {high:.2f}]"
        )
        if self.anywhere is None:
            return told
        blocks, alarms, negatives = self.anywhere
        return f"{told}; in any of {blocks} blocks on {alarms} of {negatives}"


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        kind: `onset`, `late collapse`, `divergence`, or as a rule of one's own says.
        block: of the parameters. update: the monitor's count of updates. step: the user's.
        rule: what held, in words. value: of the signal then.
        calibration: of the rule; None: uncalibrated, or for a divergence, which is a fact.
        elsewhere: false alarms of the same rule on negatives of this project, which need not be like the user's.
    """

    kind: str
    block: str
    update: int
    step: int
    rule: str
    value: float
    calibration: Calibration | None = None
    elsewhere: tuple[Calibration, ...] = ()

    @property
    def words(self) -> str:
        """What the alarm is worth."""
        if self.kind == DIVERGENCE:
            return "observed"
        if self.calibration is not None:
            beyond = self.update > self.calibration.updates
            more = f"; of update {self.update} that says nothing, the negatives are shorter" if beyond else ""
            return f"{self.calibration}{more}"
        known = ", ".join(f"{one.alarms} of {one.negatives} ({one.label})" for one in self.elsewhere)
        return "uncalibrated" + (f"; false alarms on this project's own negatives: {known}" if known else "")

    def __str__(self) -> str:
        return f"{self.kind} in {self.block} at update {self.update} (step {self.step}): {self.rule}; {self.words}"
