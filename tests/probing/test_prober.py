"""The probe as a whole, on the virtual clock: what it asks, in which order, how long it takes, what it says."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmfan.entries import State
from llmfan.probing.document import probe_document
from llmfan.probing.prober import ProbeOptions
from llmfan.runfile import redactor
from llmfan.simulation.script import Script
from llmfan.units import DAY
from tests.probing.world import NOON, Far, answers, fleet_of, lists, probe, refuses, reported, says, silent

FREE = ProbeOptions(free=True)
STATES = get_args(State)
#: Fields that are looked at somewhere.
NAMES = [
    "error", "message", "code", "data", "id", "name", "choices", "finish_reason", "content", "candidates", "result",
    "status", "is_available", "limit_remaining", "success", "errors", "usage",
]  # fmt: skip


UNREAD = "llmfan could not read its answers"


def always(script: Script, listing: Script | None = None) -> Far:
    """The list answers as `listing` says, else names the model; everything else is `script`."""
    names = listing or lists("m")
    return Far(lambda what, key, body: names if what == "list" else script)


def keyed(good: str, script: Script, listing: Script | None = None) -> Far:
    """A list for one key alone, so that it proves it."""
    names = listing or lists("m")

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        if what == "list":
            return names if key == good else refuses(401, "no key")
        return script

    return Far(answer)


# ------------------------------------------------------------------ one key


def test_a_good_key_costs_one_token_and_says_how_long_it_took(tmp_path: Path) -> None:
    """A listing proves neither credit nor access: only an answer does, and one token is an answer."""
    far = keyed("key-of-a", answers(0.4))
    found = probe(fleet_of(tmp_path, a={}), {"a": far})["a#1"]
    (asked,) = far.asked("ask")
    assert asked.body["max_tokens"] == 1
    assert "temperature" not in asked.body and not asked.body.get("stream")
    assert (found.state, found.why, found.model, found.mask) == ("ok", "", "m", "…")
    assert found.latency_s == pytest.approx(0.25, abs=0.01)  # of the list and the answer


@pytest.mark.parametrize("finish", ["length", "stop"])
def test_a_model_that_spends_its_token_on_thought_is_well(finish: str, tmp_path: Path) -> None:
    """Reasoning models answer one token with nothing; they were called broken by every other checker."""
    found = probe(fleet_of(tmp_path, a={}), {"a": always(answers(content=None, finish=finish))})
    assert found.states == {"a#1": "ok"}


def test_a_cap_of_one_that_is_refused_is_raised_once(tmp_path: Path) -> None:
    """Some models take no fewer than sixteen; their keys are good."""

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        if what == "ask" and body["max_tokens"] < 16:
            return refuses(400, "max_tokens must be at least 16")
        return answers() if what == "ask" else lists("m")

    far = Far(answer)
    assert probe(fleet_of(tmp_path, a={}), {"a": far}).states == {"a#1": "ok"}
    assert [seen.body["max_tokens"] for seen in far.asked("ask")] == [1, 16]


def test_a_wrong_key_is_found_out_by_the_list_alone(tmp_path: Path) -> None:
    """A completion with it would be one more line in somebody's log of attacks."""
    far = Far(lambda what, key, body: refuses(401, f"Incorrect API key: {key}"))
    fleet = fleet_of(tmp_path, a={"keys": ["sk-a-long-enough-key-1234"]})
    found = probe(fleet, {"a": far})["a#1"]
    assert (found.state, found.why, found.mask) == ("invalid", "Incorrect API key: [key]", "…1234")
    assert not far.asked("ask")


@pytest.mark.parametrize("status", [403, 404, 405, 500, 503])
def test_a_list_that_is_not_there_decides_nothing(status: int, tmp_path: Path) -> None:
    """Restricted keys may not list and yet answer."""
    found = probe(fleet_of(tmp_path, a={}), {"a": always(answers(), refuses(status, "no"))})
    assert found.states == {"a#1": "ok"}


