"""What `llmfan run` costs beside the thinnest aiohttp client doing the same job.

    python tests/benchmarks/bench_run.py [--runs 5] [--prompts 10000]

Both send the same prompts, 64 in flight over 8 keys, to the same local server with fixed answers, JSON and streamed
(44 events of about 230 bytes), and write a line for each. The runs are interleaved; the figures are medians over whole
processes, start-up included, as the kernel booked them. llmfan runs in two ways: quiet, and with its live table on a
terminal. Where there are two cores, clients have one and the server the other. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from local_server import Server, serving
from measuring import Figures, cores, interleaved, llmfan, median, run, verdict
from prompt_files import fleet_file, fleet_keys, write_prompts

CPU_RATIO, PEAK_MIB = 2.0, 90.0


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as name:
        folder = Path(name)
        prompts = write_prompts(folder / "prompts.jsonl", options.prompts)
        client_core, server_core = cores()
        with serving(folder, server_core) as server:
            print(f"{options.prompts} prompts, {options.runs} runs, server: {server.kind}", file=sys.stderr)
            held = [_compare(form, server, prompts, options, client_core) for form in ("json", "streamed")]
    return 0 if all(held) else 1


def _compare(form: str, server: Server, prompts: Path, options: argparse.Namespace, core: int | None) -> bool:
    url = server.json_url if form == "json" else server.sse_url
    things = _contestants(form, url, prompts, options.prompts, core)
    found = interleaved(options.runs, things)
    _print_table(form, found, options.prompts)
    thin, quiet, table = (found[name] for name in things)
    ratio = median(f.cpu for f in quiet) / median(f.cpu for f in thin)
    return all(
        [
            verdict(f"{form}: CPU a request, llmfan over thin", ratio, CPU_RATIO, " ×"),
            verdict(f"{form}: peak memory, live table on", median(f.peak_mib for f in table), PEAK_MIB, " MiB"),
        ]
    )


def _contestants(form: str, url: str, prompts: Path, total: int, core: int | None) -> dict[str, Callable[[], Figures]]:
    folder, streamed = prompts.parent, form == "streamed"
    thin_client = str(Path(__file__).with_name("thin_client.py"))
    out = str(folder / "thin.jsonl")
    thin = [sys.executable, thin_client, url, str(prompts), out, str(total), *(["--stream"] if streamed else [])]
    fleet = fleet_file(folder / f"{form}.yaml", url)
    fan = ["run", str(prompts), "-p", str(fleet), "--max-tokens", "40", "--stream" if streamed else "--no-stream"]
    numbers = count()

    def fanned(*more: str, terminal: bool = False) -> Figures:
        target = folder / f"run-{form}-{next(numbers)}"
        command = llmfan(*fan, "--out", str(target), *more)
        figures = run(command, env=fleet_keys(), cwd=folder, cpu=core, terminal=terminal)
        _check(target, total)
        shutil.rmtree(target)
        return figures

    return {
        "thin client": lambda: run(thin, cwd=folder, cpu=core),
        "llmfan, quiet": lambda: fanned("--quiet", "--json"),
        "llmfan, live table": lambda: fanned(terminal=True),
    }


def _check(folder: Path, total: int) -> None:
    """A fast run that lost answers is no fast run."""
    with open(folder / "results.jsonl", "rb") as lines:
        answered = sum(b'"status":"ok"' in line for line in lines)
    if answered != total:
        sys.exit(f"{answered} of {total} answered")


def _print_table(form: str, found: dict[str, list[Figures]], total: int) -> None:
    base = median(f.cpu for f in next(iter(found.values())))
    print(f"\n| {form} | wall s | CPU s | CPU µs a request | ratio | peak MiB |\n|---|---|---|---|---|---|")
    for name, cells in _rows(found, total, base):
        print(f"| {name} | " + " | ".join(cells) + " |")


def _rows(found: dict[str, list[Figures]], total: int, base: float) -> Iterator[tuple[str, list[str]]]:
    for name, runs in found.items():
        wall, cpu, peak = (median(column) for column in zip(*runs, strict=True))
        cells = [f"{wall:.2f}", f"{cpu:.2f}", f"{cpu / total * 1e6:.0f}", f"{cpu / base:.2f}", f"{peak:.0f}"]
        yield name, cells


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=10_000)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.pop("LLMFAN_PROVIDERS", None)
    sys.exit(main())
