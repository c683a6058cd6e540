"""Which providers take the fields of a request, and what a caller is told where none does."""

from __future__ import annotations

from typing import Any

import pytest

from llmfan.inputs.catalogue_files import Catalogue, dialect_name
from llmfan.serving.fields import HARMLESS, HINTS, KEPT, Capabilities
from llmfan.settings import FieldRules, Preset, Provider

FORMS = {"chat": "openai_chat", "typed": "messages", "parts": "generate_content"}
TOOL = {"type": "function", "function": {"name": "f"}}


def provider(name: str, api: str = "chat", **rules: Any) -> Provider:
    preset = Preset(name=name, checked="2026-11-20", fields=FieldRules(**rules))
    return Provider(
        name=name, preset=preset, preset_name="", api=api, base_url="http://h", keys=[], models=[], limits={}
    )  # fmt: skip


OPEN = provider("open")
STRICT = provider("strict", rename={"seed": "random_seed"}, allow=["messages", "random_seed", "tools", "n", "random"])
PICKY = provider("picky", drop=["logprobs", "logit_bias"])
TYPED, PARTS = provider("typed", "typed"), provider("parts", "parts", drop=["odd"])
FLEET = Capabilities([OPEN, STRICT, PICKY, TYPED, PARTS], FORMS.__getitem__)
ALL = frozenset({"open", "strict", "picky", "typed", "parts"})


@pytest.mark.parametrize(
    ("params", "banned"),
    [
        ({}, set()),
        ({"seed": 1}, {"typed"}),
        ({"logprobs": True}, ALL - {"open"}),
        ({"logit_bias": {"1": 5}}, ALL - {"open"}),
        ({"top_p": 0.5}, {"strict"}),
        ({"tools": [TOOL]}, set()),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, {"typed", "parts"}),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}, {"strict"}),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, {"strict", "typed", "parts"}),
        ({"n": 2}, {"typed", "parts"}),
        ({"response_format": {"type": "json_object"}}, {"strict", "typed"}),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, {"strict", "typed"}),
        ({"response_format": {"type": "grammar"}}, {"strict", "typed", "parts"}),
        ({"parallel_tool_calls": False}, {"strict", "parts"}),
        ({"thinking": {"type": "enabled"}}, {"strict", "parts"}),
        ({"safetySettings": []}, {"strict", "typed"}),
        ({"odd": 1}, {"strict", "parts"}),
        ({"random": 1}, set()),
    ],
)
def test_a_field_that_is_not_taken_rules_a_provider_out(params: dict, banned: set[str]) -> None:
    """Left out in silence, a seed or a schema that was asked for is answered as if it were kept."""
    assert FLEET.banned(params) == banned


@pytest.mark.parametrize("field", sorted(HINTS))
def test_hints_rule_nobody_out(field: str) -> None:
    """Frameworks send them with every call: they would leave half of a fleet idle."""
    assert not FLEET.banned({field: "anything"})


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in HARMLESS.items() for value in values])
def test_values_that_ask_for_nothing_rule_nobody_out(field: str, value: Any) -> None:
    """What a server does unasked needs nobody's leave."""
    assert not FLEET.banned({field: value})


def test_what_is_told_names_the_field_and_who_takes_it() -> None:
    """ "Unsupported parameter" alone leaves its reader with a list of twenty to try."""
    fault = FLEET.fault({"top_p": 0.5, "logprobs": True}, ["picky", "typed"])
    assert (fault.status, fault.param) == (400, "logprobs")
    assert fault.message == '"logprobs" is not taken by picky, typed; it is by open'
    alone = Capabilities([PICKY], FORMS.__getitem__)
    assert alone.fault({"logprobs": True}, ["picky"]).message.endswith("nor by anybody else in this fleet")


def test_fields_that_nobody_takes_together_are_told_apart() -> None:
    """Each is taken by somebody: who reads that it is not would not believe it."""
    fault = FLEET.fault({"seed": 1, "top_p": 0.5}, ["strict", "typed"])
    assert fault.message == (
        'no provider takes all fields of this request: strict does not take "top_p"; typed does not take "seed"'
    )


def test_a_callers_field_names_are_quoted_short_and_plain() -> None:
    """Names are a caller's own words, and messages are logged."""
    message = Capabilities([STRICT], FORMS.__getitem__).fault({"\x1b[31m" + "x" * 10_000: 1}, ["strict"]).message
    assert "\x1b" not in message
    assert len(message) < 300


def test_what_callers_invent_does_not_fill_the_memory() -> None:
    """Each set of fields is remembered, and a caller can make up as many as it likes."""
    fleet = Capabilities([STRICT], FORMS.__getitem__)
    for number in range(3 * KEPT):
        assert fleet.banned({f"own{number}": 1, "x" * (number % 700): 1}) == {"strict"}
    assert len(fleet._known) <= KEPT
    assert all(sum(len(field) for field, _ in asks) <= 500 for asks in fleet._known)


def test_the_catalogues_own_rows_are_understood() -> None:
    """A row that rules a provider out of plain calls would take it out of the fleet."""
    catalogue = Catalogue()
    plain = {"top_p": 0.9, "stop": ["x"], "stream_options": {}, "user": "u", "tools": [TOOL], "tool_choice": "auto"}
    for name in catalogue.names():
        preset = catalogue.preset(name)
        api = preset.api or next(iter(catalogue.apis()))
        made = Provider(
            name=name, preset=preset, preset_name=name, api=api, base_url="", keys=[], models=[], limits={}
        )  # fmt: skip
        assert not Capabilities([made], dialect_name).banned(plain), name
