"""One simulated provider: its limits, its words, its three wire forms."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from llmfan.settings import ErrorRow, FieldRules, HeaderRow
from llmfan.simulation.faults import NO_FAULTS, Faults
from llmfan.simulation.provider import SimulatedProvider
from llmfan.simulation.script import Script

CHAT = "/alpha/v1/chat/completions"
NOW = 1234.5


def play(settings: Any, speed: float = 1.0, faults: Faults = NO_FAULTS, seed: int = 1) -> SimulatedProvider:
    return SimulatedProvider(settings, seed, speed, faults)


def whole(script: Script) -> bytes:
    return b"".join(data for _, data in script.writes)


def document(script: Script) -> Any:
    return json.loads(whole(script))


def statuses(far: SimulatedProvider, hand: SimpleNamespace, moments: list[float], **more: Any) -> list[int]:
    return [far.handle(at, CHAT, hand.key(), hand.chat(**more)).status for at in moments]


def test_the_same_seed_gives_the_same_bytes(hand: SimpleNamespace) -> None:
    """A failing run could not be played again."""
    runs = []
    for _ in range(2):
        far = play(hand.provider(axes={"rpm": 5}), faults=Faults(), seed=7)
        runs.append([far.handle(NOW + n, CHAT, hand.key(), hand.chat(f"q{n}", stream=n % 2 == 0)) for n in range(20)])
    assert runs[0] == runs[1]
    other = play(hand.provider(axes={"rpm": 5}), faults=Faults(), seed=8)
    assert other.handle(NOW, CHAT, hand.key(), hand.chat("q0", stream=True)) != runs[0][0]


def test_delays_and_windows_shrink_with_the_speed(hand: SimpleNamespace) -> None:
    """`--simulate-speed 10` must be the same run, ten times faster."""
    slow, fast = play(hand.provider(axes={"rpm": 1})), play(hand.provider(axes={"rpm": 1}), speed=10)
    one, ten = (far.handle(NOW, CHAT, hand.key(), hand.chat()) for far in (slow, fast))
    assert ten.writes[-1][0] == pytest.approx(one.writes[-1][0] / 10)
    assert statuses(fast, hand, [NOW + 5.9, NOW + 6.01]) == [429, 200]
    assert statuses(slow, hand, [NOW + 59.9, NOW + 60.01]) == [429, 200]


def test_retry_after_is_whole_seconds_at_real_speed_and_exact_at_others(hand: SimpleNamespace) -> None:
    """Rounded up to a second, a hint at speed 60 would cost a whole window."""
    for speed, expected in ((1.0, "60"), (60.0, "1.000")):
        far = play(hand.provider(axes={"rpm": 1}), speed=speed)
        far.handle(NOW, CHAT, hand.key(), hand.chat())
        assert far.handle(NOW, CHAT, hand.key(), hand.chat()).headers["retry-after"] == expected


def test_keys_of_one_account_share_a_counter_where_the_provider_counts_so(hand: SimpleNamespace) -> None:
    """Several keys of one account would look like several quotas."""
    shared = play(hand.provider(axes={"rpm": 1}, keys=2, shared="account"))
    apart = play(hand.provider(axes={"rpm": 1}, keys=2, shared="key"))
    own = play(hand.provider(axes={"rpm": 1}, keys=2, shared="account", origin={"rpm": "key"}))
    for far, second in ((shared, 429), (apart, 200), (own, 200)):
        assert far.handle(NOW, CHAT, hand.key(1), hand.chat()).status == 200
        assert far.handle(NOW, CHAT, hand.key(2), hand.chat()).status == second


def test_models_have_counters_of_their_own_where_the_provider_counts_so(hand: SimpleNamespace) -> None:
    """A model's limit would hold up all the others, or bind none."""
    models = ("model-a", "model-b")
    for more, second in (({}, 429), ({"per_model": True}, 200), ({"origin": {"rpm": "model"}}, 200)):
        far = play(hand.provider(axes={"rpm": 1}, models=models, **more))
        assert far.handle(NOW, CHAT, hand.key(), hand.chat(model="model-a")).status == 200
        assert far.handle(NOW, CHAT, hand.key(), hand.chat(model="model-b")).status == second


