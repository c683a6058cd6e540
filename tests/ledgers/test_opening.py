"""A file that cannot be used is set aside and said, never deleted; and nothing that is not ours is touched."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from llmfan.entries import Tally
from llmfan.ledgers import database, opening, schema
from llmfan.ledgers.archive import SqliteArchive
from llmfan.ledgers.database import RETRY_S
from llmfan.ledgers.memory import NOT_WRITTEN, MemoryLedger
from llmfan.ledgers.opening import default_path, open_archive, open_ledger
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking, Known, KnownLimit
from tests.ledgers.books import NOON, Said, Time, opened, plain_fleet, rows, spend, sums

STAMP = "20261121T120000Z"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def full(place: Path) -> None:
    """A ledger with something in it, on several pages."""
    ledger = opened(place)
    for n in range(300):
        spend(ledger, axis="rpd", at=NOON - 60 * n)
    ledger.close()


def garbage(place: Path) -> None:
    place.write_bytes(b"this is no database at all " * 50)


def torn(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:5000])


def overwritten(place: Path) -> None:
    """In the middle: the first page is as it was."""
    body = bytearray(place.read_bytes())
    body[3 * 4096 :] = b"\xa5" * (len(body) - 3 * 4096)
    place.write_bytes(body)


def overwritten_far_down(place: Path) -> None:
    """Where nothing is read until it is needed."""
    body = bytearray(place.read_bytes())
    body[-8192:] = b"\xa5" * 8192
    place.write_bytes(body)


def emptied(place: Path) -> None:
    connection = sqlite3.connect(place)
    connection.execute("DROP TABLE founders")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("spoil", [garbage, torn, overwritten, overwritten_far_down, emptied])
def test_a_damaged_file_is_kept_under_another_name(place: Path, spoil: object) -> None:
    """It may be mended by hand one day; and a run must not end because of it."""
    full(place)
    spoil(place)  # type: ignore[operator]
    body, said = place.read_bytes(), Said()
    ledger = opened(place, said=said)
    aside = place.with_name(f"ledger.sqlite3.damaged-{STAMP}")
    assert aside.read_bytes() == body
    assert len(said) == 1 and str(place) in said[0] and str(aside) in said[0]
    assert ledger.booked(0) == []
    spend(ledger)
    ledger.close()
    assert sums(opened(place).booked(0)) == {("p#1", "rpm"): 1}


def test_a_second_damaged_file_does_not_replace_the_first(place: Path) -> None:
    """In the same second, in a loop of a script: the older one would be lost."""
    for text in (b"one", b"two"):
        place.write_bytes(text * 100)
        Path(f"{place}-wal").write_bytes(text)
        opened(place, said=Said()).close()
    kept = sorted(path.name for path in place.parent.iterdir())
    name = f"ledger.sqlite3.damaged-{STAMP}"
    assert kept == ["ledger.sqlite3", name, f"{name}-2", f"{name}-2-wal", f"{name}-wal"]
    assert place.with_name(f"{name}-wal").read_bytes() == b"one"


def test_a_newer_file_is_kept_for_the_newer_llmfan(place: Path) -> None:
    """Written in an old way it would be damaged for the one that made it."""
    full(place)
    rows(place, "PRAGMA user_version = 7")
    said = Said()
    ledger = opened(place, said=said)
    aside = place.with_name("ledger.sqlite3.newer-7")
    assert rows(aside, "PRAGMA user_version") == [(7,)] and ledger.booked(0) == []
    assert len(said) == 1 and str(aside) in said[0] and "newer llmfan" in said[0]


@pytest.mark.parametrize("mark", [0, 7])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_another_programs_database_is_left_alone(place: Path, mark: int, mode: str) -> None:
    """`--state` with the wrong name must not move somebody's photographs, or hide them from who may see them."""
    rows(place, "CREATE TABLE photographs (name)")
    rows(place, f"PRAGMA application_id = {mark}")
    rows(place, f"PRAGMA journal_mode = {mode}")
    place.chmod(0o644)
    body, said = place.read_bytes(), Said()
    ledger = open_ledger(str(place), plain_fleet(), said)
    assert isinstance(ledger, MemoryLedger) and place.read_bytes() == body
    assert stat.S_IMODE(place.stat().st_mode) == 0o644
    assert len(said) == 1 and "another program's" in said[0] and "name another file with --state" in said[0]
    assert [path.name for path in place.parent.iterdir()] == ["ledger.sqlite3"]


