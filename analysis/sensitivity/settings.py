"""What a sensitivity command is asked: one frozen, validated dataclass, a flag a field. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from analysis.sensitivity import space
from grok.spec.config import config_field
from grok.spec.fields import ConfigError

MODES = ("all", "grid", "search", "adversarial")
OBJECTIVES = ("separation", "lead", "multi")
CONTROLS = ("eta0", "random_labels", "data_starved")
CONTROL_SETS = (*CONTROLS, "all")
SAMPLERS = ("tpe", "random", "qmc", "nsga2")
IMPORTANCES = ("sobol", "fanova", "mdi", "ped_anova")
METHODS = ("gram", "gram32", "svd", "randomized_5", "randomized_10", "randomized_20")
LARGEST_WINDOW = 4096
"""Of a band, as `RunConfig` has it; the runs' own comes in when they are known."""
HORIZONS = ("full", "common")
EXECUTION = ("n_trials", "workers", "storage", "name", "nested_runs")
"""Fields that say how far and where a study is carried out, not what it asks."""
SPACE_FIELDS = (*space.COMMON, *space.RULE_PARAMETERS)


@dataclass(frozen=True, kw_only=True)
class SensitivityConfig:
    """Everything that defines a sensitivity study; the fields of the search space are texts `a`, `a,b,c` or `a..b`.

    Raises:
        ConfigError: if a value breaks its rule.
    """

    study: str = config_field("headline", "the study whose finished runs are compared", "Xu §3")
    companions: str = config_field(
        "relu,controls,svd",
        "comma list of studies that give the conditions, activations and spectrum methods which that "
        "study lacks; none for none",
        "ours",
    )
    mode: str = config_field(
        "all", "the exhaustive grid, a search, the search for counterexamples, or all three", "ours", MODES
    )
    objective: str = config_field(
        "separation",
        "separation = Youden's J; lead = median epochs before test ≥ 0.5, among settings with a false-positive "
        "rate ≤ alpha; multi = both",
        "Youden 1950; ours",
        OBJECTIVES,
    )
    controls: str = config_field("all", "the runs whose firing is false, all = every such run there is", "ours", CONTROL_SETS)
    activation: str = config_field("auto", "whose runs the search is on; auto = square, or the first that there is", "ours")
    n_trials: int = config_field(500, "trials of the search, and of each search for a counterexample", "ours")
    sampler: str = config_field("tpe", "Optuna sampler, seeded", "Optuna", SAMPLERS)
    seed: int = config_field(0, "of samplers, designed samples and resamples", "ours")
    held_out: str = config_field(
        "odd", "seeds kept out of every choice of a setting: odd, even, or such as 8..14 or 3,7", "ours"
    )
    alpha: float = config_field(0.0667, "largest false-positive rate of the objectives lead and multi", "Xu §3: 1/15")
    horizon: str = config_field(
        "full", "epochs that are compared: each run's own, or those that all runs of an activation have", "ours", HORIZONS
    )
    importance: str = config_field(
        "sobol",
        "sobol = total Sobol index of J on a designed sample; or an Optuna evaluator on the search's trials",
        "Saltelli 2010; Optuna",
        IMPORTANCES,
    )
    samples: int = config_field(4096, "settings of the neighbourhood and of the importance sample; a power of two", "ours")
    workers: int = config_field(1, "processes that try settings at once", "ours")
    storage: str = config_field(
        "auto",
        "of the Optuna studies: auto (a journal file beside the store), a file, or a URL such as sqlite:///FILE or "
        "postgresql://…",
        "ours",
    )
    name: str = config_field("auto", "of the Optuna studies; auto is made of what is asked", "ours")
    nested_runs: int = config_field(0, "the best trials that are logged as nested runs too", "ours")
    matrix: str = config_field("w,v", "whose updates: w, v", "Xu §2: w")
    gap: str = config_field("12,23,34", "λ₁/λ₂, λ₂/λ₃, λ₃/λ₄", "Xu §2: 23")
    method: str = config_field(
        "gram", "how the spectrum is computed; others than gram where runs recorded them: gram32, svd, randomized_N", "rebuttal"
    )
    window: str = config_field("3..auto", "updates in the rolling window; auto = the runs' max_window", "Xu §2: 20")
    smoothing: str = config_field("1..15", "epochs of the trailing mean of the log gap, 1 = none", "ours")
    rule: str = config_field(
        "slope,level,sustained,cusum", "how the series is read, or your own as module:rule", "Xu eq. 3: slope"
    )
    first_epoch: str = config_field("0..300", "first epoch at which the rule may fire", "Xu eq. 3: 100")
    slope_threshold: str = config_field("-0.05..0.15", "slope of the log gap, per epoch", "Xu eq. 3: 0.04")
    slope_lag: str = config_field("1..60", "epochs between the two gaps of the slope", "Xu eq. 3: 25")
    direction: str = config_field(
        "rising,falling", "whether slope and cusum wait for the gap to open or to close", "Xu: rising"
    )
    level: str = config_field("1.5..1000", "gap of the rules level and sustained", "Xu: 100 and 200 of λ₁/λ₂")
    hold: str = config_field("2..50", "epochs that sustained must last", "ours")
    cusum_drift: str = config_field("0..0.05", "growth of the log gap, per epoch, that cusum forgives", "Page 1954")
    cusum_threshold: str = config_field("0.2..8", "sum at which cusum fires", "Page 1954")
    own_parameters: str = config_field("none", "of a rule of your own: name=values;name=values", "ours")

    def __post_init__(self) -> None:
        """Check every rule."""
        for field in dataclasses.fields(self):
            choices, value = field.metadata["choices"], getattr(self, field.name)
            if choices and value not in choices:
                raise ConfigError(f"{field.name} must be one of {', '.join(choices)}, got {value}. Pick one of these.")
        for name, least in (("n_trials", 1), ("seed", 0), ("samples", 64), ("workers", 1), ("nested_runs", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be a whole number ≥ {least}, got {getattr(self, name)}. Raise it.")
        if self.samples & (self.samples - 1):
            raise ConfigError(f"samples must be a power of two, got {self.samples}. Write for example 4096.")
        if not (math.isfinite(self.alpha) and 0 <= self.alpha < 1):
            raise ConfigError(f"alpha must be in [0, 1), got {self.alpha:g}. Write for example 0.0667.")
        unknown = [name for name in self.method.split(",") if name not in METHODS]
        if unknown:
            raise ConfigError(f"method must be a comma list of {', '.join(METHODS)}, got {self.method}. Pick from these.")
        if "gram" not in self.method.split(",") and self.mode != "search":
            raise ConfigError(f"method must include gram in mode {self.mode}, got {self.method}. Add it, or take mode search.")
        self.space(LARGEST_WINDOW)
        self.is_held_out(0)

    def space(self, max_window: int, auto: int | None = None) -> space.Space:
        """The search space over runs whose bands serve windows up to `max_window`; `auto` in `window` is `auto`, or that.

        Raises:
            ConfigError: if a part of it breaks a rule.
        """
        own = {}
        for part in [] if self.own_parameters == "none" else self.own_parameters.split(";"):
            key, equals, text = part.partition("=")
            if not equals:
                raise ConfigError(f"own_parameters must be name=values;name=values, got {self.own_parameters}. Write =.")
            own[key.strip()] = text.strip()
        return space.build(
            {name: getattr(self, name) for name in SPACE_FIELDS if name in self.__dataclass_fields__}, own, max_window, auto
        )

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
            raise ConfigError(
                f"held_out must be odd, even, a range or a comma list of seeds, got {self.held_out}. Write for example 8..14."
            ) from None

    def to_strings(self) -> dict[str, str]:
        """Field name to text, for the record: a password in `storage` is not shown."""
        texts = {field.name: str(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return texts | {"storage": shown_storage(self.storage)}

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
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> SensitivityConfig:
        """Read from the texts of flags; what `mlflow run` quotes is understood.

        Raises:
            ConfigError: if a text is not of its field's type or a value breaks its rule.
        """
        values: dict[str, str | int | float] = {}
        for field in dataclasses.fields(cls):
            if field.name not in strings:
                continue
            text = strings[field.name].strip().strip("'")
            kind = {"int": int, "float": float}.get(str(field.type), str)
            try:
                values[field.name] = kind(text)
            except ValueError:
                rule = "a whole number" if kind is int else "a number"
                raise ConfigError(f"{field.name} must be {rule}, got {text}. Write for example {field.default}.") from None
        return cls(**values)  # type: ignore[arg-type]


def shown_storage(url: str) -> str:
    """A storage as it may be shown and written: a database URL without its password, wherever it has one."""
    if "://" not in url:
        return url
    from sqlalchemy.engine import make_url  # heavy, and only a URL needs it
    from sqlalchemy.exc import ArgumentError

    try:
        known = make_url(url)
    except (ArgumentError, ValueError):
        return "a URL that cannot be read"
    if any("pass" in key.lower() for key in known.query):
        known = known.set(query={key: "***" if "pass" in key.lower() else value for key, value in known.query.items()})
    return known.render_as_string(hide_password=True).replace(quote("***", safe=""), "***")