def test_a_list_that_is_open_to_everybody_proves_no_key(tmp_path: Path) -> None:
    """Of a server that is in no catalogue nobody knows: a dead key would be called good and forbidden."""
    open_list, closed = always(refuses(401, "no")), keyed("key-of-b", refuses(401, "no"))
    found = probe(fleet_of(tmp_path, a={}, b={}), {"a": open_list, "b": closed})
    assert found.states == {"a#1": "invalid", "b#1": "forbidden"}


def test_without_a_key_nothing_but_an_answer_is_asked_for(tmp_path: Path) -> None:
    """A server of one's own has no key to prove."""
    far = always(answers())
    assert probe(fleet_of(tmp_path, a={"keys": "none"}), {"a": far}).states == {"a#1": "ok"}
    assert [seen.what for seen in far.seen] == ["ask"]


def test_trouble_that_may_pass_is_tried_once_more(tmp_path: Path) -> None:
    """One 503 in a million must not turn a CI job red; two in a row are news."""
    once = iter([refuses(503, "busy"), answers()])
    passing = Far(lambda what, key, body: next(once) if what == "ask" else lists("m"))
    lasting = always(refuses(500, "broken"))
    found = probe(fleet_of(tmp_path, a={}, b={}), {"a": passing, "b": lasting})
    assert found.states == {"a#1": "ok", "b#1": "unreachable"}
    assert "500" in found["b#1"].why and "broken" in found["b#1"].why
    first, second = [seen.at for seen in lasting.asked("ask")]
    assert second - first == pytest.approx(1.1, abs=0.01)


def test_what_is_refused_for_good_is_asked_once(tmp_path: Path) -> None:
    """A probe that knocks twice at a limit is part of the load."""
    far = always(refuses(429, "slow down", retry_after="7"))
    found = probe(fleet_of(tmp_path, a={}), {"a": far})["a#1"]
    assert found.state == "rate_limited"
    assert found.until == pytest.approx(NOON + 7, abs=1)
    assert len(far.asked("ask")) == 1


def test_a_model_that_is_not_there_is_told_with_its_nearest_names(tmp_path: Path) -> None:
    """Most are typing errors, and the list to find the right name in is long."""
    far = keyed("key-of-a", refuses(404, "The model `m` does not exist"), lists("vendor/m", "other", "m2"))
    found = probe(fleet_of(tmp_path, a={}), {"a": far})["a#1"]
    assert found.state == "no_model"
    assert found.nearest[0] == "vendor/m"


def test_a_model_that_is_listed_and_refused_is_forbidden_unless_it_is_gone(tmp_path: Path) -> None:
    """That it is called unknown to this key means that the plan does not hold it."""
    refused = keyed("key-of-a", refuses(404, "The model `m` does not exist or you have no access to it"))
    gone = keyed("key-of-b", refuses(410, "The model `m` has been decommissioned"), lists("gpt-9", "gpt-9-new"))
    found = probe(fleet_of(tmp_path, a={}, b={"model": "gpt-9"}), {"a": refused, "b": gone})
    assert found.states == {"a#1": "forbidden", "b#1": "no_model"}
    assert "decommissioned" in found["b#1"].why and found["b#1"].nearest == ["gpt-9-new"]


NO_PATH = says(404, {"detail": "Not Found"})


@pytest.mark.parametrize("listing", [NO_PATH, says(200, b"<html>Welcome</html>"), says(200, {"ok": True})])
def test_where_neither_answers_nor_a_list_are_the_address_is_wrong(listing: Script, tmp_path: Path) -> None:
    """`its list has nothing near it`, of a list that nobody has seen: one looks for another model all afternoon."""
    found = probe(fleet_of(tmp_path, a={"keys": ["k-1", "k-2"]}), {"a": always(NO_PATH, listing)})
    assert found.states == {"a#1": "unreachable", "a#2": "unreachable"}
    for each in found.findings:
        assert "nothing at this address: check base_url (POST /a/v1/chat/completions answered 404, GET" in each.why
        assert "GET /a/v1/models" in each.why and each.nearest == []


