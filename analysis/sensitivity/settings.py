"""What a sensitivity command is asked: one frozen, validated dataclass, a flag a field. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from analysis.sensitivity import space
from grok.spec.fields import Config, Rule, field, pairs, refuse, whole
from grok.store.errors import masked

MODES = ("all", "grid", "search", "adversarial")
OBJECTIVES = ("separation", "lead", "multi")
CONTROLS = ("eta0", "random_labels", "data_starved")
CONTROL_SETS = (*CONTROLS, "all")
SAMPLERS = ("tpe", "random", "qmc", "nsga2")
IMPORTANCES = ("sobol", "fanova", "mdi", "ped_anova")
METHODS = ("gram", "gram32", "svd", "randomized_5", "randomized_10", "randomized_20")
LARGEST_SAMPLE = 2**20
"""Settings of a designed sample, 256 times the default; ours."""
LARGEST_WINDOW = 4096
"""Of a band, as `RunConfig` has it; the runs' own comes in when they are known."""
HORIZONS = ("full", "common")
EXECUTION = ("n_trials", "workers", "storage", "name", "nested_runs")
"""Fields that say how far and where a study is carried out, not what it asks."""
RAISE = "Raise it"
SPACE_FIELDS = (*space.COMMON, *space.RULE_PARAMETERS)


NO_GAP = {"matrix": "w", "gap": "23", "method": "gram", "window": "3"}
"""What does not matter where a signal stands in the place of the gap: one value each."""


