"""The texts that `llmfan init` writes, and the choice behind them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from llmfan.errors import UserError
from llmfan.inputs.config import load_fleet, packaged_providers, preset, preset_names
from llmfan.inputs.offers import Offer, limits_in_short, limits_in_words, named, offers, picked
from llmfan.inputs.starter import env_text, providers_text, quoted
from llmfan.settings import LimitRow, Preset, Price

PRESETS = [(name, preset(name)) for name in preset_names()]
USUAL = {p.preset_name: p for p in load_fleet(packaged_providers(), {}, simulate=True).providers}
FREE = {name for name, p in PRESETS if p.status in ("free", "trial")}
LOCAL = {name for name, p in PRESETS if p.status == "local"}
ODD = Preset(name="Odd", checked="2026-01-01", status="free", base_url="https://o.example/v1", env=["ODD_KEY"])


def known(**env: str) -> list[Offer]:
    return offers(PRESETS, USUAL, env)


def one(name: str, **env: str) -> Offer:
    (offer,) = [o for o in known(**env) if o.name == name]
    return offer


def parsed(chosen: list[Offer]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(providers_text(chosen))["providers"]
    return found


def test_the_usual_choice_is_everything_free() -> None:
    """A free provider left out is capacity nobody finds; a paid one put in is money nobody meant to spend."""
    assert {o.name for o in known() if o.usual} == FREE
    assert {o.name for o in known(OPENAI_API_KEY="k", VLLM_API_KEY="k") if o.usual} == FREE | {"openai"}


def test_a_closed_provider_is_never_offered() -> None:
    """Its key may well be set: GITHUB_TOKEN is, wherever tests run."""
    assert "github-models" not in {o.name for o in known(GITHUB_TOKEN="k")}


def test_what_has_a_key_comes_first() -> None:
    """One's own providers, below ten others, are not seen."""
    assert [o.name for o in known(COHERE_API_KEY="k", TOGETHER_API_KEY="k", VLLM_API_KEY="k")][:3] == [
        "cohere", "together", "gemini" if one("gemini").priority > one("groq").priority else "groq",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("env", "reference", "found"),
    [
        ({}, "$GROQ_API_KEY*", ()),
        ({"GROQ_API_KEY": ""}, "$GROQ_API_KEY*", ()),
        ({"GROQ_API_KEY": "a"}, "$GROQ_API_KEY*", ("GROQ_API_KEY",)),
        ({"GROQ_API_KEY_2": "a"}, "$GROQ_API_KEY*", ("GROQ_API_KEY_2",)),
        (
            {"GROQ_API_KEY_10": "a", "GROQ_API_KEY_2": "b", "GROQ_API_KEY": "c"},
            "[$GROQ_API_KEY, $GROQ_API_KEY_2, $GROQ_API_KEY_10]",
            ("GROQ_API_KEY", "GROQ_API_KEY_2", "GROQ_API_KEY_10"),
        ),
        # What is no key must not be taken for one, now or by a glob later.
        ({"GROQ_API_KEY": "a", "GROQ_API_KEY_FILE": "/x"}, "$GROQ_API_KEY", ("GROQ_API_KEY",)),
        ({"GROQ_API_KEY_PATH": "/x"}, "$GROQ_API_KEY", ()),
        # A name that no file can refer to.
        ({"GROQ_API_KEY-2]": "a"}, "$GROQ_API_KEY", ()),
    ],
)
def test_keys_that_are_set_are_used_by_their_names(env: dict[str, str], reference: str, found: tuple[str, ...]) -> None:
    """A name missed is a key that lies idle; a wrong one is a run that ends at once."""
    offer = one("groq", **env)
    assert (offer.reference, offer.found) == (reference, found)


def test_another_name_for_the_same_key_counts() -> None:
    """Many have their key under the name that the provider's own tools use."""
    assert one("gemini", GOOGLE_API_KEY="k").reference == "$GOOGLE_API_KEY*"
    assert one("gemini", GOOGLE_API_KEY="k", GEMINI_API_KEY="k").reference == "$GEMINI_API_KEY*"


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": "k", "GROQ_API_KEY": "a", "GROQ_API_KEY_2": "b"}])
@pytest.mark.parametrize("everything", [False, True])
def test_what_is_written_loads_as_it_stands(tmp_path: Path, env: dict[str, str], everything: bool) -> None:
    """A first file with a fault in it is the last one that a newcomer looks at."""
    chosen = [o for o in known(**env) if everything or o.usual]
    path = tmp_path / "p.yaml"
    path.write_text(providers_text(chosen, [o for o in known() if o.preset.status == "local"]), encoding="utf-8")
    fleet = load_fleet(str(path), env, simulate=True)
    assert [p.name for p in fleet.providers] == [o.name for o in chosen]
    assert [p.models[0].name for p in fleet.providers] == [o.model for o in chosen]
    assert [p.name for p in fleet.providers if p.paid] == [o.name for o in chosen if o.preset.status == "paid"]
    real = load_fleet(str(path), env, every=True)
    assert {k.label for p in real.providers for k in p.keys if not k.missing and p.name in ("groq", "openai")} == (
        {"groq#1", "groq#2", "openai#1"} if env else set()
    )


def test_a_paid_provider_is_marked_and_priced() -> None:
    """Without the mark it would be used like a free one."""
    entry = parsed(known())["openai"]
    assert entry["paid"] is True
    assert entry["price"] == {"input": 0.15, "output": 0.6}
    assert not [name for name, e in parsed(known()).items() if ("paid" in e) != (preset(name).status == "paid")]


