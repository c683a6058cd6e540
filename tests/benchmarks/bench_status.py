"""How long a ledger of a year takes to be read, alone and as the whole of `llmfan status`, and how large it is.

    python tests/benchmarks/bench_status.py [--keys 50] [--hours 12] [--runs 7]

Fifty keys that each sent ten requests a minute for so many hours of every day of a year, and thirty a minute for the
last two hours; four limits each. Writing the year takes a minute or two. Then what one booking takes, alone on the
file. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

from ledger_history import read_fleet, write_fleet, write_year  # noqa: E402
from measuring import MIB, llmfan, median, run, verdict  # noqa: E402

from llmfan.ledgers.opening import open_archive, open_ledger  # noqa: E402
from llmfan.ports import Archive, Ledger  # noqa: E402
from llmfan.records import Booking  # noqa: E402
from llmfan.settings import Fleet  # noqa: E402
from llmfan.units import DAY  # noqa: E402

SIZE_MIB, READ_S, STATUS_S, BOOK_US, LOOK_US = 50.0, 0.1, 0.3, 80.0, 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--hours", type=int, default=12)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as name:
        path, (file, env) = Path(name) / "ledger.sqlite3", write_fleet(Path(name), options.keys)
        fleet = read_fleet(file, env)
        write_year(path, fleet, time.time(), hours_a_day=options.hours)
        held = [verdict("a year", path.stat().st_size / MIB, SIZE_MIB, " MiB")]
        held.append(verdict("read", median(_reading(path, fleet) for _ in range(options.runs)), READ_S, " s"))
        command = llmfan("status", "--json", "-p", str(file), "--state", str(path))
        whole = [run(command, env=env, cwd=Path(name)).wall for _ in range(options.runs)]
        held.append(verdict("llmfan status", median(whole), STATUS_S, " s"))
        ledger = open_ledger(str(path), fleet, print)
        held.append(verdict("book, one booking", _booking(ledger, 1) * 1e6, BOOK_US, " us"))
        print(f"book, four bookings: {_booking(ledger, 4) * 1e6:.1f} us")
        held.append(verdict("elsewhere, nothing new", _median_of(ledger.elsewhere) * 1e6, LOOK_US, " us"))
        ledger.close()
    return 0 if all(held) else 1


def _reading(path: Path, fleet: Fleet) -> float:
    """All that `status` asks for, from opening on."""
    started = time.perf_counter()
    archive: Archive = open_archive(str(path), fleet, print)
    found = (archive.known(), archive.booked(time.time() - 31 * DAY), archive.tallied(0), archive.changes(0))
    took = time.perf_counter() - started
    assert all(found[1:3]), "nothing was read"
    return took


def _booking(ledger: Ledger, count: int) -> float:
    axes = ("rpm", "tpm", "rpd", "tpd")[:count]

    def book() -> None:
        made = [Booking(owner="p1#3", axis=axis, amount=1.0, at=time.time()) for axis in axes]
        ledger.book(lambda _: made)

    return _median_of(book)


def _median_of(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3000):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    os.environ.pop("LLMFAN_PROVIDERS", None)
    os.environ.pop("LLMFAN_STATE", None)
    sys.exit(main())
