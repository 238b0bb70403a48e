"""SCAN's grammar makes all pairs; the published files are taken only if they are those."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import TASKS
from grok.tasks.scan import CLASSES, EOS, PAD, SOS, SYMBOLS, encode, grammar, read, scan


def test_the_grammar_makes_every_command_once() -> None:
    pairs = dict(grammar())
    assert len(pairs) == len(grammar()) == 20910
    assert max(len(command.split()) for command in pairs) == 9
    assert max(len(actions.split()) for actions in pairs.values()) == 48
    assert len({word for command in pairs for word in command.split()}) == 13
    assert len({move for actions in pairs.values() for move in actions.split()}) == 6


@pytest.mark.parametrize(
    ("command", "actions"),
    [
        ("jump", "I_JUMP"),
        ("jump left", "I_TURN_LEFT I_JUMP"),
        ("turn opposite right", "I_TURN_RIGHT I_TURN_RIGHT"),
        ("run opposite left", "I_TURN_LEFT I_TURN_LEFT I_RUN"),
        ("turn around left", "I_TURN_LEFT I_TURN_LEFT I_TURN_LEFT I_TURN_LEFT"),
        ("walk around right", " ".join(["I_TURN_RIGHT I_WALK"] * 4)),
        ("look left thrice", " ".join(["I_TURN_LEFT I_LOOK"] * 3)),
        ("jump twice and walk", "I_JUMP I_JUMP I_WALK"),
        ("jump after walk twice", "I_WALK I_WALK I_JUMP"),
    ],
)
def test_commands_that_follow_by_hand(command: str, actions: str) -> None:
    assert dict(grammar())[command] == actions


def test_the_encoding_of_a_pair() -> None:
    inputs, labels = encode([("jump", "I_JUMP")])
    assert (inputs.shape, labels.shape, SYMBOLS, CLASSES) == ((1, 60), (1, 49), 16, 9)
    jump, i_jump = int(inputs[0, 1]), int(labels[0, 0])
    assert inputs[0, :4].tolist() == [SOS, jump, EOS, PAD]
    assert inputs[0, 11:14].tolist() == [SOS, i_jump, PAD]
    assert labels[0, :3].tolist() == [i_jump, EOS, -100]
    assert int((labels != -100).sum()) == 2


def test_the_seeded_split() -> None:
    problem = scan()
    assert (len(problem.train_inputs), len(problem.test_inputs)) == (2048, 4182)
    more = scan(4096)
    assert torch.equal(more.train_inputs[:2048], problem.train_inputs)
    assert torch.equal(more.test_inputs, problem.test_inputs)


def test_a_folder_without_the_published_files_is_refused_before_a_run(tmp_path: Path) -> None:
    config = RunConfig(task="scan", data_folder=str(tmp_path)).resolved()
    with pytest.raises(ConfigError, match=r"data_folder must have tasks_train_simple.txt and .*No such file"):
        TASKS.find("scan").check(config)
    (tmp_path / "tasks_train_simple.txt").write_text("IN: jump OUT: I_JUMP\n", encoding="ascii")
    with pytest.raises(ConfigError, match=r"must have the published tasks_train_simple.txt .* got 21 bytes"):
        read(tmp_path)


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tasks_train_simple.txt")
    with pytest.raises(ConfigError, match=r"data_folder must have .*a plain file is read, not a folder, a pipe or a device"):
        read(tmp_path)


def test_a_file_of_any_length_is_told_by_its_length(tmp_path: Path) -> None:
    with (tmp_path / "tasks_train_simple.txt").open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no room on disk, and would take a terabyte in memory
    with pytest.raises(ConfigError, match=r"data_folder must have the published .*got 1099511627776 bytes, "):
        read(tmp_path)