def test_another_programs_database_whose_tables_stand_in_its_log_is_left_alone(place: Path) -> None:
    """It is at work: its first table is not in the file itself yet, which looks as if nobody had used it."""
    theirs = sqlite3.connect(place)
    theirs.execute("PRAGMA journal_mode = WAL")
    theirs.execute("CREATE TABLE photographs (name)")
    theirs.commit()
    place.chmod(0o644)
    said = Said()
    assert isinstance(open_ledger(str(place), plain_fleet(), said), MemoryLedger)
    assert len(said) == 1 and "another program's" in said[0] and stat.S_IMODE(place.stat().st_mode) == 0o644
    theirs.execute("INSERT INTO photographs VALUES ('sea')")
    theirs.commit()
    theirs.close()


@pytest.mark.parametrize("name", ["providers.yaml", "passwd", "results.jsonl", "l"])
def test_a_file_that_is_called_unlike_a_ledger_is_left_alone(tmp_path: Path, name: str) -> None:
    """`--state providers.yaml` instead of `-p`: the file with all the keys is gone from where it was."""
    place = tmp_path / name
    place.write_text("providers: {}\n" * 30)
    place.chmod(0o644)
    said = Said()
    ledger = open_ledger(str(place), plain_fleet(), said)
    assert said == [
        f"{place} is no ledger of llmfan (it is not a database): name another file with --state; what this process "
        "spends is counted in memory"
    ]
    ledger.book(lambda _: [Booking(owner="p#1", axis="rpm", amount=3.0, at=NOON)])
    assert sums(ledger.booked(0)) == {("p#1", "rpm"): 3}
    assert ledger.forget(["p#1"], ["p#1"]) == NOT_WRITTEN
    ledger.close()
    assert isinstance(open_archive(str(place), plain_fleet(), said), MemoryLedger)
    assert len(said) == 2 and "is no ledger of llmfan" in said[1]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert place.read_text() == "providers: {}\n" * 30 and stat.S_IMODE(place.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["L.SQLITE", "x.db", "x.db3", "my-ledger", "llmfan", "state-2"])
def test_a_damaged_file_that_is_called_like_a_ledger_is_set_aside(tmp_path: Path, name: str) -> None:
    """Left alone, every run from then on would begin without knowing what was spent."""
    garbage(tmp_path / name)
    said = Said()
    opened(tmp_path / name, said=said).close()
    assert len(said) == 1 and "damaged" in said[0] and len(list(tmp_path.iterdir())) == 2


def test_a_locked_file_is_opened_and_written_when_it_can_be(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that holds it for six seconds at the start of a night's run: all of the night would be forgotten."""
    full(place)
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    time, said = Time(NOON + 60), Said()
    ledger = opened(place, time=time, said=said)
    assert sum(booking.amount for booking in ledger.booked(0)) == 300
    spend(ledger)
    assert len(said) == 1 and "written when it can be" in said[0]
    holder.execute("COMMIT")
    holder.close()
    time.passes(RETRY_S + 1)
    ledger.elsewhere()
    ledger.close()
    assert sums(opened(place).booked(0)) == {("p#1", "rpd"): 300, ("p#1", "rpm"): 1} and len(said) == 1


def test_a_file_that_cannot_even_be_read_at_first_is_used_once_it_can(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account's keys would not find each other again, and what was spent and sent meanwhile would be lost."""
    monkeypatch.setattr(opening, "BUSY_S", 0.05)
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    time, said = Time(), Said()
    ledger = opened(place, time=time, said=said)
    assert len(said) == 1 and "is locked" in said[0] and "written when it can be" in said[0]
    spend(ledger, amount=2)
    spend(ledger, axis="concurrency")
    ledger.tally([Tally(key="p#1", model="m", at=NOON, sent=2, ok=2)])
    ledger.forget(["p#1"], [])
    time.passes(RETRY_S + 1)
    ledger.elsewhere()  # held still
    holder.execute("ROLLBACK")
    holder.close()
    assert sums(ledger.booked(0)) == {("p#1", "rpm"): 2}
    time.passes(RETRY_S + 1)
    assert ledger.elsewhere() is None
    other = opened(place, time=time)
    assert sums(other.booked(0)) == {("p#1", "rpm"): 2} and [t.sent for t in other.tallied(0)] == [2]
    assert spend(other, amount=3).in_flight == {"p#1": 1}
    told = ledger.elsewhere()
    assert told is not None and list(told.booked) == [("p#1", "rpm", 3)] and len(said) == 1


def test_one_that_can_never_be_read_is_told_of_at_the_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the next run does not know of, the user has to."""
    monkeypatch.setattr(opening, "BUSY_S", 0.05)
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    said = Said()
    ledger = opened(place, said=said)
    spend(ledger)
    ledger.close()
    holder.close()
    assert len(said) == 2 and "the next one does not know of it" in said[1]


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """`--state /dev/null` as root: renamed, every program on the machine would feel it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path):
        said = Said()
        assert isinstance(open_ledger(str(place), plain_fleet(), said), MemoryLedger)
        assert len(said) == 1 and str(place) in said[0]
        assert isinstance(open_archive(str(place), plain_fleet(), said), MemoryLedger)
        assert len(said) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_an_older_file_is_brought_up_to_date_with_all_that_is_in_it(place: Path) -> None:
    """An update that forgets what was spent gets every key refused on its first day."""
    full(place)
    connection = sqlite3.connect(place, isolation_level=None)
    later = (*schema.STEPS, lambda c: c.execute("ALTER TABLE limits ADD COLUMN burst REAL"), _fails_never)
    schema.migrate(connection, later)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(later),)
    assert connection.execute("SELECT sum(amount) FROM spent").fetchone() == (300,)
    connection.execute("SELECT burst FROM limits")
    schema.migrate(connection, later)  # nothing is left to do
    connection.close()


