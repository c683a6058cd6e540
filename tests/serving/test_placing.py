"""Where a request may go: the model's name and the fields together."""

from __future__ import annotations

import pytest

from llmfan.records import Prompt, Target
from llmfan.serving.faults import CallerFault
from llmfan.serving.fields import Capabilities
from llmfan.serving.model_names import Names
from llmfan.serving.placing import Place, place
from llmfan.serving.request import Asked
from llmfan.settings import FieldRules, Preset, Provider


def provider(name: str, **rules: list[str]) -> Provider:
    preset = Preset(name=name, checked="2026-11-20", fields=FieldRules(**rules))
    return Provider(name=name, preset=preset, preset_name="", api="", base_url="", keys=[], models=[], limits={})


NAMES = Names([Target(provider=name, model="m", key=f"{name}#1") for name in ("all", "few")])
FIELDS = Capabilities([provider("all"), provider("few", drop=["seed"])], lambda api: "openai_chat")


def asked(model: str, **params: object) -> Asked:
    return Asked(model=model, prompt=Prompt(id="", index=0, messages=[], params=params))


def test_who_cannot_serve_a_call_is_left_out_of_it() -> None:
    """The call goes to who takes its fields, and only there."""
    assert place(asked("auto", seed=1), NAMES, FIELDS) == Place("", frozenset({"few"}))
    assert place(asked("m"), NAMES, FIELDS) == Place("*/m", frozenset())


def test_a_call_that_nobody_can_serve_is_refused_at_the_door() -> None:
    """In the queue it would wait for somebody who never comes."""
    with pytest.raises(CallerFault) as caught:
        place(asked("few/m", seed=1), NAMES, FIELDS)
    assert (caught.value.status, caught.value.param) == (400, "seed")
    with pytest.raises(CallerFault) as caught:
        place(asked("none", seed=1), NAMES, FIELDS)
    assert caught.value.status == 404


def test_a_fleet_without_keys_is_no_fault_of_the_caller() -> None:
    """That nobody is there is for the engine to say (503): no change of fields would help."""
    assert place(asked("auto", seed=1), Names([]), FIELDS).only == ""
