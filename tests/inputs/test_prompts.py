"""A prompt set from disk: checked whole, then streamed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.errors import InputFaults, UserError
from llmfan.inputs.digests import Digests
from llmfan.inputs.prompts import PromptSet, ReadOptions, check_prompts

SAMPLES = Path(__file__).parents[2] / "samples"
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a prompt set of bytes, or of documents, and gives its path."""

    def write(*content: Any, name: str = "set.jsonl") -> str:
        path = tmp_path / name
        pieces = [c if isinstance(c, bytes) else json.dumps(c).encode() + b"\n" for c in content]
        path.write_bytes(b"".join(pieces))
        return str(path)

    return write


def told(path: str, **options: Any) -> list[str]:
    """The fault lines of a set that cannot be used, without the folder's name."""
    with pytest.raises(InputFaults) as caught:
        check_prompts(path, ReadOptions(), **options)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(os.path.dirname(path) + os.sep, "").splitlines()


def ids(prompts: PromptSet, **how: Any) -> list[str]:
    return [p.id for p in prompts.prompts(**how)]


# ---------------------------------------------------------------- what is read


def test_bom_crlf_blank_lines_and_mixed_shapes_are_read_as_they_are(write: Write) -> None:
    """Windows editors write all of these, and a run must not fail for it; the index is the physical line."""
    path = write(b'\xef\xbb\xbf"a"\r\n\r\n  \n{"prompt": "b"}\r\n{"question": "c"}')
    with check_prompts(path) as prompts:
        assert [(p.index, p.messages[0]["content"]) for p in prompts.prompts()] == [(0, "a"), (3, "b"), (4, "c")]
        assert (prompts.count, prompts.characters, prompts.mean_characters) == (3, 3, 1.0)


def test_size_and_digest_are_of_the_raw_file(write: Write) -> None:
    """A run's record must let anybody find out whether they have the same file."""
    raw = gzip.compress(b'"a"\n"b"\n') + gzip.compress(b'"c"\n')
    for path in (write({"prompt": "x"}), write(raw, name="packed.txt")):
        with check_prompts(path) as prompts:
            content = Path(path).read_bytes()
            assert (prompts.path, prompts.size) == (path, len(content))
            assert prompts.sha256 == hashlib.sha256(content).hexdigest()


def test_gzip_is_known_by_its_content_and_holds_the_same_prompts(write: Write) -> None:
    """A name says nothing: downloads often lose their ending. Two packed files put together are one."""
    path = write(gzip.compress(b'"a"\n"b"\n') + gzip.compress(b'"c"\n'), name="set.jsonl")
    with check_prompts(path, shuffle=True) as prompts:
        assert [p.messages[0]["content"] for p in prompts.prompts()] == ["a", "b", "c"]
        assert {p.messages[0]["content"] for p in prompts.prompts(shuffle=True)} == {"a", "b", "c"}


@pytest.mark.parametrize("packed", [False, True])
def test_stdin_is_spooled_for_its_owner_alone(tmp_path: Path, packed: bool) -> None:
    """A resumed run has no stdin to read again; prompts may be private."""
    raw = b'{"prompt": "a"}\n"b"\n'
    raw = gzip.compress(raw) if packed else raw
    with check_prompts("-", spool_dir=str(tmp_path / "run"), stdin=io.BytesIO(raw)) as prompts:
        spooled = tmp_path / "run" / "prompts.jsonl"
        assert (prompts.path, prompts.count, prompts.sha256) == ("-", 2, hashlib.sha256(raw).hexdigest())
        assert spooled.read_bytes() == raw
        assert stat.S_IMODE(spooled.stat().st_mode) == 0o600
        assert len(ids(prompts)) == 2