@dataclass(frozen=True, kw_only=True)
class SensitivityConfig(Config):
    """Everything that defines a sensitivity study; the fields of the search space are texts `a`, `a,b,c` or `a..b`.

    Raises:
        ConfigError: if a value breaks its rule.
    """

    study: str = field("headline", "the study whose finished runs are compared", "Xu §3")
    companions: str = field(
        "relu,controls,svd",
        "comma list of studies that give the conditions, activations and spectrum methods which that "
        "study lacks; none for none",
        "ours",
    )
    mode: str = field(
        "all", "the exhaustive grid, a search, the search for counterexamples, or all three", "ours", choices=MODES
    )
    objective: str = field(
        "separation",
        "separation = Youden's J; lead = median epochs before test ≥ 0.5, among settings with a false-positive "
        "rate ≤ alpha; multi = both",
        "Youden 1950; ours",
        choices=OBJECTIVES,
    )
    controls: str = field("all", "the runs whose firing is false, all = every such run there is", "ours", choices=CONTROL_SETS)
    activation: str = field("auto", "whose runs the search is on; auto = square, or the first that there is", "ours")
    n_trials: int = field(500, "trials of the search, and of each search for a counterexample", "ours", whole(1, RAISE))
    sampler: str = field("tpe", "Optuna sampler, seeded", "Optuna", choices=SAMPLERS)
    seed: int = field(0, "of samplers, designed samples and resamples", "ours", whole(0, RAISE))
    held_out: str = field("odd", "seeds kept out of every choice of a setting: odd, even, or such as 8..14 or 3,7", "ours")
    alpha: float = field(
        0.0667,
        "largest false-positive rate of the objectives lead and multi",
        "Xu §3: 1/15",
        Rule(lambda value, _: 0 <= value < 1, "be in [0, 1)", "Write for example 0.0667"),
    )
    horizon: str = field(
        "full",
        "epochs that are compared: each run's own, or those that all runs of an activation have",
        "ours",
        choices=HORIZONS,
    )
    importance: str = field(
        "sobol",
        "sobol = total Sobol index of J on a designed sample; or an Optuna evaluator on the search's trials",
        "Saltelli 2010; Optuna",
        choices=IMPORTANCES,
    )
    samples: int = field(
        4096,
        "settings of the neighbourhood and of the importance sample; a power of two",
        "ours",
        whole(64, "Take one of these", LARGEST_SAMPLE),
        Rule(lambda value, _: not value & (value - 1), "be a power of two", "Write for example 4096"),
    )
    workers: int = field(1, "processes that try settings at once", "ours", whole(1, RAISE))
    storage: str = field(
        "auto",
        "of the Optuna studies: auto (a journal file beside the store), a file, or a URL such as sqlite:///FILE or "
        "postgresql://…",
        "ours",
    )
    name: str = field("auto", "of the Optuna studies; auto is made of what is asked", "ours")
    nested_runs: int = field(0, "the best trials that are logged as nested runs too", "ours", whole(0, RAISE))
    signal: str = field(
        "none",
        "signal NAME or NAME/VARIANT whose series stands in the place of the gap; none = the gap itself",
        "ours",
        Rule(lambda value, c: value == "none" or c.mode == "search", "come with mode search", "Take mode search"),
        later=True,
    )
    matrix: str = field("w,v", "whose updates: w, v", "Xu §2: w")
    gap: str = field("12,23,34", "λ₁/λ₂, λ₂/λ₃, λ₃/λ₄", "Xu §2: 23")
    method: str = field(
        "gram",
        "how the spectrum is computed; others than gram where runs recorded them: gram32, svd, randomized_N",
        "rebuttal",
        Rule(
            lambda value, _: all(name in METHODS for name in value.split(",")),
            f"be a comma list of {', '.join(METHODS)}",
            "Pick from these",
        ),
        Rule(
            lambda value, config: "gram" in value.split(",") or config.mode == "search",
            lambda config: f"include gram in mode {config.mode}",
            "Add it, or take mode search",
        ),
    )
    window: str = field("3..auto", "updates in the rolling window; auto = the runs' max_window", "Xu §2: 20")
    smoothing: str = field("1..15", "epochs of the trailing mean of the log gap, 1 = none", "ours")
    rule: str = field("slope,level,sustained,cusum", "how the series is read, or your own as module:rule", "Xu eq. 3: slope")
    first_epoch: str = field("0..300", "first epoch at which the rule may fire", "Xu eq. 3: 100")
    slope_threshold: str = field("-0.05..0.15", "slope of the log gap, per epoch", "Xu eq. 3: 0.04")
    slope_lag: str = field("1..60", "epochs between the two gaps of the slope", "Xu eq. 3: 25")
    direction: str = field("rising,falling", "whether slope and cusum wait for the gap to open or to close", "Xu: rising")
    level: str = field("1.5..1000", "gap of the rules level and sustained", "Xu: 100 and 200 of λ₁/λ₂")
    hold: str = field("2..50", "epochs that sustained must last", "ours")
    cusum_drift: str = field("0..0.05", "growth of the log gap, per epoch, that cusum forgives", "Page 1954")
    cusum_threshold: str = field("0.2..8", "sum at which cusum fires", "Page 1954")
    own_parameters: str = field("none", "of a rule of your own: name=values;name=values", "ours")

    def __post_init__(self) -> None:
        """Check every rule, those of the search space too."""
        super().__post_init__()
        self.space(LARGEST_WINDOW)
        self.is_held_out(0)

    def space(self, max_window: int, auto: int | None = None) -> space.Space:
        """The search space over runs whose bands serve windows up to `max_window`; `auto` in `window` is `auto`, or that.

        Raises:
            ConfigError: if a part of it breaks a rule.
        """
        own = pairs("own_parameters", self.own_parameters, "name=values;name=values")
        asked = {name: getattr(self, name) for name in SPACE_FIELDS if name in self.__dataclass_fields__}
        if self.signal != "none":
            asked |= NO_GAP
        return space.build(asked, own, max_window, auto)

    def is_held_out(self, seed: int) -> bool:
        """Whether runs of a seed are kept out of every choice.

        Raises:
            ConfigError: if `held_out` is not understood.
        """
        text = self.held_out.strip().strip("'")
        if text in ("odd", "even"):
            return seed % 2 == (text == "odd")
        try:
            if ".." in text:
                low, high = (int(end) for end in text.split("..", 1))
                return low <= seed <= high
            return seed in {int(part) for part in text.split(",")}
        except ValueError:
            refuse("held_out", "be odd, even, a range or a comma list of seeds", self.held_out, "Write for example 8..14")

    def to_strings(self) -> dict[str, str]:
        """Field name to text, for the record: a password in `storage` is not shown."""
        return super().to_strings() | {"storage": shown_storage(self.storage)}

    @property
    def methods(self) -> tuple[str, ...]:
        """The spectrum methods that a search may try."""
        return tuple(self.method.split(","))

    @property
    def hash(self) -> str:
        """(12 hex digits) identity of what is asked, whatever the number of trials and where they are kept."""
        asked = {
            name: text for name, text in self.to_strings().items() if name not in (*EXECUTION, "mode", "samples", "importance")
        }
        if self.signal == "none":
            del asked["signal"]  # it came later
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


def written_storage(url: str) -> str:
    """A storage as a result that is handed on names it: of a file the name alone, whoever's folder it is in."""
    return shown_storage(url) if "://" in url else Path(url).name


def shown_storage(url: str) -> str:
    """A storage as it may be shown and written: a database URL without its password, wherever it has one."""
    if "://" not in url:
        return url
    from sqlalchemy.engine import make_url  # heavy, and only a URL needs it
    from sqlalchemy.exc import ArgumentError

    try:
        known = make_url(url)
        if any("pass" in key.lower() for key in known.query):
            known = known.set(query={key: "***" if "pass" in key.lower() else value for key, value in known.query.items()})
        return masked(known.render_as_string(hide_password=True).replace(quote("***", safe=""), "***"))
    except (ArgumentError, ValueError):  # halves of characters among them
        return "a URL that cannot be read"
