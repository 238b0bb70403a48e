"""What fan-out and a server bear: what is written is there, a study's runs are there, and wrong words are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from benchmarks import cluster


@pytest.mark.slow
def test_a_server_has_what_the_writers_counted(template_store: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(template_store.read_bytes())
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    (row,) = cluster.server(uri, 0.2, (2,))
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name(cluster.EXPERIMENT).experiment_id])
    assert len(runs) == row["writers"] == 2
    points = [len(client.get_metric_history(run.info.run_id, f"metric/{n}")) for run in runs for n in range(25)]
    assert sum(points) == row["batches"] * cluster.BATCH
    assert row["slowest_ms"] >= row["median_ms"] > 0


@pytest.mark.slow
def test_a_study_on_dask_is_trained_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    alone, two = cluster.dask(4, (2,))
    assert (alone["workers"], two["workers"], two["runs"]) == (0, 2, 4)
    assert two["run_of_2_percent_s"] == pytest.approx(50 * max(two["beside_s"], two["cpu_beside_s"]))
    assert min(alone["cpu_s_a_run"], two["cpu_s_a_run"]) > 0


@pytest.mark.parametrize("words", [["server"], ["dask", "--uri", "http://127.0.0.1:1"]])
def test_wrong_words_are_refused(words: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        cluster.main(words)
    assert stopped.value.code == 2
    assert "uri must be given with server and only then" in capsys.readouterr().err