def test_stdin_without_a_folder_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run or a plan makes no folder."""
    monkeypatch.chdir(tmp_path)
    with check_prompts("-", stdin=io.BytesIO(b'"a"\n')) as prompts:
        assert len(ids(prompts)) == 1 and not os.listdir(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_like_stdin(tmp_path: Path) -> None:
    """`llmfan run <(zstdcat set.zst)` is what a user of a shell will try."""
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: Path(path).write_bytes(b'"a"\n"b"\n'))
    writer.start()
    with check_prompts(path, spool_dir=str(tmp_path)) as prompts:
        writer.join()
        assert len(ids(prompts)) == 2


def test_lines_are_the_same_whatever_piece_they_are_read_in(write: Write) -> None:
    """A line cut by the edge of a piece must come out whole: it does so once in every few hundred kilobytes."""
    texts = ["x" * n for n in (0, 1, 65_500, 65_520, 65_536, 262_100, 262_144, 600_000, 3)]
    with check_prompts(write(*texts), shuffle=True) as prompts:
        assert [p.messages[0]["content"] for p in prompts.prompts()] == texts
        assert {p.index: p.messages[0]["content"] for p in prompts.prompts(shuffle=True)} == dict(enumerate(texts))


def test_the_system_option_overrules_lines_and_keeps_ids(write: Write) -> None:
    """Two runs under two system prompts are compared by id."""
    path = write({"prompt": "a", "system": "line's"}, "b")
    with check_prompts(path, ReadOptions(system="run's")) as one, check_prompts(path) as other:
        sent = list(one.prompts())
        assert [m["content"] for p in sent for m in p.messages] == ["run's", "a", "run's", "b"]
        assert ids(one) == ids(other)
        assert one.characters == 12


def test_an_empty_system_option_takes_system_messages_away(write: Write) -> None:
    """The one way to ask how a model answers without them; an empty message is refused by some servers."""
    with check_prompts(write({"prompt": "a", "system": "s"}), ReadOptions(system="")) as prompts:
        assert [p.messages for p in prompts.prompts()] == [[{"role": "user", "content": "a"}]]


@pytest.mark.parametrize("same", [1, 2, 100_000])
def test_the_check_takes_at_most_32_bytes_a_prompt(write: Write, same: int) -> None:
    """A million prompts must fit beside everything else. `same`: how many lines in a row say the same."""
    peaks = []
    for count in (10_000, 30_000):
        path = write(b"".join(b'"prompt %060d"\n\n' % (i // same) for i in range(count)))
        tracemalloc.start()
        check_prompts(path, shuffle=True).close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] <= 32 * 20_000


# ---------------------------------------------------------------- ids


def test_made_ids_hang_on_the_content_alone(write: Write) -> None:
    """A file that grew, was sorted or was reformatted can be resumed only if ids stay."""
    first = write(b'{"prompt":"a"}\n{"prompt":"b","temperature":1}\n{"turns":["c","d"]}\n')
    with check_prompts(first) as prompts:
        before = ids(prompts)
    other = [
        {"turns": ["c", {"content": "d", "role": "user"}], "metadata": 1},
        "new",
        {"temperature": 1.0, "prompt": "b", "colour": "red"},
        {"messages": [{"content": "a", "role": "user"}], "expect": "x"},
    ]
    with check_prompts(write(b"\n", *other)) as prompts:
        after = ids(prompts)
    assert [after[3], after[2], after[0]] == before
    assert len(set(after)) == 4 and all(len(i) == 16 and int(i, 16) >= 0 for i in after)


@pytest.mark.parametrize("change", [{"max_tokens": 5}, {"temperature": 0}, {"params": {"seed": 1}}, {"system": "s"}])
def test_what_shapes_an_answer_changes_the_made_id(write: Write, change: dict[str, Any]) -> None:
    """Else an old answer is taken for the answer to another question."""
    with check_prompts(write({"prompt": "a"}, {"prompt": "a", **change})) as prompts:
        one, two = ids(prompts)
        assert one != two and "-" not in two


def test_equal_contents_are_counted_in_the_order_of_the_file(write: Write) -> None:
    """The same question asked three times is three jobs; shuffled or not, each keeps its name."""
    with check_prompts(write("a", b"\n", "b", "a", "b", "a", "c"), shuffle=True) as prompts:
        a, b, a2, b2, a3, c = ids(prompts)
        assert (a2, a3, b2) == (f"{a}-2", f"{a}-3", f"{b}-2") and len({a, b, c}) == 3
        by_index = {p.index: p.id for p in prompts.prompts()}
        assert {p.index: p.id for p in prompts.prompts(shuffle=True, seed=5)} == by_index


def test_equal_given_ids_name_both_lines(write: Write) -> None:
    """Two results under one id cannot be told apart afterwards."""
    rows = [{"id": "a", "prompt": "x"}, b"\n", {"id": 7, "prompt": "x"}, {"id": "a", "prompt": "y"}]
    found = told(write(*rows, {"custom_id": "7", "prompt": "z"}, {"id": "a", "prompt": "x"}))
    assert found == [
        'set.jsonl:4: id: "a" is also the id of line 1; ids must differ',
        'set.jsonl:5: id: "7" is also the id of line 3; ids must differ',
        'set.jsonl:6: id: "a" is also the id of line 1; ids must differ',
    ]


def test_an_id_that_two_lines_would_share_by_accident_is_a_fault(write: Write) -> None:
    """Ids copied from an earlier run's results may meet those that are made here."""
    with check_prompts(write("a", "a")) as prompts:
        made = ids(prompts)
    for name in made:
        assert "set.jsonl:" in told(write("a", "a", {"id": name, "prompt": "b"}))[0]