def test_a_refusal_that_names_the_model_has_read_the_request(tmp_path: Path) -> None:
    """A small server has no list of models, and knows all the same that it has not this one."""
    far = always(refuses(404, "The model `m` does not exist"), NO_PATH)
    assert probe(fleet_of(tmp_path, a={}), {"a": far})["a#1"].state == "no_model"
    shut = always(NO_PATH, refuses(503, "busy"))  # of the list nothing is known
    assert probe(fleet_of(tmp_path, a={}), {"a": shut})["a#1"].state == "no_model"


def test_answers_nobody_foresaw_cost_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One server's strange figure took the findings of thirty other keys with it."""
    fleet = fleet_of(tmp_path, a={"keys": ["k-1", "k-2"]}, b={})

    def strange(*_: Any) -> Any:
        raise OverflowError

    monkeypatch.setattr("llmfan.probing.key_probe.take", strange)
    found = probe(fleet, {"a": always(answers(**reported(9))), "b": Far(lambda *_: refuses(401, "no"))})
    assert found.states == {"a#1": "unreachable", "a#2": "unreachable", "b#1": "invalid"}
    assert found["a#1"].why == f"{UNREAD}: OverflowError"


def test_a_page_for_people_is_a_wrong_address_and_no_missing_model(tmp_path: Path) -> None:
    """`base_url` without its /v1 answers 404 to everything."""
    page = Script(404, {"content-type": "text/html"}, [(0.1, b"<html><title>Not Found</title></html>")])
    for script in (
        page,
        says(200, b"<html><title>Welcome</title></html>"),
        Script(302, {"location": "/login"}, [(0.1, b"")]),
    ):
        found = probe(fleet_of(tmp_path, a={}), {"a": Far(lambda what, key, body, script=script: script)})["a#1"]
        assert found.state == "unreachable"
        assert "not as this API" in found.why


def test_params_that_make_one_token_dear_are_left_out(tmp_path: Path) -> None:
    """A thinking budget of a thousand tokens and a cap of one contradict each other; routing has to stay."""
    params = {"thinking": {"budget_tokens": 1024}, "max_completion_tokens": 900, "n": 4, "enable_thinking": False}
    far = always(answers())
    probe(fleet_of(tmp_path, a={"params": params}), {"a": far})
    (asked,) = far.asked("ask")
    assert set(asked.body) == {"model", "messages", "max_tokens", "enable_thinking"}


# ------------------------------------------------------------ keys not asked


def test_a_key_that_is_not_set_names_its_variable_and_where_to_get_it(tmp_path: Path) -> None:
    """Half of all first runs end here."""
    fleet = fleet_of(tmp_path, a={"preset": "groq", "keys": ["$A_KEY"]})
    far = always(answers())
    found = probe(fleet, {"a": far})["a#1"]
    assert found.state == "missing"
    assert "$A_KEY" in found.why and "https://console.groq.com/keys" in found.why
    assert not far.seen


def test_a_retired_provider_is_not_asked(tmp_path: Path) -> None:
    """Its address may belong to somebody else by now."""
    fleet = fleet_of(tmp_path, a={"preset": "github-models"})
    far = always(answers())
    found = probe(fleet, {"a": far})["a#1"]
    assert found.state == "retired" and "2026-07-30" in found.why
    assert not far.seen


# ----------------------------------------------------------------- key checks


def checked(check: Script, completion: Script | None = None) -> Far:
    done = completion or answers()
    return Far(lambda what, key, body: {"check": check, "list": lists("m"), "ask": done}[what])


def router(tmp_path: Path, far: Far, options: ProbeOptions | None = None) -> Any:
    return probe(fleet_of(tmp_path, a={"preset": "openrouter"}), {"a": far}, options)["a#1"]


