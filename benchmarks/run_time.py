"""Time a tracked run by part and against the same run without a store: `python -m benchmarks.run_time [--epochs N]`.

Set MLFLOW_TRACKING_URI to a store that may be thrown away; each call trains new runs. One line per activation.
"""

from __future__ import annotations

import argparse
import time

from analysis.figures import run_figures
from grok import runner, tracking
from grok.config import RunConfig
from grok.member import Member
from grok.training import Training


def without_store(config: RunConfig) -> float:
    """Seconds of training, observables and spectra alone."""
    start = time.perf_counter()
    training = Training(config)
    member = Member(training.config, 0)
    for record in training:
        member.add(record, record.scores[0].cpu().numpy())
        if training.updates["w"].count == training.updates["w"].complete or record.epoch == training.config.epochs:
            member.extend(training)
    member.summary()
    return time.perf_counter() - start


def main() -> None:
    """Print the seconds of each part and the share of tracking."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=None, help="shorter runs, to try the command")
    epochs = parser.parse_args().epochs
    store = tracking.open_store()
    for activation in ("square", "relu"):
        config = RunConfig(activation=activation, epochs=epochs)
        bare = without_store(config)
        start = time.perf_counter()
        (outcome,) = runner.train_tracked([config], store, figures=run_figures)
        whole = time.perf_counter() - start
        parts = " ".join(f"{name}={seconds:.2f}" for name, seconds in outcome.seconds.items())
        print(f"{activation}: tracked={whole:.1f} without_store={bare:.1f} share={1 - bare / whole:.3f} {parts}")


if __name__ == "__main__":
    main()
