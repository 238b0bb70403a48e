"""Adapters with the real libraries, which the fast suite does not install: `pytest -m adapters`."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from grok import SpectralMonitor
from grok.monitor.guard import MonitorWarning
from tests.monitor.loops import Weights, close, network

pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]
"""The libraries warn of much that is theirs."""


def data(count: int = 64) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(count, 6, generator=generator), torch.randn(count, 2, generator=generator))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning_trains_resumes_and_logs(tmp_path: Path, accumulate: int) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    from grok.monitor.lightning import SpectralCallback

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return (self.net(batch[0]) - batch[1]).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    class Seen(lightning.Callback):  # type: ignore[misc]
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.weights = Weights(pl_module.parameters())

        def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            if trainer.global_step > len(self.weights.seen) - 1:
                self.weights()

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self.weights()

    def fit(epochs: int, checkpoint: str | None = None, seen: Any = None, watched: bool = True) -> tuple[Any, Any]:
        callback = SpectralCallback(window=4, strict=True, log_every=2)
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            accumulate_grad_batches=accumulate,
            callbacks=[*([callback] if watched else []), *([seen] if seen else [])],
            logger=lightning.loggers.CSVLogger(tmp_path / f"logs-{epochs}-{checkpoint is None}"),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            log_every_n_steps=1,
        )
        trainer.fit(Module(), DataLoader(data(), batch_size=16), ckpt_path=checkpoint)
        return trainer, callback.monitor

    trainer, half = fit(2)
    path = str(tmp_path / "half.ckpt")
    trainer.save_checkpoint(path)
    seen = Seen()
    with warnings.catch_warnings():
        warnings.simplefilter("error", MonitorWarning)
        _, whole = fit(4, seen=seen)
        _, resumed = fit(4, path)
    count = 4 * 4 // accumulate
    assert half.updates == {"all": count // 2}
    assert whole.updates == resumed.updates == {"all": count}
    assert whole.columns()["step"].tolist() == list(range(count + 1))
    np.testing.assert_array_equal(resumed.eigenvalues(), whole.eigenvalues())
    assert len(seen.weights.updates) >= count
    close(whole.eigenvalues(), seen.weights.eigenvalues(4)[: count + 1], 1e-4)
    trainer, _ = fit(2, watched=False)
    unwatched = str(tmp_path / "unwatched.ckpt")
    trainer.save_checkpoint(unwatched)
    line = f"The monitor starts anew at step {count // 2}: no checkpoint with a state of it was loaded"
    with pytest.warns(MonitorWarning, match=line) as told:
        _, anew = fit(4, unwatched)
    assert sum(one.category is MonitorWarning for one in told) == 1
    assert anew.updates == {"all": count // 2}
    assert "monitor/all/gap_23" in next(tmp_path.rglob("metrics.csv")).read_text(encoding="utf-8")


def test_hugging_face_trains_and_resumes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from grok.monitor.huggingface import SpectralCallback

    def fit(folder: str, steps: int, resume: bool = False) -> Any:
        torch.manual_seed(0)
        config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2)
        tokens = torch.randint(0, 50, (40, 12), generator=torch.Generator().manual_seed(1))
        rows = [{"input_ids": row, "labels": row} for row in tokens]
        callback = SpectralCallback(window=4, blocks={"attention": r"attn", "rest": r"^(?!.*attn)"}, strict=True)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / folder),
            max_steps=steps,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            save_steps=5,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            logging_steps=1000,
            lr_scheduler_type="constant",
        )
        model = transformers.GPT2LMHeadModel(config)
        trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[callback])
        trainer.train(resume_from_checkpoint=resume)
        return callback.monitor

    whole = fit("whole", 10)
    assert whole.updates == {"attention": 10, "rest": 10}
    assert whole.columns()["step"].tolist() == list(range(11))
    assert whole.left_out["lm_head.weight"] == "tied to transformer.wte.weight"
    assert fit("parts", 5).updates == {"attention": 5, "rest": 5}
    resumed = fit("parts", 10, resume=True)
    for block in whole.blocks:
        np.testing.assert_array_equal(resumed.eigenvalues(block), whole.eigenvalues(block))
    saved = tmp_path / "parts" / "checkpoint-5" / "spectral_monitor.safetensors"
    for earlier, line in (
        (False, r"no .*spectral_monitor\.safetensors"),
        (True, r".*spectral_monitor\.pt of an earlier version"),
    ):
        saved.unlink(missing_ok=True)
        if earlier:
            saved.with_suffix(".pt").write_bytes(b"a pickle")
        shutil.rmtree(tmp_path / "parts" / "checkpoint-10")
        with pytest.warns(MonitorWarning, match=f"The monitor starts anew at step 5: {line}"):
            anew = fit("parts", 10, resume=True)
        assert anew.updates == {"attention": 5, "rest": 5}


def test_accelerate_needs_no_adapter() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network()
    prepared = accelerator.prepare(model, torch.optim.Adam(model.parameters(), lr=1e-2), DataLoader(data(), batch_size=8))
    model, optimizer, loader = prepared
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    for x, y in loader:
        with accelerator.accumulate(model):
            before = monitor.updates["all"]
            accelerator.backward((model(x) - y).square().mean())
            optimizer.step()
            optimizer.zero_grad()
            if monitor.updates["all"] > before:
                weights()
    assert monitor.updates == {"all": 4}
    close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)


def test_ignite_starts_and_stops_it() -> None:
    engine = pytest.importorskip("ignite.engine")
    from grok.monitor.ignite import SpectralHandler

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    weights = Weights(model.parameters())

    def step(trainer: Any, batch: Any) -> float:
        optimizer.zero_grad()
        value = nn.functional.mse_loss(model(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        weights()
        return float(value)

    trainer = engine.Engine(step)
    handler = SpectralHandler(model, optimizer, window=3, strict=True)
    handler.attach(trainer)
    trainer.run(DataLoader(data(), batch_size=16), max_epochs=2)
    assert handler.monitor.updates == {"all": 8}
    assert handler.monitor.columns()["step"].tolist() == list(range(9))
    close(handler.monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)
    assert not optimizer._optimizer_step_post_hooks
    engine_that_fails = engine.Engine(lambda *_: 1 / 0)
    handler.attach(engine_that_fails)
    with pytest.raises(ZeroDivisionError):
        engine_that_fails.run([1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", MonitorWarning)
        trainer.run(DataLoader(data(), batch_size=16), max_epochs=3)  # it goes on, attached once
    assert handler.monitor.updates == {"all": 12}
    late = SpectralHandler(model, optimizer, window=3, strict=True)
    late.attach(trainer)
    with pytest.warns(MonitorWarning, match="The monitor starts anew at iteration 12: no state of it was loaded") as told:
        trainer.run(DataLoader(data(), batch_size=16), max_epochs=4)
    assert len(told) == 1
    assert (handler.monitor.updates, late.monitor.updates) == ({"all": 16}, {"all": 4})


def test_ignites_checkpoint_resumes_it_to_the_bit(tmp_path: Path) -> None:
    engine, handlers = pytest.importorskip("ignite.engine"), pytest.importorskip("ignite.handlers")
    from grok.monitor.ignite import SpectralHandler

    def run(epochs: int, resumed: Path | None = None) -> SpectralMonitor:
        torch.manual_seed(0)
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

        def step(trainer: Any, batch: Any) -> None:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch[0]), batch[1]).backward()
            optimizer.step()

        trainer = engine.Engine(step)
        handler = SpectralHandler(model, optimizer, window=3, strict=True)
        handler.attach(trainer)
        kept = {"model": model, "optimizer": optimizer, "trainer": trainer, "monitor": handler.monitor}
        checkpoint = handlers.Checkpoint(kept, handlers.DiskSaver(tmp_path, require_empty=False), n_saved=None)
        trainer.add_event_handler(engine.Events.EPOCH_COMPLETED(once=2), checkpoint)
        if resumed is not None:
            handlers.Checkpoint.load_objects(kept, checkpoint=torch.load(resumed))
        with warnings.catch_warnings():
            warnings.simplefilter("error", MonitorWarning)
            trainer.run(DataLoader(data(), batch_size=16), max_epochs=epochs)
        return handler.monitor

    whole = run(4)
    (saved,) = tmp_path.glob("checkpoint*.pt")
    resumed = run(4, saved)
    assert resumed.updates == {"all": 16}
    for name, column in whole.columns().items():
        np.testing.assert_array_equal(resumed.columns()[name], column)