def test_thousands_of_equal_ids_are_counted_and_the_first_are_told(write: Write) -> None:
    """A column taken for the id by mistake must give a message, not a page for every line."""
    rows = [{"id": i % 1500, "prompt": "x"} for i in range(3000)]
    found = told(write(*rows))
    assert found[0] == 'set.jsonl:1501: id: "0" is also the id of line 1; ids must differ'
    assert len(found) == 21 and found[-1] == "… and 1480 more faults"


# ---------------------------------------------------------------- order, limit, skip


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.sampled_from([b"\n", b'"a"\n', b'"b"\n', b'{"prompt":"c"}\r\n', b"  \n"]), max_size=40),
    seed=st.integers(),
    limit=st.none() | st.integers(0, 50),
)
def test_a_shuffled_order_is_a_permutation_and_its_seed_fixes_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], seed: int, limit: int | None
) -> None:
    """Else a run loses prompts, asks some twice, or cannot be repeated."""
    path = tmp_path_factory.mktemp("shuffle") / "set.jsonl"
    path.write_bytes(b"".join([*lines, b'"last"']))
    with check_prompts(str(path), shuffle=True) as prompts:
        plain = list(prompts.prompts())
        mixed = list(prompts.prompts(shuffle=True, seed=seed))
        assert sorted(mixed, key=lambda p: p.index) == plain
        assert len(plain) == prompts.count == len({p.id for p in plain})
        assert list(prompts.prompts(limit, True, seed)) == mixed[:limit]
        assert list(prompts.prompts(limit)) == plain[:limit]


def test_another_seed_gives_another_order(write: Write) -> None:
    """A seed without effect would hide how far a result hangs on the order."""
    with check_prompts(write(*map(str, range(50))), shuffle=True) as prompts:
        assert ids(prompts, shuffle=True, seed=1) != ids(prompts, shuffle=True, seed=2) != ids(prompts)


def test_readers_at_once_do_not_disturb_each_other(write: Write) -> None:
    """In a comparison every provider goes through the set at its own pace."""
    texts = [f"{i} " + "x" * 3000 for i in range(200)]
    with check_prompts(write(*texts), shuffle=True) as prompts:
        expected = ids(prompts)
        readers = [prompts.prompts(), prompts.prompts(), prompts.prompts(shuffle=True, seed=1)]
        rows = list(zip(*readers, strict=True))
        assert [row[0].id for row in rows] == [row[1].id for row in rows] == expected
        assert sorted(row[2].id for row in rows) == sorted(expected)


def test_the_limit_counts_what_is_skipped(write: Write) -> None:
    """`--limit 3` twice with `--resume` asks three questions, not six."""
    rows = [{"id": i, "prompt": "x"} for i in range(6)]
    done = Digests()
    for name in (b"0", b"2", b"5", b"elsewhere"):
        done.add(name)
    with check_prompts(write(*rows), done=done) as prompts:
        assert ids(prompts, limit=3, skip=done) == ["1"]
        assert (prompts.count, prompts.done) == (6, 3)


