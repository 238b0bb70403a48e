"""What was worked out of the evidence is worked out once: a report's claims, errata, chapters and figures ask for the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
_MADE: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


def once(evidence: Any, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` gave for this evidence and key at the first call. Shared: not to be changed.

    Args:
        evidence: of whose runs it is; it is forgotten with it. key: what is asked for, whose question first.
        make: works it out; what it raises is raised each time.
    """
    made = _MADE.setdefault(evidence, {})
    if key not in made:
        made[key] = make()
    found: T = made[key]
    return found
