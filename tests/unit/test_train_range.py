"""The learning-rate range test: what it tries, when it stops, what it points out."""

import numpy as np
import pandas as pd
import pytest
import training
from training import Competition

from foldbelt.files import InputError
from foldbelt.train import lr_range


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path)


def run(competition, name="r", log=lambda text: None, **changes):
    """Give the bytes and the table of a range test."""
    path = competition.root / f"{name}.csv"
    table = training.run_range(**competition.arguments(**changes), rates=str(path), log=log)
    return path.read_bytes(), table


def test_rates_rise_by_the_same_factor_and_the_loss_is_smoothed(tiny):
    first, table = run(tiny, "a", steps=40, highest=0.1)
    assert run(tiny, "b", steps=40, highest=0.1)[0] == first
    written = pd.read_csv(tiny.root / "a.csv", keep_default_na=False)
    assert list(written.columns) == ["step", "lr", "loss", "smoothed", "suggestion"]
    assert np.allclose(table["lr"], np.geomspace(1e-6, 0.1, 40))
    assert table["step"].tolist() == list(range(1, 41))
    smoothed = table["loss"].ewm(alpha=0.1, adjust=True).mean()
    assert np.allclose(table["smoothed"], smoothed)
    assert table["loss"].iloc[-1] < 0.8 * table["loss"].iloc[0]  # it learns on the way


def test_it_stops_when_the_loss_is_four_times_its_minimum(tiny):
    lines = []
    sgd = {"name": "sgd", "lr": 0.5, "momentum": 0.9}
    plain = {"name": "vanilla", "width": 4, "depth": 2, "weights": None}
    _, table = run(tiny, optimizer=sgd, model=plain, highest=1e6, steps=60, log=lines.append)
    assert len(table) < 60
    worst = table["smoothed"] / table["smoothed"].cummin()
    assert (worst.iloc[:-1] <= 4).all()
    assert np.isfinite(table.drop(columns="suggestion").to_numpy(float)).all()
    assert any("Stopped at step" in line for line in lines)


def test_a_stage_before_is_where_it_starts(tiny):

    quick = {"optimizer": {"name": "adamw", "lr": 0.03}, "epochs": 8}
    training.run(**tiny.arguments("w", **quick), log=lambda text: None)
    _, fresh = run(tiny, steps=12, highest=1e-5)
    _, after = run(tiny, steps=12, highest=1e-5, start=str(tiny.root / "w.safetensors"))
    assert after["loss"].mean() < 0.7 * fresh["loss"].mean()


def test_it_points_at_the_steepest_fall_and_a_tenth_of_the_minimum():
    lr = np.geomspace(1e-6, 10, 71)  # ten steps a decade
    place = np.log10(lr)
    smoothed = 1 / (1 + np.exp(4 * (place + 3))) + 0.5 / (1 + np.exp(-4 * (place - 0.5)))
    names = lr_range.suggest(lr, smoothed)
    assert lr[names.index("steepest")] == pytest.approx(1e-3)
    lowest = lr[int(np.argmin(smoothed))]
    assert lr[names.index("tenth")] == pytest.approx(lowest / 10)
    assert sum(name != "" for name in names) == 2
    assert set(lr_range.suggest(lr, np.linspace(1, 2, 71))) == {""}


def test_noise_of_the_first_steps_is_no_fall():
    lr = np.geomspace(1e-6, 10, 71)
    smoothed = 1 / (1 + np.exp(4 * (np.log10(lr) + 3)))
    smoothed[0] = 9
    assert lr[lr_range.suggest(lr, smoothed).index("steepest")] == pytest.approx(1e-3)


def test_rates_that_do_not_rise_are_refused(tiny):
    with pytest.raises(InputError, match="lowest < highest"):
        run(tiny, lowest=1.0, highest=0.1)
