"""The raw updates: the window at each checkpoint epoch, or every one, where the config asks for that."""

from __future__ import annotations

from collections.abc import Iterable

from grok.recorders.base import File, Moment, Recorder, Recording, Run


class RawUpdates(Recording):
    """Windows where `delta_w` is `windows`, blocks where it is `full`, nothing where it is `gram`."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.large = self.config.delta_w == "full"

    def files(self, moment: Moment) -> Iterable[File]:
        """The window that ends at a checkpoint, or the block that has just ended."""
        kept, updates, hash_ = self.config.delta_w, moment.updates, self.run.facts["config_hash"]
        if kept == "windows" and moment.when == "checkpoint" and moment.epoch > 0:
            facts = {"epoch": moment.epoch, "config_hash": hash_}
            window = updates.shaped(min(self.config.window, moment.epoch), moment.epoch)
            yield File(f"delta_w/window-epoch-{moment.epoch:05d}.safetensors", window, facts)
        if kept == "full" and moment.when == "block" and updates.count:
            size = updates.count % updates.block or updates.block
            first, last = updates.count - size + 1, updates.count
            facts = {"first_epoch": first, "last_epoch": last, "config_hash": hash_}
            yield File(f"delta_w/updates-{first:05d}-{last:05d}.safetensors", updates.shaped(size, last), facts)


RECORDER = Recorder(
    title="Raw updates, at checkpoints or all",
    source="ours: what any other statistic of the updates can be made of later",
    needs=("updates",),
    cost="the updates' size on disk",
    start=RawUpdates,
    artifacts=("delta_w/window-epoch-*.safetensors", "delta_w/updates-*.safetensors"),
    own_state=False,
)
