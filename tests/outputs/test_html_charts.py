"""The charts of a report as they are specified: what they leave out, how they are scaled, and that none is empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.outputs.html.axes import axis
from llmfan.outputs.html.page import Page
from tests.outputs.html_pages import FLEET, page, run
from tests.outputs.test_html import documents, read


def test_what_has_no_price_is_a_point_of_its_own_kind() -> None:
    """An unknown price drawn at 0 would make the provider the cheapest."""
    _, reader = read(page(run()))
    spec = next(d["latency_p50"] for d in documents(reader) if "latency_p50" in d)
    points = {p["who"]: p for p in spec["data"]["values"]}
    assert points["cedar"]["price"] == "unknown" and points["cedar"]["each"] is None
    assert points["ash"]["price"] == "known" and points["ash"]["each"] > 0


def quality(made: Page) -> tuple[dict[str, Any], str]:
    """The charts of speed against quality by their speed, and what the page says."""
    reader = read(made)[1]
    found = [d for d in documents(reader) if "latency_p50" in d]
    return (found[0] if found else {}), "".join(reader.seen)


def test_only_what_has_no_accuracy_is_left_out_for_want_of_one() -> None:
    """Said of the forty-first provider, that was graded, it sends people to look for a fault."""
    made = run(fleet={f"p{i}": 1.0 for i in range(50)}, results=5000)
    made.summary["providers"][0]["totals"]["accuracy"] = None
    charts_, seen = quality(page(made))
    assert "Not drawn, for want of an accuracy: p0." in seen and "Drawn: the 40 with the most answers of 49." in seen
    assert len(charts_["latency_p50"]["data"]["values"]) == 40


def test_close_providers_are_told_apart() -> None:
    """Ten points in the last tenth of an axis, between two ticks that both read 90 %, show nothing."""
    made = run(fleet={"a": 2.0, "b": 2.01, "c": 2.02})
    for i, entry in enumerate(made.summary["providers"]):
        entry["totals"] |= {"accuracy": 0.902 + i / 1000, "accuracy_low": 0.9, "accuracy_high": 0.906}
        entry["totals"] |= {"cost_usd": 0.4, "ok": 400, "cost_unknown": 0}
    charts_, seen = quality(page(made))
    x, y = (charts_["latency_p50"]["encoding"][each] for each in "xy")
    assert 1.9 < x["scale"]["domain"][0] < 2 and "from 1.99" in x["title"]
    assert (y["axis"]["format"], y["scale"]["domain"]) == (".1%", [0.899, 0.907])
    points = next(each for each in charts_["latency_p50"]["layer"] if each["name"] == "points_known")
    assert not points["encoding"] and "size of a point" not in seen  # all cost the same


@given(st.lists(st.just(0.0) | st.floats(1e-9, 1e6), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_an_axis_holds_all_its_values_and_no_two_ticks_read_alike(values: list[float]) -> None:
    """A point outside of the frame is not drawn at all."""
    made = axis(values)
    assert made.ticks[0] <= min(values) and max(values) <= made.ticks[-1] * (1 + 1e-9)
    said = [f"{tick:.{made.digits}f}" for tick in made.ticks]
    assert 2 <= len(set(said)) == len(said) <= 13


def layers(document: Any) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each layer with the values that its filters leave."""
    for each in document.get("layer", [document]):
        values = document["data"]["values"]
        for rule in (step["filter"] for step in each.get("transform", [])):
            equal = rule.get("equal")
            values = [v for v in values if (v[rule["field"]] == equal if equal else v[rule["field"]] is not None)]
        yield each, values


@pytest.mark.parametrize("graded", [True, False])
@pytest.mark.parametrize("priced", [True, False])
@pytest.mark.parametrize("results", [1, 6, 600])
def test_no_layer_of_a_chart_is_empty(graded: bool, priced: bool, results: int) -> None:
    """Of nothing the library finds no extent: the axis is broken, and the browser's console full of complaints."""
    made = run(graded=graded, priced=priced, results=results, fleet={"ash": 1.0} if results == 1 else FLEET)
    for figure, kind in ((f, k) for f in documents(read(page(made))[1]) if "rows" not in f for k in f):
        for layer_, values in layers(figure[kind]):
            assert values, (kind, layer_)


def test_a_provider_has_one_colour_in_every_chart() -> None:
    """Read across two charts, a swapped colour is a wrong finding."""
    _, reader = read(page(run()))
    scales = [found for d in documents(reader) for found in colour_scales(d) if "ash" in found["domain"]]
    assert len(scales) > 3
    colours: dict[str, set[str]] = {}
    for scale in scales:
        for name, colour in zip(scale["domain"], scale["range"], strict=True):
            colours.setdefault(name, set()).add(colour)
    assert all(len(found) == 1 for found in colours.values())
    assert len({next(iter(found)) for found in colours.values()}) == 6


def colour_scales(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, list):
        return [found for each in document for found in colour_scales(each)]
    if not isinstance(document, dict):
        return []
    own = (
        [document["color"]["scale"]] if isinstance(document.get("color"), dict) and "scale" in document["color"] else []
    )
    return own + [found for each in document.values() for found in colour_scales(each)]
