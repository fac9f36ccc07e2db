"""python -m benchmarks.mutants [--each 40] [--modules cell plan ...] [--again]: does a test fail where the code is changed by one token?

A *mutant* is a module with one operator, number, keyword or decorator replaced, by cosmic-ray. A sample of each module's places is
tried against those tests of the module that are not slow, in a copy of the project. A mutant is `killed` if a test fails; of those
that are `equivalent`, equivalent.yaml beside this file says why no test can tell. Writes results/bench/mutants.csv, a row for
each; modules that are not asked for keep theirs.
It needs benchmarks/requirements.txt, and half an hour of two cores.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from queue import SimpleQueue

import pandas as pd
import torch
import yaml
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from orthogrid.jobs.files import read_table, write_table
from orthogrid.jobs.progress import Progress

ROOT = Path(__file__).parents[1]
# The test files that are to notice.
TESTS = {
    "outcomes": "ends",
    "theory": "theory traps capture_theory landscape facts",
    "penalties": "penalties catalog orthogonality",
    "numerics/linalg": "linalg",
    "numerics/ends": "ends",
    "cell": "cell strangers",
    "statements": "digests",
    "closure": "digests own",
    "plan": "plan",
    "store": "store runner",
    "files": "files",
    "collect": "collect",
}
SECONDS = 240  # what takes longer runs for ever, which somebody would notice
# Nothing is replaced; or a comparison by one of identity, which small numbers and short texts do not tell from equality.
SKIPPED = ("no-op", "_Is", "Is_", "IsNot")


@dataclass(frozen=True)
class Mutant:
    """One replacement: the occurrence-th place of an operator's in a module."""

    module: str
    operator: str
    occurrence: int
    line: int
    column: int

    def code(self, source: str) -> str:
        return mutate_code(source, get_operator(self.operator)(), self.occurrence)


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module, but those of types, which are not read when the code runs."""
    types = [span for node in ast.walk(ast.parse(source)) for span in _types(node)]
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or any(part in name for part in SKIPPED):
            continue
        places = (place for node in ast_nodes(get_ast(source)) for place, _ in operator().mutation_positions(node))
        for number, place in enumerate(places):
            if not any(start <= place < end for start, end in types):
                yield Mutant(module, name, number, *place)


def _types(node: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for field in ("annotation", "returns"):
        there = getattr(node, field, None)
        if there is not None:
            yield (there.lineno, there.col_offset), (there.end_lineno, there.end_col_offset)


def sample(module: str, source: str, each: int) -> list[Mutant]:
    """So many places of a module at random, the same at every call, and one mutant of each."""
    chance = random.Random(module)
    found = sorted(mutants(module, source), key=lambda one: (one.line, one.column, one.operator, one.occurrence))
    places = [list(some) for _, some in groupby(found, key=lambda one: (one.line, one.column))]
    return [chance.choice(some) for some in chance.sample(places, min(each, len(places)))]


def outcome(module: str, source: str, changed: str, folder: Path) -> str:
    """What a module's tests say of another text of it, in a copy of the project."""
    path = folder / "src" / "orthogrid" / f"{module}.py"
    path.write_text(changed, encoding="utf-8")
    # A fork has torch and pandas already.
    process = multiprocessing.get_context("fork").Process(target=_test, args=(module, folder))
    try:
        process.start()
        process.join(SECONDS)
        return "survived" if process.exitcode == 0 else "killed"
    finally:
        if process.is_alive():
            process.kill()
        path.write_text(source, encoding="utf-8")


def _test(module: str, folder: Path) -> None:
    import pytest

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os.chdir(folder)
    path = [str(folder / name) for name in ("src", "tests", "")]
    sys.path[:0], os.environ["PYTHONPATH"] = path, os.pathsep.join(path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("orthogrid", "benchmarks")]:
        del sys.modules[name]
    files = [f"tests/test_{name}.py" for name in TESTS[module].split()]
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *files])))


def copies(folder: Path, number: int) -> SimpleQueue:
    """So many copies of the project as git knows it, with what is edited."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    ready: SimpleQueue = SimpleQueue()
    for place in (folder / str(one) for one in range(number)):
        for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
        ready.put(place)
    return ready


def lines(source: str, mutant: Mutant) -> tuple[str, str]:
    """The line of a mutant before and after; empty after where a decorator is removed."""
    before, after = source.splitlines(), mutant.code(source).splitlines()
    if len(before) != len(after):
        return before[mutant.line - 1].strip(), ""
    changed = next((n for n, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]), mutant.line - 1)
    return before[changed].strip(), after[changed].strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("--each", type=int, default=40, help="places of a module that are tried (default: %(default)s)")
    parser.add_argument("--modules", nargs="+", choices=TESTS, default=list(TESTS))
    parser.add_argument(
        "--again",
        action="store_true",
        help="try only those that survived in the results and are not argued; keep the others",
    )
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "bench" / "mutants.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a fork has no threads of its parent's
    sources = {name: (ROOT / "src" / "orthogrid" / f"{name}.py").read_text("utf-8") for name in options.modules}
    tried = [mutant for name, source in sources.items() for mutant in sample(name, source, options.each)]
    why = {
        (one["module"], one["before"], one["after"]): one["why"]
        for one in yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text("utf-8"))
    }
    settled = {}
    if options.again:
        settled = {one: "survived" for one in why}
        table = read_table(options.results)
        killed = table[table["outcome"] == "killed"]
        settled |= {one: "killed" for one in zip(killed["module"], killed["before"], killed["after"], strict=True)}
    with tempfile.TemporaryDirectory() as temporary:
        ready = copies(Path(temporary), os.cpu_count() or 1)

        def attempt(module: str, changed: str) -> str:
            folder = ready.get()
            try:
                return outcome(module, sources[module], changed, folder)
            finally:
                ready.put(folder)

        def judge(mutant: Mutant) -> dict:
            source = sources[mutant.module]
            before, after = lines(source, mutant)
            known = settled.get((mutant.module, before, after))
            ended = known or attempt(mutant.module, mutant.code(source))
            progress.update(next(done))
            reason = why.get((mutant.module, before, after)) if ended == "survived" else None
            found = {"module": mutant.module, "line": mutant.line, "before": before, "after": after}
            return found | {"outcome": "equivalent" if reason else ended, "why": reason}

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, ended in zip(sources, pool.map(attempt, sources, sources.values()), strict=True):
                if ended == "killed":
                    raise SystemExit(f"the tests of {name} fail before anything is changed")
            progress, done = Progress("mutants", len(tried)), count(1)
            records = list(pool.map(judge, tried))
    progress.close(f"{len(tried)} tried")
    table = pd.DataFrame(records)
    if options.results.exists():
        before = read_table(options.results)
        table = pd.concat([before[~before["module"].isin(options.modules)], table])
    write_table(
        table.sort_values("module", key=lambda names: names.map(list(TESTS).index), kind="stable"), options.results
    )
    print(table.groupby("module", sort=False)["outcome"].value_counts().unstack(fill_value=0).to_string())
    for one in table[table["outcome"] == "survived"].itertuples():
        print(f"\nsrc/orthogrid/{one.module}.py:{one.line}\n- {one.before}\n+ {one.after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
