"""The verdict rules in words, as claims carry them; `verdicts.py` has them in code, PREREGISTRATION.md with their reasons."""

from __future__ import annotations

COUNT = (
    "A count of named runs: reproduced if equal; with a caveat within one run in fifteen; beyond, not reproduced; "
    "contradicted if all or none was printed and more than half do the opposite."
)
MEDIAN = (
    "A median over seeds: reproduced if exact tests put it inside the margin around the published value, or if it rounds to "
    "every printed digit with an interval within a factor of 2; not reproduced if they put it outside, contradicted outside "
    "a factor of 2 or where an event never came; otherwise not precise enough to tell. A quantity that fewer than four "
    "fifths of the runs have measured is not testable yet."
)
QUARTILES = "Quartiles: as a median, both of them."
RATIO = "A ratio of medians, with a bootstrap interval that draws seeds: as a median, by the ratio of each seed."
LINE = "A fitted line: as a median, by t tests with errors that leave out one seed at a time."
DIGITS = (
    "A number of one run: reproduced if it rounds to the printed digits; with a caveat inside the margin; beyond, not "
    "reproduced, and contradicted beyond a factor of 2 or where an event never came; a quantity that was not measured, not "
    "testable yet."
)
EPOCHS = "Epochs of named runs: as many must come, otherwise contradicted; each as a number of one run."
SEED = (
    "A share measured on one run: reproduced if it rounds to the printed digits; with a caveat inside the margin; otherwise "
    "not reproduced, and contradicted if the published share lies outside the range of all seeds that were run; not "
    "testable yet if that run did not measure it."
)
BETWEEN = (
    "A median over seeds of an event seen at a cadence, which lies between two observations: as a median, where all that it "
    "may be lies inside the margin, or all outside; otherwise not precise enough to tell."
)
AT_MOST = (
    "A bound: reproduced if it is kept, to half a unit of the printed digit; beyond, not reproduced, and contradicted beyond a "
    "factor of 2."
)
EVERY = (
    "Every run, of all seeds: reproduced if the exact one-sided 95 % bound of the share is at least 0.9; not reproduced if "
    "the share is below that by the other bound, contradicted if below one half; otherwise not precise enough to tell."
)
PARTS = (
    "Several numbers: reproduced if all are; with a caveat if all are at least that; contradicted or not reproduced if one "
    "is, at 5 % over all of them; otherwise not precise enough to tell."
)
