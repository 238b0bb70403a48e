"""Words and host facts for the store: what a person reads in the MLflow UI. Configs are resolved."""

from __future__ import annotations

import platform
import re

import numpy as np
import threadpoolctl
import torch

from grok.detectors._chosen import chosen
from grok.runs import told
from grok.spec.config import ResolvedConfig
from grok.store.markdown import inert
from grok.store.tags import ROUNDING, ROUNDING_FACTS
from grok.training.devices import rounding_facts
from grok.training.loop import Training
from grok.training.parts import network_of, task_of


def host_tags(training: Training) -> dict[str, str]:
    """Versions and hardware that the numbers are made with, and the order of summation: tags without our prefix."""
    device, rounding = training.device, training.rounding
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "blas": _blas(),
        "threads": str(torch.get_num_threads()),
        "device": gpu or _processor(),
        ROUNDING: rounding.word,
        ROUNDING_FACTS: rounding_facts(training.config, rounding, device, len(training.runs)),
    }


def _blas() -> str:
    version = re.search(r"Math Kernel Library Version (\S+)", torch.__config__.show())
    torch_blas = [f"torch MKL {version.group(1)}"] if version else []
    pools = [f"{p['internal_api']} {p['version']}" for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    return ", ".join(dict.fromkeys([*torch_blas, *pools]))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def task(config: ResolvedConfig) -> str:
    """The experiment in one sentence, which is Markdown too, whatever code of somebody's own says of itself."""
    c = config
    return inert(
        f"{network_of(c).sentence(c)} on {task_of(c).sentence(c)}, {c.optimizer}, learning rate {c.learning_rate:g}, "
        f"weight decay η = {c.weight_decay:g}, {c.epochs} epochs, seed {c.seed}."
    )


def running(config: ResolvedConfig) -> str:
    """Description while it trains."""
    return f"*Training.*\n\n{task(config)}"


def stopped(config: ResolvedConfig, reason: str) -> str:
    """Description of a run that did not get to its end."""
    return f"**{inert(reason)}** Repeat the command to go on from the last save.\n\n{task(config)}"


def finished(config: ResolvedConfig, summary: dict[str, float], final: dict[str, float]) -> str:
    """Description in Markdown of a finished run: the result first, which is all that the UI shows unasked."""
    c = config

    def at(name: str) -> str:
        return f"epoch {summary[name]:.0f}" if name in summary else "never"

    late = f"{summary['late_gap_23']:.3g}" if "late_gap_23" in summary else "not reached"
    verdict = f"fires at epoch {summary['fire_epoch']:.0f}" if summary["fired"] else "never fires"
    repulsion = ""
    if "repulsion/rate" in final:
        repulsion = (
            f"\n| repulsion rate of the top {c.top_pairs} pairs, last epoch | {final['repulsion/rate']:.3f} "
            f"(random pairs {final['repulsion/null_rate']:.3f}) |"
        )
    watched = network_of(c).layers[0].upper()
    accuracy = " / ".join(f"{final[name]:.3f}" if name in final else "–" for name in ("accuracy/train", "accuracy/test"))
    return (
        f"**{told.of_run({**final, **summary})}**\n\n{task(c)}\n\n| | |\n|---|---|\n"
        f"| {inert(chosen(c).words)} | **{verdict}** |\n"
        f"| test accuracy ≥ 0.5 | {at('test_50_epoch')} |\n| test accuracy ≥ 0.99 | {at('test_99_epoch')} |\n"
        f"| train accuracy ≥ 0.99 | {at('train_99_epoch')} |\n"
        f"| accuracy at the end, train / test | {accuracy} |\n"
        f"| λ₂/λ₃ of Δ{watched}, median of epochs 200–400 | {late} |{repulsion}\n\n"
        "λ are eigenvalues of the window's Gram ΔᵀΔ (the paper prints them as σ). Curves: model metrics and "
        "`history.parquet`; figures: `figures/`; updates: `delta_w/`."
    )
