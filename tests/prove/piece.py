"""What every proof of numbered pieces shares: its command line, and the JSON that `tests.prove` reads."""

import argparse
import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

HIGHEST = ("most_", "longest_")
Figures = Mapping[str, float]


@dataclass(slots=True)
class Tally:
    """What pieces have shown so far. `details` are figures of each of many things (boundaries, mutants) by their names."""

    figures: dict[str, float] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    details: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, figures: Figures, details: Mapping[str, Figures] | None = None) -> None:
        _add(self.figures, figures)
        for name, more in (details or {}).items():
            _add(self.details.setdefault(name, {}), more)


def _add(known: dict[str, float], more: Figures) -> None:
    for name, value in more.items():
        old = known.get(name, 0)
        known[name] = max(old, value) if name.startswith(HIGHEST) else old + value


@dataclass(frozen=True, slots=True)
class Lived:
    """One piece: what should not have been so, and its figures."""

    faults: list[str]
    figures: Figures
    details: Mapping[str, Figures] = field(default_factory=dict)


def run_pieces(
    module: str,
    words: str | None,
    live: Callable[[int], Lived],
    arguments: list[str] | None = None,
    count_known: Callable[[], int] | None = None,
) -> int:
    """The `main` of a proof. Numbers given by name are run one by one, else those from `--first` on.

    A proof that finds out by itself how many pieces it has tells so by `count_known`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=words)
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="the figures as the last line")
    options = parser.parse_args(arguments)
    tally = live_all(module, [*options.seeds, *range(options.first, options.first + options.count)], live)
    if options.json:
        known = {"known": count_known()} if count_known else {}
        print(json.dumps({"figures": tally.figures, "failures": tally.failures, "details": tally.details, **known}))
    else:
        print(", ".join(f"{value:,.0f} {name}" for name, value in sorted(tally.figures.items())))
    return 1 if tally.failures else 0


def live_all(module: str, seeds: Iterable[int], live: Callable[[int], Lived]) -> Tally:
    tally = Tally()
    for seed in seeds:
        try:
            lived = live(seed)
        except Exception as error:
            sys.stderr.write(traceback.format_exc())
            lived = Lived([f"{type(error).__name__}: {error}"], {})
        tally.add(lived.figures, lived.details)
        if lived.faults:
            command = f"python -m {module} {seed}"
            tally.failures.append({"said": "; ".join(lived.faults)[:2000], "command": command})
            sys.stderr.write(f"{'; '.join(lived.faults)}\n  {command}\n")
    return tally


def end_tidily() -> None:
    """Who is asked to end leaves its blocks, so that all that it has started ends, too."""

    def leave(number: int, _frame: Any) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
