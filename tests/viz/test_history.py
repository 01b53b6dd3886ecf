"""`viz.history`: panels, lines, axes."""

import math
from xml.etree import ElementTree

import pytest

import numgrad as ng
from numgrad import viz
from numgrad.viz.curves import nice_ticks

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture):
    return [e.text for e in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def test_panels_by_measure():
    picture = viz.history(
        {"train loss": [3, 2, 1], "test loss": [3, 2.5, 2], "accuracy": [0.1, 0.5, 0.8]}, title="t"
    )
    shown = texts(picture)
    assert {"t", "loss", "accuracy", "train loss 1", "test loss 2", "accuracy 0.8"} <= set(shown)
    assert shown.count("step") == 2
    assert picture.what == "the history of 2 measures"


def test_records_counts_and_tensors():
    records = [{"epoch": 10 * k, "loss": ng.tensor(1.0 / (k + 1))} for k in range(5)]
    records[2].pop("loss")
    picture = viz.history(records)
    assert {"epoch", "loss 0.2", "40"} <= set(texts(picture))
    line = max(
        (p.get("d") for p in ElementTree.fromstring(picture.svg).iter(f"{SVG}path")), key=len
    )
    assert line.count("M") == 2 and line.count("L") == 2  # a gap where there is no value


def test_logarithmic_where_it_helps():
    falling = {"loss": [10.0**-k for k in range(6)]}
    assert "0.001" in texts(viz.history(falling))
    assert "0.001" not in texts(viz.history(falling, log=False))
    assert "0.001" in texts(viz.history({"lr": falling["loss"]}, log=True))
    assert "nan" not in viz.history({"loss": [0.0, 1.0, math.nan, math.inf]}, log=True).svg


def test_long_ones_are_averaged():
    paths = ElementTree.fromstring(viz.history({"loss": [1.0, 2.0] * 200}).svg).iter(f"{SVG}path")
    assert sum(p.get("opacity") == "0.35" for p in paths) == 1


@pytest.mark.parametrize("values", [{}, {"loss": []}, []])
def test_nothing_to_draw(values):
    with pytest.raises(ValueError, match="no values to draw"):
        viz.history(values)


def test_one_value_and_equal_values():
    for values in ([1.0], [2.0, 2.0], [0.0, 0.0, 0.0]):
        assert "loss" in texts(viz.history({"loss": values}))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-3, 17), (1e-9, 3e-9), (0.999, 1.001), (5, 5e6)]
)
def test_ticks_are_inside_and_few(low, high):
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 * abs(low) <= t <= high + 1e-9 * abs(high) for t in ticks)