def test_tokens_charged_ahead_come_back_when_the_answer_has_ended(hand: SimpleNamespace) -> None:
    """Prompt plus cap is what such providers charge at the door, and real use is what they keep."""
    row = HeaderRow(name="x-left", axis="tpm", role="remaining")
    of = hand.preset("bucket", precharge=True, limit_headers=[row])
    far = play(hand.provider(axes={"tpm": 1000}, of=of))
    first = far.handle(NOW, CHAT, hand.key(), hand.chat(cap=900))
    used = document(first)["usage"]["total_tokens"]
    assert int(first.headers["x-left"]) < 100
    assert far.handle(NOW, CHAT, hand.key(), hand.chat(cap=900)).status == 429
    ended = NOW + first.writes[-1][0] + 0.001
    later = far.handle(ended, CHAT, hand.key(), hand.chat(cap=1))
    assert int(later.headers["x-left"]) >= 1000 - used - 10


def test_without_a_charge_ahead_the_answers_tokens_count_when_it_ends(hand: SimpleNamespace) -> None:
    """The other half of the fleet: only what was used is ever charged."""
    far = play(hand.provider(axes={"tpm": 60}))
    first = far.handle(NOW, CHAT, hand.key(), hand.chat(cap=500))
    assert statuses(far, hand, [NOW]) == [200]
    assert document(first)["usage"]["total_tokens"] > 40
    assert statuses(far, hand, [NOW + 30]) == [429]


def test_a_cap_on_requests_in_flight_holds_until_answers_end(hand: SimpleNamespace) -> None:
    """Concurrency limits would never be met in a rehearsal."""
    far = play(hand.provider(axes={"concurrency": 2}))
    scripts = [far.handle(NOW, CHAT, hand.key(), hand.chat()) for _ in range(3)]
    assert [s.status for s in scripts] == [200, 200, 429]
    assert statuses(far, hand, [NOW + min(s.writes[-1][0] for s in scripts[:2]) + 0.001]) == [200]


def test_a_request_larger_than_its_limit_is_told_so_and_not_to_wait(hand: SimpleNamespace) -> None:
    """A 429 with a wait that can never help is how runs hang."""
    far = play(hand.provider(axes={"tpm": 100}, of=hand.preset("bucket", precharge=True)))
    script = far.handle(NOW, CHAT, hand.key(), hand.chat(cap=500))
    assert script.status == 413
    assert "retry-after" not in script.headers
    assert "too large" in document(script)["error"]["message"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("number", "60"),
        ("go", "1m0s"),
        ("epoch_s", "1295"),
        ("epoch_ms", "1294500"),
        ("rfc3339", "1970-01-01T00:21:35Z"),
    ],
)
def test_limit_headers_are_in_the_presets_own_format(hand: SimpleNamespace, form: Any, expected: str) -> None:
    """A format that no simulated provider writes is a parser that no rehearsal tests."""
    rows = [
        HeaderRow(name="x-limit", axis="rpm", role="limit"),
        HeaderRow(name="x-left", axis="rpm", role="remaining"),
        HeaderRow(name="x-reset", axis="rpm", role="reset", format=form),
        HeaderRow(name="x-other", axis="tpd", role="limit"),
        HeaderRow(name="x-refused", axis="rpm", role="limit", when="refused"),
    ]
    far = play(hand.provider(axes={"rpm": 30}, of=hand.preset(limit_headers=rows)))
    told = far.handle(NOW, CHAT, hand.key(), hand.chat()).headers
    assert (told["x-limit"], told["x-left"], told["x-reset"]) == ("30", "29", expected)
    assert "x-other" not in told
    assert "x-refused" not in told


def test_refusals_use_the_presets_own_shape_code_and_words(hand: SimpleNamespace) -> None:
    """The classifier's rows would never meet an error of their own."""
    rows = [
        ErrorRow(kind="bad_request", scope="request", status=[429], message="too large"),
        ErrorRow(kind="quota_exhausted", scope="account", status=[429], code="4006", message="per day"),
        ErrorRow(kind="rate_limited", scope="account", status=[429], code="3021|3022"),
        ErrorRow(kind="auth", scope="key", status=[403], code="10000", permanent=True),
    ]
    of = hand.preset(errors=rows, error_shape="errors_array")
    for axis, code in (("rpm", 3021), ("rpd", 4006)):
        far = play(hand.provider(axes={axis: 1}, of=of))
        far.handle(NOW, CHAT, hand.key(), hand.chat())
        script = far.handle(NOW, CHAT, hand.key(), hand.chat())
        assert (script.status, document(script)["errors"][0]["code"]) == (429, code)
        assert "retry-after" not in script.headers
    script = far.handle(NOW, CHAT, hand.key(9), hand.chat())
    assert (script.status, document(script)["errors"][0]["code"]) == (403, 10000)


