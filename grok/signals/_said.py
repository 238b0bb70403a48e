"""What a signal may say of itself: checked when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grok.signals._needs import CLASSES, NEEDS
from grok.spec.fields import ConfigError

if TYPE_CHECKING:
    from grok.signals.base import Signal

DIRECTIONS = ("rising", "falling")
CADENCES = ("epoch", "observed", "checkpoint")
"""At every epoch; where observables are taken; at checkpoint epochs, for what costs more than a training step."""


def check(signal: Signal) -> None:
    """Refuse needs, information, a direction or a cadence that there is not.

    Raises:
        ConfigError: by the first that is wrong.
    """
    unknown = [need for need in signal.needs if need not in NEEDS]
    if unknown or not signal.needs:
        raise ConfigError(
            f"needs must be names of {', '.join(NEEDS)}, got {', '.join(unknown) or 'none'} in signal {signal.name}. "
            "Name what compute takes."
        )
    kinds = {NEEDS[need].kind for need in signal.needs} - {"run"}
    if len(kinds) != 1:
        raise ConfigError(
            f"needs must be of one epoch or of a history, got {', '.join(signal.needs)} in signal {signal.name}. "
            "Take the history of its values with over."
        )
    if signal.over and "history" in kinds:
        raise ConfigError(
            f"over must go with needs of one epoch, got {', '.join(signal.needs)} in signal {signal.name}. "
            "Let compute do it: it is given the history."
        )
    told = {NEEDS[need].information for need in signal.needs} - {"T"}
    if not signal.information or set(signal.information) - set(CLASSES) or told - set(signal.information):
        raise ConfigError(
            f"information must be letters of {''.join(CLASSES)} with {''.join(sorted(told)) or 'T'} for its needs, got "
            f"{signal.information or 'none'} in signal {signal.name}. Say what it is told."
        )
    for what, known in (("direction", DIRECTIONS), ("cadence", CADENCES)):
        if getattr(signal, what) not in known:
            raise ConfigError(
                f"{what} must be one of {', '.join(known)}, got {getattr(signal, what)} in signal {signal.name}. Pick one."
            )
    later = list(signal.variants)[1:]
    if not isinstance(signal.turned, tuple) or not all(variant in later for variant in signal.turned):
        raise ConfigError(
            f"turned must be a tuple of variants after the first ({', '.join(later) or 'none here'}), got {signal.turned!r} in "
            f"signal {signal.name}. The first has its direction."
        )
