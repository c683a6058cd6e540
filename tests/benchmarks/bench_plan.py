"""How long a forecast takes as a whole command, and how right it is.

    python tests/benchmarks/bench_plan.py [--runs 3] [--rehearse]

100,000 prompts over 32 keys, a million over 1,000: prompts of about 280 bytes, eight providers of unlike limits, no key
set. With `--rehearse`, two fleets are then run over loopback at twenty times the speed, and the forecasts of their
duration and shares held against it (a minute, on a machine that is quiet). Ends with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import ROOT, llmfan, median, run, verdict
from prompt_files import write_prompts

#: (prompts, keys, seconds at most)
SIZES = ((100_000, 32, 5.0), (1_000_000, 1_000, 60.0))
PROVIDERS = 8
SPEED = 20
#: (providers file, prompts)
REHEARSED = (("samples/fleet-32-keys.yaml", 5000), ("", 900))
DURATION_OFF, SHARE_OFF = 3.0, 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    held = []
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as name:
        for count, keys, most in SIZES:
            prompts = write_prompts(Path(name) / f"{count}.jsonl", count)
            fleet = _fleet(Path(name) / f"{keys}.yaml", keys)
            command = llmfan("plan", str(prompts), "-p", str(fleet), "--concurrency", "100000", "--json")
            figures = [run(command, cwd=Path(name)) for _ in range(options.runs)]
            wall, cpu = median(f.wall for f in figures), median(f.cpu for f in figures)
            print(
                f"{count:,} prompts, {keys:,} keys: {wall:.2f} s, {cpu / count * 1e6:.1f} us of CPU a prompt, ", end=""
            )
            print(f"peak {max(f.peak_mib for f in figures):.0f} MiB")
            held.append(verdict(f"{count:,} prompts over {keys:,} keys", wall, most, " s"))
        for file, count in REHEARSED if options.rehearse else ():
            fleet = ROOT / file if file else _fleet(Path(name) / "small.yaml", PROVIDERS)
            held += _rehearse(Path(name), fleet, count)
    return 0 if all(held) else 1


def _rehearse(folder: Path, fleet: Path, count: int) -> list[bool]:
    prompts = write_prompts(folder / f"{count}.jsonl", count)
    shared = (str(prompts), "-p", str(fleet), "--json", "-q")
    simulated = ("--simulate", "--simulate-speed", str(SPEED), "-o", str(folder / fleet.stem))
    plan, real = _document(folder, "plan", *shared), _document(folder, "run", *shared, *simulated)
    took, ok = real["totals"]["duration_s"] * SPEED, real["totals"]["ok"]
    shares = {each["name"]: each["totals"]["ok"] / ok for each in real["providers"]}
    off = max(abs(each["share"] - shares[each["name"]]) for each in plan["providers"])
    print(f"{fleet.stem}, {count:,} prompts: {plan['duration_s']:.0f} s forecast, {took:.0f} s taken, ", end="")
    print(
        f"{real['totals']['rate_limited']} refused, bound by {plan['binding'][0]['key']} {plan['binding'][0]['limit']}"
    )
    return [
        verdict("  duration off by", 100 * abs(plan["duration_s"] / took - 1), DURATION_OFF, " %"),
        verdict("  a share off by", 100 * off, SHARE_OFF, " points"),
    ]


def _document(folder: Path, *args: str) -> dict[str, Any]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(llmfan(*args), cwd=folder, env=env, stdout=subprocess.PIPE, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _fleet(path: Path, keys: int) -> Path:
    """Of rates from 30 to 100 a minute, by the provider; every other one counts tokens and has a day's quota too."""
    lines = ["version: 1", "providers:"]
    for n in range(PROVIDERS):
        limits = f"rpm: {30 + 10 * n}" + (", tpm: 60000, rpd: 20000" if n % 2 else "")
        lines += [f"  p{n}:", f"    base_url: https://p{n}.example/v1", "    model: m", f"    limits: {{{limits}}}"]
        lines += ["    keys:", *(f"      - $BENCH_{n}_{k}" for k in range(keys // PROVIDERS))]
    path.write_text("\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    os.environ.pop("LLMFAN_PROVIDERS", None)
    sys.exit(main())