def test_made_ids_count_as_done_with_their_counters(write: Write) -> None:
    """Of three equal lines, the one that is done must be the one that was done."""
    path = write("a", "a", "a", "b")
    with check_prompts(path) as prompts:
        names = ids(prompts)
    with check_prompts(path, done=(done := Digests())) as prompts:
        assert prompts.done == 0
    done.add(names[1].encode())
    with check_prompts(path, done=done) as prompts:
        assert prompts.done == 1 and ids(prompts, skip=done) == [names[0], *names[2:]]


def test_requests_count_every_turn_and_expecting_every_answer(write: Write) -> None:
    """Estimates of time and cost rest on them."""
    with check_prompts(write("a", {"turns": ["b", "c", "d"]}, {"question": "e", "answer": "f"})) as prompts:
        assert (prompts.count, prompts.requests, prompts.expecting) == (3, 5, 1)


# ---------------------------------------------------------------- what is refused


def test_a_missing_file_a_folder_and_an_empty_file_are_told(write: Write, tmp_path: Path) -> None:
    """The three commonest slips of the keyboard."""
    write("a", name="prompts.jsonl")
    assert told(str(tmp_path / "promts.jsonl")) == ['promts.jsonl: no such file (did you mean "prompts.jsonl"?)']
    assert "is a directory" in told(str(tmp_path))[0]
    assert "is empty" in told(write(b""))[0]
    assert "is empty" in told(write(b"\n \r\n"))[0]
    assert "is empty" in told("-", stdin=io.BytesIO(b""))[0]
    assert "is empty" in told(write(gzip.compress(b"")))[0]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(write: Write) -> None:
    """Never a traceback."""
    path = write("a")
    os.chmod(path, 0)
    assert "cannot be read: Permission denied" in told(path)[0]


def test_every_fault_is_told_with_its_line(write: Write) -> None:
    """One fault a run, on a file of a thousand lines, is a day's work."""
    bad = [b'"ok"\n' * 699, b'{"prompt": "caf\xe9"}\n', b"null\n", {"text": "x"}, b"\n", b'{"prompt": "cut o']
    found = told(write(*bad))
    assert [line.split(": ")[0] for line in found] == [f"set.jsonl:{n}" for n in (700, 701, 702, 704)]
    assert "not UTF-8" in found[0] and "null" in found[1] and "--prompt-field" in found[2] and "cut off" in found[3]


def test_more_faults_than_fit_are_counted(write: Write) -> None:
    """A page of messages hides the first, which is mostly the cause."""
    found = told(write(b"null\n" * 50, {"id": 1, "prompt": "x"}, {"id": 1, "prompt": "x"}))
    assert len(found) == 21 and found[-1] == "… and 31 more faults"
    assert found[0].startswith("set.jsonl:1: ") and found[19].startswith("set.jsonl:20: ")


def test_a_line_above_16_mib_is_a_fault_and_the_next_is_read(write: Write) -> None:
    """A file without line ends would otherwise be taken into memory whole."""
    limit = 16 * 1024 * 1024
    path = write({"prompt": "a"}, b'"' + b"x" * limit + b'"\n', b'"' + b"y" * (limit - 2) + b'"\n', b"null")
    assert [line.split(": ")[0] for line in told(path)] == ["set.jsonl:2", "set.jsonl:4"]


