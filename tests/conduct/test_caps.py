"""The cap that goes out is the cap that is reserved."""

from __future__ import annotations

from typing import Any

import pytest

from llmfan.conduct.speaker import Speaker
from llmfan.dialects import dialect
from llmfan.dialects.classify import from_fault
from llmfan.ports import Endpoint
from llmfan.records import Failure, Prompt
from llmfan.scheduling.jobs import Job
from llmfan.secret import SealedHeaders
from llmfan.settings import FieldRules, Preset


def speaker(form: str = "openai_chat", rules: FieldRules | None = None, **more: Any) -> Speaker:
    speaks = dialect(form, Preset(name="T", checked="", fields=rules or FieldRules()))
    settings: dict[str, Any] = {"max_tokens": 100, "params": {}, **more}
    return Speaker(
        dialect=speaks, endpoint=Endpoint("http://x", "http://x", SealedHeaders()), from_fault=from_fault,
        classify=lambda status, headers, body: Failure(kind="rate_limited", scope="key", message=""),
        without_usage=lambda: speaks, model="m", temperature=None, stream=True, **settings,
    )  # fmt: skip


def job(cap: int | None = None, **params: Any) -> Job:
    said = [{"role": "user", "content": "Hi"}]
    return Job(Prompt(id="p", index=0, messages=said, max_tokens=cap, params=params))


def test_without_params_it_is_the_setting() -> None:
    """The command line's, then the prompt's, then the file's."""
    assert speaker().max_tokens_for(job()) == 100
    assert speaker().max_tokens_for(job(200)) == 200
    assert speaker(forced_max_tokens=50).max_tokens_for(job(200)) == 50


@pytest.mark.parametrize("form", ["openai_chat", "messages", "generate_content"])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_params_that_cap_an_answer_are_what_goes_out(form: str, name: str) -> None:
    """`--param max_tokens=5000` reserved as the default 100: fifty times the bound."""
    assert speaker(form, params={name: 5000}).max_tokens_for(job()) == 5000
    assert speaker(form, forced_params={name: 5000}, forced_max_tokens=7).max_tokens_for(job()) == 5000
    assert speaker(form).max_tokens_for(job(**{name: 5000})) == 5000
    assert speaker(form, forced_params={name: 6000}).max_tokens_for(job(**{name: 5000})) == 6000
    assert speaker(form, params={name: 5}).max_tokens_for(job()) == 5


def test_several_answers_are_several_times_as_much() -> None:
    """`n: 4`."""
    assert speaker().max_tokens_for(job(n=4)) == 400
    assert speaker("generate_content").max_tokens_for(job(n=4)) == 400
    assert speaker("messages").max_tokens_for(job(n=4)) == 100  # a form that knows no such thing
    assert speaker(rules=FieldRules(drop=["n"])).max_tokens_for(job(n=4)) == 100


def test_a_cap_in_a_form_of_its_own_counts() -> None:
    """What neither form knows passes, and caps."""
    assert speaker("generate_content").max_tokens_for(job(generationConfig={"maxOutputTokens": 9000})) == 9000
    assert speaker("generate_content", params={"generationConfig": {"candidateCount": 2}}).max_tokens_for(job()) == 200
    assert speaker().max_tokens_for(job(options={"num_predict": 700})) == 700


def test_a_provider_that_renames_or_drops_the_cap_is_asked_what_goes_out() -> None:
    """Where none goes out there is no better figure than the one that was meant."""
    renamed = FieldRules(rename={"max_tokens": "max_completion_tokens"})
    assert speaker(rules=renamed).max_tokens_for(job(max_tokens=5000)) == 5000
    assert speaker(rules=FieldRules(drop=["max_tokens"])).max_tokens_for(job(n=2)) == 200


@pytest.mark.parametrize("odd", [None, -1, 0, "many", [5]])
def test_what_is_no_number_is_no_cap(odd: Any) -> None:
    """It must not end the run here: the server may say what it thinks of it."""
    assert speaker(params={"max_tokens": odd}).max_tokens_for(job(40)) == 40


def test_prompts_with_caps_of_their_own_are_told_apart() -> None:
    """What was found for one is not another's."""
    s = speaker()
    assert [s.max_tokens_for(job(max_tokens=n)) for n in (5, 5000, 5, 6000)] == [5, 5000, 5, 6000]
    assert s.call(job(max_tokens=5000)).params == {"max_tokens": 5000}
