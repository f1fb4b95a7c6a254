"""The command: without `--one` it runs every peer as a process of its own, then writes the page and the picture."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import benchmarks.peers
from benchmarks.peers.lines import ROOT, own_output, supervise
from benchmarks.peers.plot import draw
from benchmarks.peers.runs import Run, measure, plan, ready, wanted
from benchmarks.peers.table import section, write
from benchmarks.peers.task import SCHEMA, Task, chosen
from benchmarks.peers.who import DEFAULT, PEERS, open_peer
from benchmarks.peers.without_vllm import gguf
from extractor.errors import StoreError
from extractor.store import default_id, entry, pull

LINES = ROOT / ".bench"


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=benchmarks.peers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=DEFAULT, metavar="NAME", help=", ".join(PEERS)
    )
    parser.add_argument("--minutes", type=float, default=40, help="for all peers together")
    parser.add_argument(
        "--set", default="cmr-109", help="an annotated set; the default calibrated nothing here"
    )
    parser.add_argument("--alone", type=int, default=2, help="reports read one at a time")
    parser.add_argument("--rounds", type=int, default=1, help="bursts of 4 and of 16 reports")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--remake", action="store_true", help="measure nothing: write what .bench/ holds")
    parser.add_argument("--one", choices=PEERS, help="measure one peer in this process; JSON lines come out")
    return parser.parse_args(arguments)


def main() -> None:
    asked = options()
    if asked.one:
        one(asked.one, asked)
    if not asked.remake:
        fetch(asked.peers)
        run_all(asked)
    files = {name: LINES / f"{name}.jsonl" for name in asked.peers}
    runs = [Run.load(name, file) for name, file in files.items() if file.is_file()]
    picture = asked.page.with_suffix(".svg")
    draw(runs, picture)
    write(asked.page, section(runs, picture.name))
    print(f"{asked.page} and {picture.name} are written.")


def fetch(names: Sequence[str]) -> None:
    """Put weights in place before any clock runs. Where they cannot be had, the peer's row will say so."""
    try:
        pull(default_id())
        if "choice-base" in names:
            pull(entry(default_id()).published)
        if "llama.cpp" in names:
            gguf(default_id())
    except StoreError as error:
        print(f"Not all weights are here: {error}", file=sys.stderr)


def run_all(asked: argparse.Namespace) -> None:
    """Give each peer its share of the time that is left."""
    end = time.monotonic() + 60 * asked.minutes
    for number, name in enumerate(asked.peers):
        shares = [PEERS[other].share for other in asked.peers[number:]]
        limit = max(1.0, (end - time.monotonic()) * shares[0] / sum(shares))
        print(f"{name}: {limit:.0f} s at most", file=sys.stderr, flush=True)
        command = ["-m", "benchmarks.peers", "--one", name, "--set", asked.set]
        command += ["--alone", str(asked.alone), "--rounds", str(asked.rounds)]
        supervise(command, LINES / f"{name}.jsonl", limit)


def one(name: str, asked: argparse.Namespace) -> NoReturn:
    """Measure one peer here, and end the process."""
    emit = own_output()
    os.environ.setdefault("VLLM_REGEX_COMPILATION_TIMEOUT_S", "120")
    annotated, (first, *cases) = chosen(asked.set, wanted(asked.alone, asked.rounds))
    reader = open_peer(name, Task())
    reader.warm(first)
    emit(ready(reader, annotated) | {"n": len(cases)})
    measure(reader, annotated, SCHEMA, plan(cases, asked.alone, asked.rounds), emit)
    emit({"event": "end"})
    os._exit(0)  # all is said, and some engines take long to close


if __name__ == "__main__":
    main()
