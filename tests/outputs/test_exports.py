"""Results in other programs' formats: nothing lost, nothing changed in meaning, nothing that acts when it is opened."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.errors import UserError
from llmfan.outputs.exports import parquet
from llmfan.outputs.exports.batch_output import BatchNames, batch_lines
from llmfan.outputs.exports.columns import COLUMNS
from llmfan.outputs.exports.csv import csv_text
from llmfan.outputs.exports.parquet import write_parquet
from llmfan.records import ResultLine
from tests.reporting.folders import failed, result

HEADER = {"started_at": "2026-11-21T10:00:00.000Z", "shaping": {"--mode": "spread", "--repeat": 1}}


def rows(*results: ResultLine) -> list[dict[str, str]]:
    text = "".join(csv_text(("run", each) for each in results))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def batch(*results: ResultLine, **shaping: Any) -> list[dict[str, Any]]:
    header = {**HEADER, "shaping": {"--mode": "spread", "--repeat": 1, **shaping}}
    return [json.loads(line) for line in batch_lines(results, header)]


def test_every_field_of_a_result_is_exported() -> None:
    """A field added to the journal and forgotten here is missing in every sheet."""
    flat = {
        "usage": {"input_tokens", "output_tokens", "usage_source"},
        "error": {"error_kind", "error_message", "error_http_status"},
    }
    names = {column.name for column in COLUMNS}
    for name in ResultLine.__struct_fields__:
        assert flat.get(name, {name}) <= names


# ---------------------------------------------------------------- CSV


def test_csv_holds_answers_and_failures() -> None:
    """A sheet of the successes alone makes every provider perfect."""
    ok, bad = rows(result(1, expect={"a": [1]}, turns=["x", "y"]), failed(2, kind="timeout", message="60 s"))
    assert (ok["run"], ok["id"], ok["text"], ok["latency_s"], ok["input_tokens"], ok["simulated"]) == (
        "run", "q1", "answer 1", "1.0", "7", "false",
    )  # fmt: skip
    assert (ok["expect"], ok["turns"], ok["error_kind"]) == ('{"a":[1]}', '["x","y"]', "")
    assert (bad["status"], bad["text"], bad["latency_s"], bad["error_kind"], bad["error_http_status"]) == (
        "failed", "", "", "timeout", "500",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "=cmd()",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u00a0=1",
        "\u200b=1",
        "＝1",
        "＋1",
        "-",
        "--5",
        "=1\x1b",
    ],
)
def test_no_text_becomes_a_formula(text: str) -> None:
    """A model that says =WEBSERVICE(…) would send the sheet away when it is opened."""
    (row,) = rows(result(id=text, text=text, metadata=text, model=text))
    for name in ("id", "text", "metadata", "model"):
        assert row[name].startswith("'")


@pytest.mark.parametrize("text", ["-5", "+5", "-1.5e-3", "5 - 3", "a=b", "", "'quoted", "1/2"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    """-5 is an answer to be calculated with."""
    (row,) = rows(result(text=text, score=-1.0))
    assert (row["text"], row["score"]) == (text, "-1.0")


@settings(max_examples=120, deadline=None)
@given(st.text(st.sampled_from('a,";\r\n\t =é😀\u2028'), max_size=12))
def test_csv_read_again_is_what_was_written(text: str) -> None:
    """A newline or a quote in an answer shifts every column after it."""
    other, row, last = rows(result(1), result(2, text=text, reasoning=text), result(3))
    assert (other["simulated"], last["simulated"], row["simulated"]) == ("false",) * 3
    assert row["text"].removeprefix("'") == text.removeprefix("'")
    assert row["reasoning"] == row["text"]


def test_csv_plays_on_no_terminal() -> None:
    """`cat` of the file would clear the screen, or write to the clipboard."""
    text = "".join(csv_text([("r", result(text="a\x1b]52;c;AAAA\x07b\x00c\x9b2J\x7f"))]))
    assert r"a\x1b]52;c;AAAA\x07b\x00c\x9b2J\x7f" in text
    assert not set(text) & {chr(c) for c in range(32)} - {"\r", "\n"}


# ---------------------------------------------------------------- Parquet


def test_parquet_keeps_types_and_texts(tmp_path: Path) -> None:
    """A column of numbers that became text breaks every sum of it."""
    import pyarrow.parquet as reader  # type: ignore[import-untyped]

    evil = "=cmd()\x1b[31m\u202e\x00\n"
    lines = [
        result(1, text=evil, expect=5, metadata={"a": 1}, turns=["x"]),
        failed(2),
        result(3, cost_usd=None, expect="x"),
    ]
    path = tmp_path / "x.parquet"
    with open(path, "wb") as file:
        write_parquet((("r", line) for line in lines), file)
    table = reader.read_table(path)
    found = table.to_pylist()
    assert [row["id"] for row in found] == ["q1", "q2", "q3"]
    assert (found[0]["text"], found[0]["expect"], found[0]["metadata"], found[0]["turns"]) == (
        evil,
        "5",
        '{"a":1}',
        '["x"]',
    )
    assert (found[1]["text"], found[1]["error_http_status"], found[2]["cost_usd"]) == (None, 500, None)
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["latency_s"], types["index"], types["simulated"], types["text"]) == (
        "double",
        "int64",
        "bool",
        "string",
    )


def test_parquet_is_written_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million answers in memory at once are gigabytes."""
    import pyarrow.parquet as reader

    monkeypatch.setattr(parquet, "ROWS", 20)
    monkeypatch.setattr(parquet, "CHARACTERS", 2000)
    lines = [result(i, text="x" * (1500 if i in (2, 3) else 1)) for i in range(25)]
    with open(tmp_path / "x.parquet", "wb") as file:
        write_parquet((("r", line) for line in lines), file)
    with reader.ParquetFile(tmp_path / "x.parquet") as file:
        assert file.metadata.num_row_groups == 3
        assert file.read().column("index").to_pylist() == list(range(25))


