"""Who draws on one account, by remainders: never a wrong pair, and hardly a pair that is not found."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmfan.probing.alike import Heard, Suspects

LIMIT, DAY = 1000.0, 86400.0 * 100  # refills too slowly to see


class Accounts:
    """Keys by number; the account of each, and what it has left."""

    def __init__(self, account: Sequence[int], left: Sequence[int]):
        self.account, self.left, self.sent = account, list(left), 0

    def ask(self, key: int, apart: float = 1.0) -> Heard:
        self.left[self.account[key]] -= 1
        self.sent += 1
        at = self.sent * apart
        return Heard(name=str(key), remaining=self.left[self.account[key]], sent=at, ended=at + 0.5)

    def groups(self) -> list[list[str]]:
        found = [sorted(str(key) for key, its in enumerate(self.account) if its == one) for one in set(self.account)]
        return sorted(group for group in found if len(group) > 1)


def found_out(accounts: Accounts, named: Sequence[str] = ()) -> tuple[list[list[str]], int]:
    """(the groups that were found, how many requests that took beside the first of each key)"""
    suspects = Suspects([accounts.ask(key) for key in range(len(accounts.account))], LIMIT, DAY, named)
    asked = 0
    while (name := suspects.next()) is not None:
        suspects.asked(name, accounts.ask(int(name)))
        asked += 1
    return sorted(sorted(group) for group in suspects.groups()), asked


def test_two_keys_of_one_account_are_found_with_one_more_request() -> None:
    """Each request of a day of twenty that a probe takes is one too many."""
    assert found_out(Accounts([0, 0], [1000])) == ([["0", "1"]], 1)


def test_fresh_accounts_are_known_to_be_apart_without_asking_again() -> None:
    """They all report the same: one's request would have shown in the next one's."""
    assert found_out(Accounts(range(8), [1000] * 8)) == ([], 0)


def test_accounts_that_only_look_alike_are_told_apart() -> None:
    """Counted together they would lose half of what they have."""
    assert found_out(Accounts([0, 1], [1000, 999])) == ([], 1)


def test_far_apart_is_apart() -> None:
    """Nobody needs to be asked whether 900 and 120 are one figure."""
    assert found_out(Accounts([0, 1], [900, 120])) == ([], 0)


def test_sixteen_keys_of_one_account_are_found() -> None:
    """Who wrote a glob has many; the ways to deal out sixteen keys are ten thousand millions."""
    assert found_out(Accounts([0] * 16, [1000])) == ([[*sorted(map(str, range(16)))]], 1)


def test_accounts_that_the_provider_calls_by_two_names_are_two() -> None:
    """Its own word needs no request."""
    assert found_out(Accounts([0, 1], [1000, 999]), named=["0", "1"]) == ([], 0)


def test_requests_that_were_under_way_together_may_have_come_in_any_order() -> None:
    """The second one that left may be the first one that was counted."""
    first = [Heard(name="a", remaining=998, sent=1.0, ended=1.4), Heard(name="b", remaining=999, sent=1.1, ended=1.3)]
    suspects = Suspects(first, LIMIT, DAY)
    assert suspects.next() is not None
    suspects.asked("b", Heard(name="b", remaining=997, sent=2.0, ended=2.1))
    assert suspects.groups() == [{"a", "b"}]


def test_a_limit_that_refills_as_one_watches_makes_no_pair_by_itself() -> None:
    """Half a request a second comes back: one less and one back look like nobody's request."""
    heard = [Heard(name="a", remaining=29, sent=0, ended=0.1), Heard(name="b", remaining=28, sent=2, ended=2.1)]
    suspects = Suspects(heard, 30, 60.0)
    suspects.asked("a", Heard(name="a", remaining=28, sent=4, ended=4.1))
    assert suspects.groups() == []


def test_who_gives_no_figure_ends_the_questions() -> None:
    """A key that is refused now must not be asked again and again."""
    suspects = Suspects(
        [Heard(name="a", remaining=9, sent=0, ended=1), Heard(name="b", remaining=8, sent=2, ended=3)], 10, DAY
    )
    assert suspects.next() is not None
    suspects.asked("a", None)
    assert suspects.next() is None
    assert suspects.groups() == []


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_pair_is_ever_made_up(data: st.DataObject) -> None:
    """Whoever is joined wrongly runs at half speed, and nothing says why."""
    count = data.draw(st.integers(2, 6))
    account = data.draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))
    left = data.draw(st.lists(st.integers(990, 1000), min_size=count, max_size=count))
    accounts = Accounts(account, left)
    found, asked = found_out(accounts)
    assert asked <= 8
    assert all(any(set(group) <= set(true) for true in accounts.groups()) for group in found)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=5))
def test_pairs_are_found_among_accounts_that_differ_in_what_they_have_left(account: list[int]) -> None:
    """Three keys of one account, counted apart, are refused two times out of three."""
    accounts = Accounts(account, [900, 700, 500])
    assert found_out(accounts)[0] == accounts.groups()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=8))
def test_figures_that_no_account_could_report_join_nobody_wrongly(figures: list[tuple[str, int]]) -> None:
    """Somebody else may be using the account: then nothing adds up, and nothing is said."""
    heard = [
        Heard(name=name, remaining=left, sent=2.0 * at, ended=2.0 * at + 1) for at, (name, left) in enumerate(figures)
    ]
    by_name = {name: [left for its, left in figures if its == name] for name, _ in figures}
    assume(any(later >= sooner for own in by_name.values() for sooner, later in itertools.pairwise(own)))
    assert Suspects(heard, LIMIT, DAY).groups() == []
