"""What a reply tells beside its answer."""

from __future__ import annotations

from llmfan.conduct.speaker import Speaker
from llmfan.dialects import dialect
from llmfan.dialects.classify import from_fault
from llmfan.ports import Endpoint
from llmfan.records import Failure, Reply, Report
from llmfan.secret import SealedHeaders
from llmfan.settings import Preset


def test_reports_know_an_answer_from_a_refusal_and_a_broken_line_has_none() -> None:
    """Some headers mean something on a refusal only: read on an answer they would be a false limit."""
    speaks = dialect("openai_chat", Preset(name="T", checked=""))
    speaker = Speaker(
        dialect=speaks, endpoint=Endpoint("http://x", "http://x", SealedHeaders()), from_fault=from_fault,
        classify=lambda status, headers, body: Failure(kind="rate_limited", scope="key", message=""),
        without_usage=lambda: speaks, model="m", max_tokens=1, temperature=None, params={}, stream=False,
        read_reports=lambda headers, refused: (Report(axis="rpm" if refused else "rpd", limit=float(headers["n"])),),
    )  # fmt: skip
    assert speaker.reports(Reply(sent=0, ended=1, status=200, headers={"n": "3"})) == (Report(axis="rpd", limit=3.0),)
    assert speaker.reports(Reply(sent=0, ended=1, status=429, headers={"n": "3"})) == (Report(axis="rpm", limit=3.0),)
    assert speaker.reports(Reply(sent=0, ended=1, fault="reset")) == ()