def test_a_migration_that_fails_half_way_never_was(place: Path) -> None:
    """A file between two versions can be read by nobody."""
    full(place)
    connection = sqlite3.connect(place, isolation_level=None)
    steps = (*schema.STEPS, lambda c: c.execute("DROP TABLE spent"), lambda c: c.execute("no SQL"))
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, steps)
    connection.close()
    assert sum(booking.amount for booking in opened(place).booked(0)) == 300


def _fails_never(connection: sqlite3.Connection) -> None: ...


def test_a_version_0_file_becomes_one_of_today(place: Path) -> None:
    """An empty file, as a touch or a crash in the first moment leaves it."""
    place.touch()
    spend(opened(place))
    assert rows(place, "PRAGMA user_version") == [(len(schema.STEPS),)]


@pytest.mark.parametrize("spoilt", [False, True])
def test_many_may_open_it_at_once(place: Path, spoilt: bool) -> None:
    """Two runs of one script: both create, migrate or set aside, and one would write into the other's old file."""
    if spoilt:
        garbage(place)
    said, made, start = Said(), [], threading.Barrier(8)

    def work(n: int) -> None:
        start.wait()
        ledger = open_ledger(str(place), plain_fleet(), said)
        spend(ledger, amount=n)  # type: ignore[arg-type]
        made.append(ledger)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums(made[0].booked(0)) == {("p#1", "rpm"): 36}
    assert len(said) == spoilt
    for ledger in made:
        ledger.close()
    assert len(list(place.parent.glob("*.damaged-*"))) == spoilt


# -------------------------------------------------------------- reading


def test_an_archive_reads_and_changes_nothing(place: Path) -> None:
    """`status` runs as another user, on a read-only disk, or beside a run that it must not disturb."""
    full(place)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.parent.iterdir()}
    archive = open_archive(str(place), plain_fleet(), Said(), Time().wall)
    assert isinstance(archive, SqliteArchive)
    assert sum(booking.amount for booking in archive.booked(0)) == 300
    assert archive.known() == Known() and archive.tallied(0) == [] and archive.changes(0) == []
    assert archive.forget(["p#1"], ["p#1"]) == NOT_WRITTEN
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.parent.iterdir()} == before


def test_an_archive_sees_what_a_run_beside_it_writes(place: Path) -> None:
    """`status --watch` that stands still is no use."""
    ledger = opened(place)
    archive = open_archive(str(place), plain_fleet(), Said(), Time().wall)
    spend(ledger, amount=2)
    assert sums(archive.booked(0)) == {("p#1", "rpm"): 2}
    ledger.keep(Known(limits=[KnownLimit(owner="p#1", axis="rpm", reported=9.0, at=NOON)]))
    assert archive.known().limits[0].reported == 9 and len(archive.changes(0)) == 1
    ledger.close()
    assert sums(archive.booked(0)) == {("p#1", "rpm"): 2}
    spend(opened(place), amount=3)
    assert sums(archive.booked(0)) == {("p#1", "rpm"): 5}