@pytest.mark.parametrize(
    "shape", ["wrapped", "flat", "list", "errors_array", "message", "status_title", "string", "google", "typed"]
)
def test_every_error_shape_is_json_that_holds_the_limits_figures(hand: SimpleNamespace, shape: Any) -> None:
    """A refusal without its figures teaches nothing."""
    far = play(hand.provider(axes={"rpm": 1}, of=hand.preset(error_shape=shape)))
    far.handle(NOW, CHAT, hand.key(), hand.chat())
    script = far.handle(NOW, CHAT, hand.key(), hand.chat())
    assert script.status == 429
    assert "(RPM): Limit 1, Used 1, Requested 1" in json.dumps(document(script))


def test_unknown_keys_models_paths_and_fields_are_refused(hand: SimpleNamespace) -> None:
    """A dialect that sends the wrong thing must fail in rehearsal, not at the provider."""
    of = hand.preset(fields=FieldRules(allow=["max_tokens"], drop=["seed"], ask_usage=False))
    far = play(hand.provider(of=of))
    assert far.handle(NOW, CHAT, hand.key(9), hand.chat()).status == 401
    assert far.handle(NOW, CHAT, {"x-api-key": "secret-1"}, hand.chat()).status == 401
    assert far.handle(NOW, CHAT, hand.key(), hand.chat(model="other")).status == 404
    assert far.handle(NOW, "/alpha/v1/completions", hand.key(), hand.chat()).status == 400
    assert far.handle(NOW, CHAT, hand.key(), b"[1").status == 400
    for field in ({"seed": 1}, {"top_k": 3}, {"stream_options": {"include_usage": True}}):
        assert far.handle(NOW, CHAT, hand.key(), hand.chat(**field)).status == 422
    assert far.handle(NOW, CHAT, hand.key(), hand.chat()).status == 200


def test_a_chat_stream_is_well_formed_with_usage_only_where_asked(hand: SimpleNamespace) -> None:
    """Role-only chunk, text, finish, usage alone, `[DONE]`: what readers of this form rely on."""
    far = play(hand.provider(models=("oss-model",)))
    body = hand.chat(model="oss-model", stream=True, stream_options={"include_usage": True})
    script = far.handle(NOW, CHAT, hand.key(), body)
    found = [data for _, data in hand.events(whole(script))]
    chunks = [json.loads(data) for data in found[:-1]]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    assert script.headers["content-type"] == "text/event-stream"
    assert found[-1] == "[DONE]"
    assert deltas[0] == {"role": "assistant", "content": ""}
    reasoning = [d["reasoning_content"] for d in deltas if "reasoning_content" in d]
    text = [d["content"] for d in deltas[1:] if "content" in d]
    usage = chunks[-1]["usage"]
    assert chunks[-1]["choices"] == []
    assert usage["completion_tokens"] == len(reasoning) + len(text)
    assert reasoning
    assert chunks[-2]["choices"][0]["finish_reason"] in ("stop", "length")
    unasked = far.handle(NOW, CHAT, hand.key(), hand.chat(model="oss-model", stream=True))
    assert b'"usage"' not in whole(unasked)


def test_usage_comes_in_the_finishing_chunk_where_the_preset_says_so(hand: SimpleNamespace) -> None:
    """Some send it unasked, in the chunk with the finish reason."""
    far = play(hand.provider(of=hand.preset(usage_at="finish")))
    found = hand.events(whole(far.handle(NOW, CHAT, hand.key(), hand.chat(stream=True))))
    last = json.loads(found[-2][1])
    assert last["choices"][0]["finish_reason"] in ("stop", "length")
    assert last["usage"]["total_tokens"] > 0


def test_a_messages_stream_is_well_formed(hand: SimpleNamespace) -> None:
    """Each block starts and stops once, in order, and both halves of the usage come."""
    far = play(hand.provider(models=("reason-1",)))
    body = hand.chat(model="reason-1", stream=True, system="Be brief.")
    found = hand.events(whole(far.handle(NOW, "/alpha/messages", {"x-api-key": "secret-1"}, body)))
    names = [name for name, _ in found]
    assert all(json.loads(data)["type"] == name for name, data in found)
    order = [n for n in names if n not in ("content_block_delta", "ping")]
    block = ["content_block_start", "content_block_stop"]
    assert order == ["message_start", *block, *block, "message_delta", "message_stop"]
    start, delta = json.loads(found[0][1]), json.loads(found[-2][1])
    assert start["message"]["usage"]["input_tokens"] > 0
    assert delta["usage"]["output_tokens"] == names.count("content_block_delta")