def test_a_key_check_saves_the_list_and_the_answer_of_a_wrong_key(tmp_path: Path) -> None:
    """Where there is an address that tells of a key, one request is enough."""
    far = checked(refuses(401, "No auth credentials found"))
    assert router(tmp_path, far).state == "invalid"
    assert [seen.what for seen in far.seen] == ["check"]


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_a_key_check_that_fails_decides_nothing(status: int, tmp_path: Path) -> None:
    """It may not be for this sort of key: the answer tells."""
    far = checked(refuses(status, "no"))
    assert router(tmp_path, far).state == "ok"
    assert len(far.asked("ask")) == 1


def test_a_key_that_was_checked_and_is_refused_is_forbidden(tmp_path: Path) -> None:
    """It is a good key: another model, or another country, may do."""
    assert router(tmp_path, checked(says(200, {"data": {}}), refuses(403, "no"))).state == "forbidden"
    assert router(tmp_path, checked(says(200, {"data": {}}), refuses(401, "no"))).state == "forbidden"


def test_a_public_list_is_asked_without_a_key_and_only_for_a_name(tmp_path: Path) -> None:
    """It proves nothing, and it is long."""
    fleet = fleet_of(tmp_path, a={"preset": "openrouter", "keys": ["key-a-1", "key-a-2"], "model": "vendor/m"})
    far = Far(
        lambda what, key, body: {
            "check": says(200, {}),
            "list": lists("m"),
            "ask": refuses(404, "no model", "no_endpoints"),
        }[what]
    )
    found = probe(fleet, {"a": far})
    assert found.states == {"a#1": "no_model", "a#2": "no_model"}
    assert found["a#2"].nearest == ["m"]
    assert [seen.key for seen in far.asked("list")] == [""]


def test_a_key_checks_count_is_one_less_after_an_answer(tmp_path: Path) -> None:
    """`rpd 50/50` was told of a day of which the probe itself had just spent one."""
    told = says(200, {"data": {"free_model_daily_requests": {"limit": 50, "remaining": 50}}})
    found = router(tmp_path, checked(told))
    assert (found.limits["rpd"].limit, found.limits["rpd"].remaining) == (50, 49)
    refused = router(tmp_path, checked(told, refuses(429, "slow down")))
    assert refused.limits["rpd"].remaining == 50
    unasked = router(tmp_path, checked(told), FREE)
    assert unasked.limits["rpd"].remaining == 50


def test_a_key_checks_count_is_that_of_all_models(tmp_path: Path) -> None:
    """Each of them takes from the same day."""
    told = says(200, {"data": {"free_model_daily_requests": {"limit": 50, "remaining": 50}}})
    fleet = fleet_of(tmp_path, a={"preset": "openrouter", "models": ["m", "n"]})
    found = probe(fleet, {"a": checked(told)}, ProbeOptions(all_models=True))
    assert [each.limits["rpd"].remaining for each in found.findings] == [48, 48]


# -------------------------------------------------------------------- `--free`


def test_free_sends_nothing_that_is_billed(tmp_path: Path) -> None:
    """Who says so does not want to pay for a single token."""
    far = {
        "listed": keyed("key-of-listed", answers()),
        "open": always(answers()),
        "typo": keyed("key-of-typo", answers(), lists("mm")),
        "shut": always(answers(), refuses(404, "no list")),
        "bad": keyed("-", answers()),
    }
    found = probe(fleet_of(tmp_path, **{name: {} for name in far}), far, FREE)
    assert not [seen for one in far.values() for seen in one.asked("ask")]
    assert found.states == {
        "listed#1": "ok", "open#1": "unproven", "typo#1": "no_model", "shut#1": "unproven", "bad#1": "invalid",
    }  # fmt: skip
    assert found["typo#1"].nearest == ["mm"]
    assert "404" in found["shut#1"].why and "everybody" in found["open#1"].why


def test_free_asks_a_server_of_ones_own(tmp_path: Path) -> None:
    """Where there is no key nobody is billed, and nothing else tells whether it is there."""
    priced = {"keys": "none", "price": {"input": 1, "output": 1}}
    far = {"own": always(answers()), "priced": always(answers())}
    found = probe(fleet_of(tmp_path, own={"keys": "none"}, priced=priced), far, FREE)
    assert found.states == {"own#1": "ok", "priced#1": "unproven"}


