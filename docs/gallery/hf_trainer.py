"""Hugging Face's Trainer on a tiny random GPT-2: gradient accumulation, a checkpoint, and a resumed run to the same bits.

python docs/gallery/hf_trainer.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

from grok import SpectralMonitor
from grok.monitor.huggingface import SpectralCallback


def train(folder: str, steps: int, resume: bool = False) -> SpectralMonitor:
    """Random tokens with a period that can be learnt."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=64, n_positions=32, n_embd=48, n_layer=2, n_head=4)
    period = torch.randint(0, 64, (64, 8), generator=torch.Generator().manual_seed(1)).repeat(1, 4)
    callback = SpectralCallback(window=10, blocks={"attention": r"\.attn\.", "mlp": r"\.mlp\."})
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        learning_rate=2e-3,
        lr_scheduler_type="constant",
        save_steps=30,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        logging_steps=1000,
    )
    trainer = transformers.Trainer(
        model=transformers.GPT2LMHeadModel(config),
        args=arguments,
        train_dataset=[{"input_ids": row, "labels": row} for row in period],
        callbacks=[callback],
    )
    trainer.train(resume_from_checkpoint=resume)
    assert callback.monitor is not None
    return callback.monitor


folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
with tempfile.TemporaryDirectory() as temporary:
    whole = train(f"{temporary}/whole", 60)
    train(f"{temporary}/parts", 30)
    resumed = train(f"{temporary}/parts", 60, resume=True)
same = all(np.array_equal(whole.eigenvalues(b), resumed.eigenvalues(b), equal_nan=True) for b in whole.blocks)
whole.plot("attention").savefig(folder / "hf_trainer.png", dpi=110)
print(whole)
print(f"updates {whole.updates}; resumed at 30, the same to the bit: {same}")