def test_a_generate_content_stream_is_well_formed(hand: SimpleNamespace) -> None:
    """Whole responses as events, usage in each, the finish reason in the last, no end mark."""
    far = play(hand.provider(models=("reason/x",)))
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}).encode()
    path = "/alpha/v1beta/models/reason%2Fx:streamGenerateContent?alt=sse"
    script = far.handle(NOW, path, {"x-goog-api-key": "secret-1"}, body)
    found = [json.loads(data) for _, data in hand.events(whole(script))]
    parts = [r["candidates"][0]["content"]["parts"][0] for r in found]
    thoughts = sum(bool(p.get("thought")) for p in parts)
    usage = found[-1]["usageMetadata"]
    assert usage["thoughtsTokenCount"] == thoughts > 0
    assert usage["candidatesTokenCount"] == len(parts) - thoughts - 1
    assert found[-1]["candidates"][0]["finishReason"] == "STOP"
    assert all("finishReason" not in r["candidates"][0] for r in found[:-1])


@pytest.mark.parametrize("stream", [True, False])
def test_the_three_forms_say_the_cap_cut_the_answer(hand: SimpleNamespace, stream: bool) -> None:
    """An answer cut by max_tokens must be known as such."""
    far = play(hand.provider())
    for path, word in ((CHAT, b'"length"'), ("/alpha/messages", b'"max_tokens"')):
        headers = {**hand.key(), "x-api-key": "secret-1"}
        assert word in whole(far.handle(NOW, path, headers, hand.chat(cap=1, stream=stream)))
    config = {"contents": [], "generationConfig": {"maxOutputTokens": 1}}
    verb = "streamGenerateContent" if stream else "generateContent"
    script = far.handle(NOW, f"/alpha/models/model-a:{verb}", hand.key(), json.dumps(config).encode())
    assert b'"MAX_TOKENS"' in whole(script)


def test_the_same_question_gets_the_same_text(hand: SimpleNamespace) -> None:
    """A rehearsal that is resumed would else mix two worlds."""
    first, second = (
        document(play(hand.provider(), seed=3).handle(NOW, CHAT, hand.key(), hand.chat("Why?", cap=20))) for _ in "ab"
    )
    assert first["choices"][0]["message"]["content"] == second["choices"][0]["message"]["content"]


def test_the_first_text_leaves_before_the_rest_and_never_early(hand: SimpleNamespace) -> None:
    """Writes are joined to save work; that must not move the time to the first token."""
    far = play(hand.provider(), speed=1)
    script = far.handle(NOW, CHAT, hand.key(), hand.chat(stream=True))
    delays = [at for at, _ in script.writes]
    assert delays == sorted(delays)
    assert len(script.writes) > 3
    assert b'"content":""' in script.writes[0][1]
    assert script.writes[1][1].count(b"data: ") == 1


@pytest.mark.parametrize("stream", [True, False])
def test_each_fault_shows_as_itself(hand: SimpleNamespace, stream: bool) -> None:
    """The failures of a far end that the client must live with."""
    scripts = {}
    for name in Faults.__struct_fields__:
        far = play(
            hand.provider(axes={"concurrency": 1}),
            faults=Faults(**dict.fromkeys(Faults.__struct_fields__, 0) | {name: 1}),
        )
        scripts[name] = far.handle(NOW, CHAT, hand.key(), hand.chat(stream=stream, cap=40))
        assert far.handle(NOW + 100, CHAT, hand.key(), hand.chat()).status != 429, "a broken request must end too"
    assert (scripts["server_error"].status, scripts["server_error"].headers["content-type"]) == (500, "text/html")
    assert scripts["overloaded"].status == 503
    assert scripts["reset"].abort
    assert b"[DONE]" not in whole(scripts["cut"])
    assert b'finish_reason":"' not in whole(scripts["cut"])
    if stream:
        assert b'"error"' in hand.events(whole(scripts["error_event"]))[-1][1].encode()
        assert scripts["error_event"].status == 200
    else:
        assert scripts["error_event"].status >= 500


def test_faults_come_about_as_often_as_their_rate(hand: SimpleNamespace) -> None:
    """At 1 % in all, a rehearsal of a thousand prompts meets each kind about twice."""
    far = play(hand.provider(), faults=Faults(overloaded=0.2, cut=0, reset=0, error_event=0, server_error=0))
    got = statuses(far, hand, [NOW + n for n in range(1000)])
    assert 150 < got.count(503) < 250
    assert got.count(200) == 1000 - got.count(503)


def test_the_list_of_models_is_given_to_a_known_key(hand: SimpleNamespace) -> None:
    """It is what a key is checked with."""
    far = play(hand.provider(models=("model-a", "model-b")))
    listed = document(far.handle(NOW, "/alpha/models", hand.key(), b""))
    assert [m["id"] for m in listed["data"]] == ["model-a", "model-b"]
    assert far.handle(NOW, "/alpha/models", hand.key(9), b"").status == 401
