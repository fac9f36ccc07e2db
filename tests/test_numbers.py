"""The paper's numbers: every key it uses exists and is used, none is typed in, and what is missing is a dash."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
from conftest import ROOT
from orthogrid.numbers import all_numbers, write_numbers
from orthogrid.tables import TABLES, write_tables
from orthogrid.tables.penalties import held_from

from orthogrid.analysis.select import best_setting
from orthogrid.config import Config
from orthogrid.paper import CLAIMS, judge
from orthogrid.paper.format import (
    MISSING,
    decimals,
    enumeration,
    integer,
    number,
    percent,
    scientific,
    seeds,
    setting,
    spread,
    text,
)
from orthogrid.paper.reproduction import torch_mixed
from orthogrid.run import Run

SECTIONS = sorted((ROOT / "paper").glob("sections/*.tex"))

COMMENT = re.compile(r"(?<!\\)%.*")
MATH = re.compile(
    r"\\begin\{(equation|align|gather|multline)\*?\}.*?\\end\{\1\*?\}|\\\[.*?\\\]|\\\(.*?\\\)|(?<!\\)\$.*?(?<!\\)\$", re.DOTALL
)  # fmt: skip
ARGUMENTS = re.compile(
    r"\\(?:[a-z]*cite[a-z]*|[cC]ref|ref|eqref|label|val|input|includegraphics|begin|end)\*?(?:\[[^\]]*\])*(?:\{[^{}]*\})+"
)


def typed_numbers(source: str) -> list[str]:
    """Lines with a digit outside comments, mathematics and the arguments of references, citations and values."""
    for pattern in (COMMENT, MATH, ARGUMENTS):
        # Lines are kept, so that a complaint can quote them.
        source = pattern.sub(lambda match: "\n" * match[0].count("\n"), source)
    return [line for line in source.splitlines() if re.search(r"\d", line)]


# Which claims are marked beside their sentences is for test_ledger; not every measurement is quoted.
LEDGER = {f"{kind}-{id}" for kind in ("mark", "measured") for id in CLAIMS}


def used_keys() -> set[str]:
    return LEDGER | {
        key for path in SECTIONS for key in re.findall(r"\\val\{([^}]*)\}", COMMENT.sub("", path.read_text()))
    }


def flat(run: Run) -> dict[str, str]:
    return {key: value for part in all_numbers(run, judge(run)).values() for key, value in part.items()}


@pytest.fixture
def empty_run(small_run) -> Run:
    """No blocks and no rows; the columns of each table are there."""
    parts = ("cells", "membership", "traces", "thread", "predictions", "log_a", "log_b")
    return Run(
        Config("empty", "empty", "cpu", True, 1, "results", (), ()),
        *(getattr(small_run, part).iloc[:0] for part in parts),
    )


def test_no_number_is_typed_into_the_paper():
    assert SECTIONS
    assert {path.name: lines for path in SECTIONS if (lines := typed_numbers(path.read_text()))} == {}


@pytest.mark.parametrize("source", ["reached 3.14 in the end", "a loss of $x$ 7", r"see \cref{fig:a2} and 12\,\%"])
def test_scanner_catches_a_planted_number(source):
    assert typed_numbers(source) == [ARGUMENTS.sub("", MATH.sub("", source))]
    planted = SECTIONS[0].read_text() + "\n" + source
    assert len(typed_numbers(planted)) == 1


@pytest.mark.parametrize(
    "source",
    [
        r"$\sqrt{2n}$ and \[ 4\lambda \]",
        "text % 3 words",
        r"\cite[p.~3]{a2020b} \cref{sec:2} \val{x-1} \label{eq:4} \includegraphics[width=0.5\linewidth]{a2}",
        "\\begin{equation}\n 2\n\\end{equation}",
    ],
)
def test_scanner_allows_mathematics_and_arguments(source):
    assert typed_numbers(source) == []


def test_numbers_are_those_the_paper_uses(small_run):
    assert set(flat(small_run)) == used_keys()


def safe(value: str) -> bool:
    """Whether LaTeX takes it in text and in math: balanced, nothing active, no nan."""
    bare = re.sub(r"\\[&%#_${}]", "", value)
    return (
        bool(value)
        and bare.count("{") == bare.count("}")
        and not re.search(r"[&%#$]|(?<!0)_|\bnan\b|\binf\b|None|NaT", re.sub(r"\\ensuremath\{.*?\}\}?", "", bare))
        and value.isascii()
    )


def test_values_are_safe(small_run):
    assert {key: value for key, value in flat(small_run).items() if not safe(value)} == {}


# What is known without rows: the thread's constants, settings of the analysis, words, counts of claims, the code.
KNOWN = re.compile(
    r"run-(name|frozen)|thread-(dimension|samples|seed|reg-[ab]|b-early-steps|dash)|circle-start|huber-(delta|dimension)|"
    r"(fit|orthogonal)-threshold|l1-constant|claims-.*|mark-.*|run-title|code-digest"
)  # fmt: skip


def test_empty_run_is_dashes(empty_run):
    values = flat(empty_run)
    assert set(values) == used_keys()
    assert {k: v for k, v in values.items() if MISSING not in v and not KNOWN.fullmatch(k)} == {}
    assert {k: v for k, v in values.items() if MISSING in v and KNOWN.fullmatch(k)} == {}
    assert all(map(safe, values.values()))


@pytest.mark.parametrize("status", ["diverged", "missing"])
def test_run_without_finished_cells(small_run, status):
    run = Run(**{**vars_of(small_run), "cells": small_run.cells.assign(status=status, fit=math.nan, seconds=math.nan)})
    values = flat(run)
    assert all(map(safe, values.values()))
    assert values["ours-a-plateau"] == values["measured-existence"] == MISSING
    assert values["cells-diverged"] == (values["cells-total"] if status == "diverged" else "0")


@pytest.mark.parametrize("gone", ["thread_a", "thread_b", "convergence", "penalties", "methods", "scaling"])
def test_run_without_a_block(small_run, gone):
    kept = small_run.membership[small_run.membership["block"] != gone]
    values = flat(Run(**{**vars_of(small_run), "membership": kept}))
    assert all(map(safe, values.values()))


def test_best_setting_is_the_one_with_the_smallest_median():
    cells = pd.DataFrame(
        {"reg": [1, 1, 1, 10, 10, 10], "schedule": "cosine", "dimension": 4, "orthogonality_fro": [0.0, 8, 8, 4, 4, 4]}
    )
    best = best_setting(cells, "reg", "schedule")
    assert set(best["reg"]) == {10} and (best["roughness"] == 2).all()
    assert best_setting(cells.assign(orthogonality_fro=math.nan), "reg").empty


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [([0, 0, 1], "1.0--10"), ([1, 1, 1], "all"), ([0, 0, 0], "none"), ([], MISSING)],
)
def test_held_from(wrong, expected):
    weights = [0.1, 1.0, 10.0][: len(wrong)]
    cells = pd.DataFrame({"relative": weights, "wrong": [bool(w) for w in wrong], "seed": 1})
    assert held_from(cells) == expected


def vars_of(run: Run) -> dict:
    return {name: getattr(run, name) for name in Run.__dataclass_fields__}


def test_known_numbers(small_run):
    values = flat(small_run)
    assert values["thread-a-plateau"] == "3040.4"
    assert values["thread-b-early-steps"] == "200"
    assert values["dimension-convergence"] == "12" and values["samples-thread-b"] == "6"
    assert values["seeds-grid"] == "2 seeds" and values["dimension-large-trap"] == "24"
    assert values["l1-constant"] == "0.23"
    assert values["cells-total"] == str(len(small_run.config.cells))


def test_written_file(small_run, tmp_path):
    write_numbers(small_run, judge(small_run), tmp_path / "numbers.tex")
    lines = (tmp_path / "numbers.tex").read_text().splitlines()
    keys = [match[1] for line in lines if (match := re.fullmatch(r"\\setval\{([a-z0-9-]+)\}\{.+\}", line))]
    assert sorted(keys) == sorted(used_keys())
    assert all(line.startswith(("%", r"\setval")) for line in lines)


def columns(table: str) -> list[int]:
    return [
        len(re.split(r"(?<!\\)&", line))
        for line in table.splitlines()
        if line.endswith(r" \\") and "multicolumn" not in line
    ]


@pytest.mark.parametrize("name", TABLES)
def test_tables(small_run, empty_run, tmp_path, name):
    for run in (small_run, empty_run):
        write_tables(run, judge(run), [tmp_path / f"{name}.tex"])
        table = (tmp_path / f"{name}.tex").read_text()
        kind = "longtable" if name in ("claims", "grid_axes", "bench_workflow") else "tabular"
        assert table.startswith(rf"\begin{{{kind}}}") and table.endswith(rf"\end{{{kind}}}" + "\n")
        assert len(set(columns(table))) == 1
        assert not re.search(r"\bnan\b|None|\binf\b", table)
        assert table.isascii()


def test_tables_the_paper_inputs_are_written():
    used = {key for path in SECTIONS for key in re.findall(r"\\input\{tables/([a-z_]+)\}", path.read_text())}
    assert used == set(TABLES)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(0.012345), "0.0123"),
        (number(9.999), "10.0"),
        (number(0.99996), "1.00"),
        (number(12345.6), r"12\,346"),
        (number(-3.14159), r"\ensuremath{-}3.14"),
        (number(0), "0"),
        (number(0.00012), r"\ensuremath{1.20\times10^{-4}}"),
        (number(math.inf), r"\ensuremath{\infty}"),
        (number(None), MISSING),
        (scientific(1.26e-5), r"\ensuremath{1.3\times10^{-5}}"),
        (scientific(0.0), "0"),
        (scientific(math.nan), MISSING),
        (setting(1000.0), "1000"),
        (setting(0.001), "0.001"),
        (setting(1e-5), r"\ensuremath{10^{-5}}"),
        (setting(2e7), r"\ensuremath{2\times10^{7}}"),
        (setting(0.0), "0"),
        (setting(None), MISSING),
        (decimals(12627.76172, 2), r"12\,627.76"),
        (decimals(math.nan, 2), MISSING),
        (integer(1705), "1705"),
        (integer(12345678), r"12\,345\,678"),
        (integer(None), MISSING),
        (percent(0.0183, signed=True), r"+1.8\,\%"),
        (percent(-0.0183, signed=True), r"\ensuremath{-}1.8\,\%"),
        (percent(0.05, 0), r"5\,\%"),
        (percent(math.nan), MISSING),
        (spread(pd.Series([3.0, 1.0, 2.0])), "1.00--3.00"),
        (spread(pd.Series([], dtype=float)), MISSING),
        (seeds(pd.DataFrame({"seed": [1]})), "1 seed"),
        (seeds(pd.DataFrame({"seed": [1, 2, 2]})), "2 seeds"),
        (enumeration(["a"]), "a"),
        (enumeration(["a", "b", "c"]), "a, b and c"),
        (enumeration([]), MISSING),
        (text("l1_detached & 5% of {λ}"), r"l1\_detached \& 5\% of \{\ensuremath{\lambda}\}"),
    ],
)
def test_formatting(shown, expected):
    assert shown == expected


def test_rows_of_several_versions_of_torch_are_told():
    assert torch_mixed(pd.Series(["2.13.0+cpu"] * 3)) == r"\relax"
    told = torch_mixed(pd.Series(["2.13.0+cpu"] * 3 + ["2.12.1", None]))
    assert "Several versions" in told and "2.13.0+cpu (3 rows)" in told and "2.12.1 (1 rows)" in told