# ------------------------------------------------------------------ many keys


def test_a_fleet_takes_the_time_of_its_slowest_provider(tmp_path: Path) -> None:
    """32 keys one after another, some of them silent, take minutes."""
    entries: dict[str, Any] = {f"p{n}": {"keys": [f"key-{n}-{k}" for k in range(4)]} for n in range(7)}
    far: dict[str, Far] = {f"p{n}": always(answers(0.1 * n + 0.1)) for n in range(7)}
    entries["silent"] = {"keys": [f"key-s-{k}" for k in range(4)]}
    far["silent"] = Far(lambda what, key, body: silent())
    found = probe(fleet_of(tmp_path, **entries), far)
    assert len(found.findings) == 32
    assert found.took == pytest.approx(15.0, abs=0.01)
    assert [f.state for f in found.findings] == ["ok"] * 28 + ["unreachable"] * 4


def test_of_one_provider_at_most_four_accounts_are_asked_at_once(tmp_path: Path) -> None:
    """Twenty at once look like an attack, and draw the refusals that a probe is to tell of."""
    far = always(answers())
    probe(fleet_of(tmp_path, a={"keys": [f"key-a-{n}" for n in range(12)]}), {"a": far})
    assert far.at_once() == 4


def test_the_keys_of_one_account_take_turns_as_its_limit_wants(tmp_path: Path) -> None:
    """A probe that is refused for its own haste calls good keys limited."""
    entry = {
        "keys": [{"key": f"key-a-{n}", "account": "team"} for n in range(3)],
        "limits": {"rps": 1, "shared": "account"},
    }
    far = always(answers(0.01))
    found = probe(fleet_of(tmp_path, a=entry), {"a": far})
    assert set(found.states.values()) == {"ok"}
    moments = sorted(seen.at for seen in far.seen if seen.key)
    assert len(moments) == 6
    assert min(b - a for a, b in itertools.pairwise(moments)) > 1.04


@pytest.mark.parametrize("keys", [5, 12])
def test_dead_keys_of_one_host_take_one_timeout(keys: int, tmp_path: Path) -> None:
    """What one key finds of the way holds for all that go it."""
    far = Far(lambda what, key, body: silent())
    found = probe(fleet_of(tmp_path, a={"keys": [f"key-a-{n}" for n in range(keys)]}), {"a": far})
    assert found.took == pytest.approx(15.0, abs=0.01)
    assert len(far.seen) == 4
    assert set(found.states.values()) == {"unreachable"}
    assert found[f"a#{keys}"].why.startswith("not asked: a#1 found ")
    assert "timed out" in found["a#2"].why and "not asked" not in found["a#2"].why


def test_a_host_that_answers_one_key_is_asked_by_the_others(tmp_path: Path) -> None:
    """One slow answer says nothing of the rest."""

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        return lists("m") if what == "list" else silent() if key.endswith("1") else answers()

    keys = [{"key": f"key-a-{n}", "account": "one"} for n in (1, 2)]
    found = probe(fleet_of(tmp_path, a={"keys": keys}), {"a": Far(answer)})
    assert found.states == {"a#1": "unreachable", "a#2": "ok"}


def test_a_refused_connection_is_told_at_once_and_once(tmp_path: Path) -> None:
    """It needs no timeout, and no second try."""
    found = probe(fleet_of(tmp_path, a={"keys": ["key-a-1", "key-a-2"]}), {})
    assert set(found.states.values()) == {"unreachable"}
    assert "connection refused" in found["a#1"].why
    assert found.took == pytest.approx(0.0, abs=0.01)


def test_the_timeout_is_the_shortest_that_was_said(tmp_path: Path) -> None:
    """A local server that answers in two seconds or never need not be waited for."""
    far = {"a": Far(lambda what, key, body: silent())}
    assert probe(fleet_of(tmp_path, a={"timeout": 2}), far).took == pytest.approx(2.0, abs=0.01)
    assert probe(fleet_of(tmp_path, a={"timeout": 2}), far, ProbeOptions(timeout=5)).took == pytest.approx(
        5.0, abs=0.01
    )