def test_without_the_extra_parquet_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "No module named pyarrow" sends people to install the wrong thing."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"""needs the extra "analysis": python3 -m pip install 'llmfan\[analysis\]'"""):
        parquet.need_parquet()


# ---------------------------------------------------------------- batch output


def test_an_answer_is_a_chat_completion() -> None:
    """Programs that read batch output must read this without a change."""
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    (line,) = batch(result(1, reasoning="hm", tool_calls=calls, planned_s=20.0))
    assert line["custom_id"] == "q1" and line["id"].startswith("batch_req_") and line["error"] is None
    assert line["response"]["status_code"] == 200 and line["response"]["request_id"]
    body = line["response"]["body"]
    assert (body["object"], body["model"], body["created"]) == ("chat.completion", "m", 1795255230)
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    (choice,) = body["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"] == {
        "role": "assistant", "content": "answer 1", "refusal": None, "reasoning_content": "hm", "tool_calls": calls,
    }  # fmt: skip


def test_a_failure_is_an_error_and_never_an_answer() -> None:
    """A reader that looks only at the status, or only at the error, must not count it as answered."""
    refused, silent, broken = batch(
        failed(1, message="no"),
        failed(2, kind="timeout", http_status=None),
        failed(3, kind="bad_response", http_status=200),
    )
    assert refused["error"] == {"code": "server_error", "message": "no"}
    assert (refused["response"]["status_code"], refused["response"]["body"]["error"]["message"]) == (500, "no")
    assert (silent["response"], silent["error"]["code"]) == (None, "timeout")
    assert broken["response"] is None  # it came with status 200, and was none


def test_answers_to_the_same_prompt_have_names_of_their_own() -> None:
    """A reader that joins by custom_id would keep the last of several, without a word."""
    twice = [result(1, repeat=0), result(1, repeat=1)]
    assert [each["custom_id"] for each in batch(*twice, **{"--repeat": 2})] == ["q1 @ repeat 1", "q1 @ repeat 2"]
    two = [result(1, provider="a"), result(1, provider="b")]
    assert [each["custom_id"] for each in batch(*two, **{"--mode": "providers"})] == ["q1 @ a", "q1 @ b"]
    assert [each["custom_id"] for each in batch(*two, **{"--mode": "models"})] == ["q1 @ a/m", "q1 @ b/m"]
    assert len({each["id"] for each in batch(*two, **{"--mode": "providers"})}) == 2
    assert BatchNames({}).plain and not BatchNames({"--repeat": 2}).plain


def test_what_a_model_says_cannot_break_a_line() -> None:
    """One line that is two is read as a broken file."""
    text = 'a\n{"custom_id": "q9"}\r\n\u2028"'
    data = b"".join(batch_lines([result(1, text=text), result(2)], HEADER))
    assert data.count(b"\n") == 2
    assert msgspec.json.decode(data.splitlines()[0])["response"]["body"]["choices"][0]["message"]["content"] == text