def test_models_and_order_are_those_of_the_default_fleet() -> None:
    """Two first files that disagree would be two answers to one question."""
    packaged = yaml.safe_load(Path(packaged_providers()).read_text(encoding="utf-8"))["providers"]
    found = parsed(known())
    for name, entry in packaged.items():
        assert {k: found[name].get(k, 0) for k in ("model", "priority", "keys", "account_id")} == {
            k: entry.get(k, 0) for k in ("model", "priority", "keys", "account_id")
        }, name


@pytest.mark.parametrize("name", sorted(FREE))
def test_each_block_says_where_its_key_is_got_what_is_free_and_what_the_terms_are(name: str) -> None:
    """Who has to look each of them up elsewhere gives up at the second."""
    offer = one(name)
    text = " ".join(re.sub(r"^ *# ?", "", line) for line in providers_text([offer]).splitlines())
    assert offer.preset.signup in text
    assert limits_in_words(offer) in text
    assert re.search(r"\(checked \d{4}-\d\d-\d\d\)", text)
    assert offer.preset.terms in text


def test_the_head_names_the_next_commands_and_warns_of_several_accounts() -> None:
    """The file is what a newcomer reads first."""
    text = providers_text(known())
    for command in ("llmfan probe", "llmfan plan", "llmfan run"):
        assert command in text
    assert "several accounts" in text.partition("version:")[0]
    assert max(map(len, text.splitlines())) <= 120


def test_local_servers_stand_there_as_comments_that_work(tmp_path: Path) -> None:
    """An example that does not load is worse than none."""
    text = providers_text(named(["groq"], known(), {}), [o for o in known() if o.name in LOCAL])
    head, _, tail = text.partition("Servers of your own")
    assert set(yaml.safe_load(text)["providers"]) == {"groq"}
    lines = tail.splitlines()[1:]
    path = tmp_path / "p.yaml"
    path.write_text(head.rstrip("# \n") + "\n" + "\n".join(line.replace("# ", "", 1) for line in lines) + "\n")
    assert {p.name for p in load_fleet(str(path), {}, simulate=True).providers} == {"groq"} | LOCAL
    assert all(e["keys"] == "none" for e in parsed([o for o in known() if o.name in LOCAL]).values())


def test_the_env_example_has_every_variable_with_its_page_and_no_value(tmp_path: Path) -> None:
    """Copied as it is, it must set nothing."""
    chosen = known(GROQ_API_KEY="secret-1", GROQ_API_KEY_2="secret-2")
    text = env_text(chosen)
    (tmp_path / "e").write_text(text, encoding="utf-8")
    values = dotenv_values(tmp_path / "e")
    assert set(values.values()) == {""}
    assert {"GROQ_API_KEY", "GROQ_API_KEY_2", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"} <= values.keys()
    assert all(o.preset.signup in text for o in chosen)
    assert len([line for line in text.splitlines() if line and line[0] != "#"]) == len(values)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\x85\u2028\u2029\ufeff\ufffe\uffff"), min_size=1))  # fmt: skip  # noqa: E501
def test_any_name_of_a_model_comes_back_from_the_file_as_it_was(text: str) -> None:
    """@cf/…, names with a colon, and `no`: YAML reads them as it likes."""
    assert yaml.safe_load(f"a: {quoted(text)}") == {"a": text}


def offer(limits: dict[str, float], **more: Any) -> Offer:
    rows = [LimitRow(source="s", checked="2026-02-03", axes=limits, note=more.get("note", ""))]
    odd = Preset(name="Odd", checked="2026-01-01", status=more.get("status", "free"), limits=rows if limits else [])
    return Offer("odd", odd, "m", "none", price=Price(input=0.0, output=0.0))


def test_limits_are_said_in_words() -> None:
    """`itpm: 250000` is nothing to someone who has just come."""
    limits = {"tpm": 8000.0, "rph": 1.0, "rpd": 1000.0, "concurrency": 4.0, "usd_per_month": 0.1, "itpm": 5e5}
    assert limits_in_words(offer(limits, note="of late")) == (
        "Free: 1 request an hour, 1,000 requests a day, 4 at once, 8,000 tokens a minute, "
        "500,000 input tokens a minute, 0.10 USD a month (checked 2026-02-03). Of late."
    )
    assert limits_in_words(offer({})) == (
        "Free: no limits are documented; they are learned as answers come (checked 2026-01-01)."
    )
    assert limits_in_short(offer(limits)) == "0.10 USD/month"
    assert limits_in_short(offer({"rph": 1.0, "rpd": 1000.0, "tpm": 8000.0})) == "1/hour, 1,000/day"
    assert limits_in_short(offer({"neurons_per_day": 10000}, status="trial")) == "trial, 10,000 neurons/day"


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("", FREE),
        ("  \n", FREE),
        ("free", FREE),
        ("all", {name for name, p in PRESETS if not p.retired}),
        ("Groq, vllm", {"groq", "vllm"}),
        ("1-2,groq", {o.name for o in known()[:2]} | {"groq"}),
        ("3", {known()[2].name}),
    ],
)
def test_an_answer_names_providers_by_number_or_name(answer: str, names: set[str]) -> None:
    """Misread, it would be another fleet than the one that was asked for."""
    assert {o.name for o in picked(answer, known())} == names


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("gropq", 'did you mean "groq"'),
        ("0", "from 1 to"),
        ("5-2", "from 1 to"),
        ("99", "from 1 to"),
        ("1;2", "no such preset"),
    ],
)
def test_an_answer_that_names_nothing_is_said(answer: str, said: str) -> None:
    """Passed over in silence, it would be missed when it is needed."""
    with pytest.raises(UserError, match=said):
        picked(answer, known())
