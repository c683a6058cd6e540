"""Jobs that wait: read as late as possible, those that came back first, each for the lanes that may have it."""

from __future__ import annotations

from collections.abc import Iterator

from llmfan.records import Prompt
from llmfan.scheduling.jobs import Feed, Job, Waiting


def job(n: int, only: str = "", turns: int = 0) -> Job:
    more = [{"role": "user", "content": f"turn {t}"} for t in range(1, turns + 1)]
    prompt = Prompt(id=f"p{n}", index=n, messages=[{"role": "user", "content": "abcd"}], turns=more)
    return Job(prompt, only=only)


def anything(_: Job) -> bool:
    return True


def test_the_prompt_set_is_read_one_ahead_and_no_further() -> None:
    """A million prompts must not stand in memory."""
    read = []

    def jobs() -> Iterator[Job]:
        for n in range(1000):
            read.append(n)
            yield job(n)

    feed = Feed(jobs())
    assert read == []
    for n in range(10):
        head = feed.peek()
        assert head is feed.peek()
        assert head is not None
        assert head.prompt.id == f"p{n}"
        assert len(read) == n + 1
        assert feed.take() is head


def test_a_feed_says_when_it_is_empty_only_at_its_end() -> None:
    """Else the last job is lost, or the run never ends."""
    feed = Feed(iter([job(0)]))
    assert feed.peek() is not None
    assert not feed.empty
    feed.take()
    assert feed.peek() is None
    assert feed.empty


def test_jobs_that_came_back_go_first_and_in_order() -> None:
    """The oldest failure is not the last answer."""
    waiting = Waiting({"": Feed(iter([job(0), job(1), job(2)]))})
    back = [job(7), job(8)]
    for each in back:
        waiting.put_back(each)
    order = []
    while (found := waiting.first(anything, ("",))) is not None:
        waiting.remove(*found)
        order.append(found[0].prompt.id)
    assert order == ["p7", "p8", "p0", "p1", "p2"]
    assert waiting.empty


def test_a_lane_is_shown_only_jobs_of_its_own_names() -> None:
    """In mode keys a key must never take another's job."""
    waiting = Waiting({"p#1": Feed(iter([job(0, "p#1")])), "p#2": Feed(iter([job(1, "p#2")]))})
    waiting.put_back(job(5, "p#2"))
    found = waiting.first(anything, ("", "p", "p/m", "p#1"))
    assert found is not None
    assert found[0].prompt.id == "p0"
    assert waiting.first(anything, ("", "q", "q/m", "q#1")) is None


def test_a_job_not_allowed_hides_no_other_place() -> None:
    """One that must go elsewhere must not block those behind it that need not."""
    waiting = Waiting({"": Feed(iter([job(0)]))})
    barred = job(7)
    barred.banned = frozenset({"p"})
    waiting.put_back(barred)
    found = waiting.first(lambda j: not j.banned, ("",))
    assert found is not None
    assert (found[0].prompt.id, found[1]) == ("p0", False)


def test_jobs_of_one_place_may_go_to_the_same_lanes() -> None:
    """Only the first of each place is looked at: whatever decides must be part of the place."""
    one, two = job(1), job(2)
    assert one.place == two.place
    for name, value in (("banned", frozenset({"p"})), ("avoid", frozenset({"p"})), ("pinned", "p/m"), ("ambiguous", 1)):
        other = job(3)
        setattr(other, name, value)
        assert other.place != one.place, name


def test_a_conversation_says_what_was_said_and_forgets_it_when_it_begins_again() -> None:
    """Answers of one model must not be put into the mouth of another."""
    talk = job(0, turns=2)
    assert [m["content"] for m in talk.messages()] == ["abcd"]
    talk.answers = ["One."]
    assert [(m["role"], m["content"]) for m in talk.messages()] == [
        ("user", "abcd"), ("assistant", "One."), ("user", "turn 1"),
    ]  # fmt: skip
    assert talk.size() > job(0).size()
    talk.pinned, talk.latency, talk.input_tokens = "p/m", 3.0, 9
    talk.restart()
    assert (talk.pinned, talk.latency, talk.input_tokens, talk.turn) == ("", 0.0, 0, 0)
    assert [m["content"] for m in talk.messages()] == ["abcd"]