def test_an_archive_of_nothing_is_empty_and_makes_no_file(tmp_path: Path) -> None:
    """`status` before the first run is an ordinary thing to try."""
    said = Said()
    archive = open_archive(str(tmp_path / "none" / "l"), plain_fleet(), said)
    assert archive.booked(0) == [] and said == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoil", [garbage, torn, emptied])
def test_an_archive_that_is_damaged_is_said_and_left(place: Path, spoil: object) -> None:
    """To set it aside is for those who write; who looks must learn why there is nothing to see."""
    full(place)
    spoil(place)  # type: ignore[operator]
    body, said = place.read_bytes(), Said()
    archive = open_archive(str(place), plain_fleet(), said)
    found = archive.booked(0)
    assert found == [] and len(said) == 1 and str(place) in said[0]
    assert place.read_bytes() == body and len(list(place.parent.iterdir())) == 1


def test_an_archive_of_a_newer_llmfan_is_said_and_left(place: Path) -> None:
    """Its tables may mean something else."""
    full(place)
    rows(place, "PRAGMA user_version = 7")
    said = Said()
    assert isinstance(open_archive(str(place), plain_fleet(), said), MemoryLedger)
    assert len(said) == 1 and "newer llmfan" in said[0] and len(list(place.parent.iterdir())) == 1


def test_what_breaks_while_it_is_watched_is_said_once(place: Path) -> None:
    """A traceback in the middle of a live table."""
    full(place)
    said = Said()
    archive = open_archive(str(place), plain_fleet(), said, Time().wall)
    garbage(place)
    assert archive.booked(0) == [] and archive.booked(0) == [] and len(said) == 1


# -------------------------------------------------------------- where


def test_it_lies_in_the_state_folder_or_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger in the working folder would be another one in each."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_path({}).name == "ledger.sqlite3"
    assert default_path({"LLMFAN_STATE": ""}) == default_path({})
    assert default_path({"LLMFAN_STATE": str(tmp_path / "mine")}) == tmp_path / "mine"
    if sys.platform == "linux":
        assert default_path({}) == tmp_path / "state" / "llmfan" / "ledger.sqlite3"
    monkeypatch.setenv("LLMFAN_STATE", str(tmp_path / "given"))
    ledger = open_ledger(None, plain_fleet(), Said())
    assert isinstance(ledger, SqliteLedger) and (tmp_path / "given").exists()


def test_where_no_file_can_be_made_it_goes_on_in_memory(tmp_path: Path) -> None:
    """A folder that is a file: the shortest way to a path that nobody can use, for root too."""
    (tmp_path / "file").touch()
    said = Said()
    ledger = open_ledger(str(tmp_path / "file" / "l"), plain_fleet(), said)
    assert isinstance(ledger, MemoryLedger)
    assert len(said) == 1 and "not kept" in said[0]


READ_ONLY = """
import os, sys
sys.path.insert(0, {root!r})
from tests.ledgers.books import *
from llmfan.ledgers.opening import open_ledger, open_archive
os.setuid(65534)
said = Said()
ledger = open_ledger({place!r}, plain_fleet(), said, Time().wall)
spend(ledger, amount=2)
print(type(ledger).__name__, sorted((b.owner, float(b.amount)) for b in ledger.booked(0)))
ledger.close()
archive = open_archive({place!r}, plain_fleet(), said, Time().wall)
print(sum(b.amount for b in archive.booked(0)))
print(*said, sep="\\n")
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize("live", [False, True])
def test_on_a_read_only_home_what_is_known_is_used_and_the_rest_counted_in_memory(live: bool) -> None:
    """A container with its home mounted read-only begins each day as if nothing had been spent."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        home = Path(folder)
        ledger = opened(home / "l")
        spend(ledger, amount=5)
        if not live:
            ledger.close()
        for path in (home, *home.iterdir()):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = {path.name: path.read_bytes() for path in home.iterdir() if not path.name.endswith("-shm")}
        script = READ_ONLY.format(root=str(Path(__file__).parents[2]), place=str(home / "l"))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        kind_and_booked, archived, *said = done.stdout.splitlines()
        assert kind_and_booked == "SqliteLedger [('p#1', 2.0), ('p#1', 5.0)]"
        assert archived == "5.0" and len(said) == 1 and "counted in memory" in said[0]
        assert {path.name: path.read_bytes() for path in home.iterdir() if not path.name.endswith("-shm")} == before