def test_every_model_of_a_key_is_asked_if_wanted(tmp_path: Path) -> None:
    """A key may answer on one model and have no right to the next."""

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        if what == "list":
            return lists("x", "y") if key == "key-of-a" else refuses(401, "no")
        return answers() if body["model"] == "x" else refuses(403, "not in your plan")

    far = Far(answer)
    fleet = fleet_of(tmp_path, a={"models": {"x": {}, "y": {}}})
    found = probe(fleet, {"a": far}, ProbeOptions(all_models=True))
    assert [(f.key, f.model, f.state) for f in found.findings] == [("a#1", "x", "ok"), ("a#1", "y", "forbidden")]
    assert len(far.asked("list")) == 2  # with the key, and once without


def test_what_holds_for_a_key_is_not_asked_of_its_other_models(tmp_path: Path) -> None:
    """Ten models of a key without credit are one refusal."""
    far = always(refuses(402, "no credit"))
    fleet = fleet_of(tmp_path, a={"models": {"x": {}, "y": {}}})
    found = probe(fleet, {"a": far}, ProbeOptions(all_models=True))
    assert [f.state for f in found.findings] == ["no_credit", "no_credit"]
    assert len(far.asked("ask")) == 1


# ------------------------------------------------------------------------ limits


def test_what_answers_and_refusals_report_is_kept(tmp_path: Path) -> None:
    """The figures of a key are half of what one wants to know of it."""
    told = {**reported(997), "x_ratelimit_reset_requests_day": "3600"}
    good, spent = always(answers(**told)), always(refuses(429, "Requests per day limit exceeded", **reported(0)))
    found = probe(fleet_of(tmp_path, a={}, b={}), {"a": good, "b": spent})
    reading = found["a#1"].limits["rpd"]
    assert (reading.limit, reading.remaining) == (1000, 997)
    assert reading.resets_at == pytest.approx(NOON + 3600, abs=2)
    assert (found["b#1"].state, found["b#1"].limits["rpd"].remaining) == ("exhausted", 0)
    assert found["b#1"].until == pytest.approx(NOON + DAY / 2, abs=2)


def test_findings_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    """One looks for a key where one wrote it."""
    found = probe(
        fleet_of(tmp_path, b={"keys": ["key-b-1", "$UNSET"]}, a={}), {"a": always(answers()), "b": always(answers())}
    )
    assert [f.key for f in found.findings] == ["b#1", "b#2", "a#1"]
    assert all(f.doing == "" for f in found.findings)


_TEXT = st.text(max_size=20) | st.sampled_from(["m", "invalid_api_key", "limit: 0", "\ud800", "max_tokens minimum"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    preset=st.sampled_from(["openrouter", "cloudflare", "gemini", "huggingface", "deepseek", "anthropic"]),
    statuses=st.lists(st.sampled_from([200, 200, 302, 400, 401, 403, 404, 429, 500, 529]), min_size=3, max_size=3),
    bodies=st.lists(
        _JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40), min_size=3, max_size=3
    ),
    free=st.booleans(),
)
def test_whatever_a_server_says_each_key_has_a_state(
    preset: str, statuses: list[int], bodies: list[bytes], free: bool, tmp_path: Path
) -> None:
    """One server gone mad must not take the table of the other thirty keys with it."""
    at = {"check": 0, "list": 1, "ask": 2}

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        return Script(statuses[at[what]], {"content-type": "application/json"}, [(0.01, bodies[at[what]])])

    fleet = fleet_of(tmp_path, a={"preset": preset, "keys": ["key-a-1", "key-a-2"], "account_id": "abc"})
    found = probe(fleet, {"a": Far(answer)}, ProbeOptions(free=free))
    assert all(f.state in STATES and len(f.why) <= 200 for f in found.findings)
    assert not any(UNREAD in f.why for f in found.findings)  # the last resort
    msgspec.json.encode(probe_document(found.findings, fleet, redactor(fleet).document))