def test_damaged_gzip_is_one_fault(write: Write) -> None:
    """A download that broke off must not pass for a shorter file."""
    packed = gzip.compress(b'{"prompt": "some words"}\n' * 1000)
    for raw in (packed[:-9], packed[: len(packed) // 2], packed[:-8] + b"\0" * 8, packed[:3]):
        found = told(write(raw))
        assert len(found) == 1 and "is gzip, and damaged" in found[0]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (json.dumps([{"prompt": "a"}], indent=1).encode(), "jq -c '.[]'"),
        (json.dumps({"prompt": "a"}, indent=1).encode(), "jq -c ."),
        ('"a"\n"b"\n'.encode("utf-16"), "UTF-16"),
        (b'[{"prompt": "a"}, {"prompt": "b"}]', "without brackets"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_told_so_once(write: Write, raw: bytes, words: str) -> None:
    """A fault for each line of a pretty-printed file says nothing about what to do."""
    found = told(write(raw))
    assert len(found) == 1 and words in found[0]


@pytest.mark.parametrize("option", ["id_field", "expect_field"])
def test_a_named_field_that_no_line_has_is_a_fault(write: Write, option: str) -> None:
    """Some lines may lack it, but if all do it is mistyped, and the run would be scored on nothing."""
    options = ReadOptions(**{option: "anwser"})
    with pytest.raises(InputFaults, match='did you mean "answer"'):
        check_prompts(write({"prompt": "x", "answer": "y"}, "z"), options)
    with check_prompts(write({"prompt": "x", "anwser": "y"}, {"prompt": "z"}), options) as prompts:
        assert prompts.count == 2


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("change", [b'"a"\n' * 3, b"null\n" * 2, b'"another"\n' * 9])
def test_a_file_that_changes_while_it_is_read_stops_the_run(write: Write, shuffle: bool, change: bytes) -> None:
    """Half of one file and half of another is nobody's prompt set."""
    path = write(b'"a"\n' * 2)
    with check_prompts(path, shuffle=True) as prompts:
        write(change)
        with pytest.raises(UserError, match="changed while the run was reading it"):
            ids(prompts, shuffle=shuffle)


def test_a_file_put_in_the_place_of_the_old_one_changes_nothing(write: Write) -> None:
    """Editors save so; the run goes on with what was checked."""
    path = write("a", "b")
    with check_prompts(path) as prompts:
        os.replace(write("c", name="new.jsonl"), path)
        assert [p.messages[0]["content"] for p in prompts.prompts()] == ["a", "b"]


def test_a_shuffle_nobody_prepared_for_is_our_own_mistake(write: Write) -> None:
    """Sending in file order instead would be a silent lie."""
    with check_prompts(write("a")) as prompts, pytest.raises(ValueError, match="shuffle=True"):
        prompts.prompts(shuffle=True)


# ---------------------------------------------------------------- samples and public sets


@pytest.mark.parametrize(
    ("name", "count", "requests", "expecting"),
    [
        ("quickstart", 40, 40, 30),
        ("messages", 4, 4, 1),
        ("batch", 3, 3, 0),
        ("input-target", 4, 4, 4),
        ("questions", 4, 4, 4),
        ("conversation", 3, 7, 0),
        ("template", 3, 3, 1),
        ("strings", 4, 4, 0),
    ],
)
def test_every_sample_is_read(name: str, count: int, requests: int, expecting: int) -> None:
    """They are a newcomer's first file; the project's own must not fail."""
    options = ReadOptions(template="Translate into {{language}}: {{text}}" if name == "template" else None)
    with check_prompts(str(SAMPLES / f"{name}.jsonl"), options) as prompts:
        assert (prompts.count, prompts.requests, prompts.expecting) == (count, requests, expecting)
        assert len(set(ids(prompts))) == count


def test_the_samples_show_every_shape() -> None:
    """A shape without a sample is one that nobody finds."""
    assert len(list(SAMPLES.glob("*.jsonl"))) == 8


@pytest.mark.skipif("LLMFAN_TEST_DATA" not in os.environ, reason="LLMFAN_TEST_DATA names no folder")
@pytest.mark.parametrize(
    ("name", "count", "requests", "expecting"),
    [("gsm8k-test", 1319, 1319, 1319), ("mt_bench-question", 80, 160, 0), ("openai_example_batch", 2, 2, 0)],
)
def test_public_sets_are_read_as_they_are(name: str, count: int, requests: int, expecting: int) -> None:
    """No flags, no conversion: that is the promise."""
    path = os.path.join(os.environ["LLMFAN_TEST_DATA"], f"{name}.jsonl")
    with check_prompts(path, shuffle=True) as prompts:
        assert (prompts.count, prompts.requests, prompts.expecting) == (count, requests, expecting)
        assert len(set(ids(prompts))) == count
        assert sorted(ids(prompts, shuffle=True)) == sorted(ids(prompts))
