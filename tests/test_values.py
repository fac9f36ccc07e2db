"""The paper's numbers: every key it asks for exists and is asked for, none is typed in, and what is missing is a dash."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT

from orthogrid.analysis.select import best_setting
from orthogrid.cells.config import Config
from orthogrid.cells.declarations import readers
from orthogrid.jobs.files import read_table
from orthogrid.presenting import formats
from orthogrid.presenting.formats import MISSING, percent
from orthogrid.presenting.tables import TABLES
from orthogrid.presenting.values import SECTIONS, Value, all_values
from orthogrid.publishing.sources import asked
from orthogrid.publishing.writing import NUMBERS, write_tables, write_values
from orthogrid.run.run import Run
from orthogrid.sections import CLAIMS, judge
from orthogrid.sections.ledger import ledger_values
from orthogrid.sections.penalties import held_from
from orthogrid.sections.reproduction import provenance_values, torch_mixed

SOURCES = sorted({*(ROOT / "paper").rglob("*.tex")} - {ROOT / "paper" / "tagged.tex"})  # a date and a version
ASKED = asked(ROOT / "paper")

COMMENT = re.compile(r"(?<!\\)%.*")
MATH = re.compile(
    r"\\begin\{(equation|align|gather|multline)\*?\}.*?\\end\{\1\*?\}|\\\[.*?\\\]|\\\(.*?\\\)|(?<!\\)\$.*?(?<!\\)\$", re.DOTALL
)  # fmt: skip
ARGUMENTS = re.compile(
    r"\\(?:[a-z]*cite[a-z]*|[cC]ref|ref|eqref|label|val|input|includegraphics|begin|end|documentclass|says|blockfigure|blocktable|blocklongtable|texttt|see[a-z]+|insee|insection|ifblocks|listing)\*?(?:\[[^\]]*\])*(?:\{[^{}]*\})+"
)


WIDTH = re.compile(r"p\{\d+mm\}")  # of a column


def typed_numbers(source: str) -> list[str]:
    """Lines with a digit outside comments, mathematics and the arguments of references, citations and values."""
    for pattern in (COMMENT, MATH, WIDTH, ARGUMENTS):
        # Lines are kept, so that a complaint can quote them.
        source = pattern.sub(lambda match: "\n" * match[0].count("\n"), source)
    return [line for line in source.splitlines() if re.search(r"\d", line)]


def found(run: Run, verdicts: pd.DataFrame) -> dict[str, Value]:
    return all_values(run, verdicts, ASKED.values, provenance_values({"date": "2026-01-02"}), ledger_values(verdicts))


def flat(run: Run) -> dict[str, str]:
    return {key: value.printed for key, value in found(run, judge(run)).items()}


@pytest.fixture(scope="module")
def verdicts(small_run) -> pd.DataFrame:
    return judge(small_run)


@pytest.fixture(scope="module")
def values(small_run, verdicts) -> dict[str, Value]:
    return found(small_run, verdicts)


@pytest.fixture(scope="module")
def empty_run(small_run) -> Run:
    """No blocks and no rows; the columns of each table are there."""
    parts = ("cells", "membership", "traces", "thread", "predictions", "log_a", "log_b")
    config = Config("empty", "empty", "cpu", True, 1, "results", (), ())
    return Run(config, *(getattr(small_run, part).iloc[:0] for part in parts))


def test_no_number_is_typed_into_the_paper():
    assert SOURCES
    assert {path.name: lines for path in SOURCES if (lines := typed_numbers(path.read_text()))} == {}


@pytest.mark.parametrize("source", ["reached 3.14 in the end", "a loss of $x$ 7", r"see \cref{fig:a2} and 12\,\%"])
def test_scanner_catches_a_planted_number(source):
    assert typed_numbers(source) == [ARGUMENTS.sub("", MATH.sub("", source))]
    planted = SOURCES[0].read_text() + "\n" + source
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


def test_what_the_sections_define_is_what_the_sources_ask_for(small_run, verdicts):
    told = [*(section(small_run) for section in SECTIONS), provenance_values({}), ledger_values(verdicts)]
    assert {key for part in told for key in part} <= set(ASKED.values)


def test_a_value_that_nobody_defines_names_who_asks(small_run, verdicts):
    for key in ("nowhere", "measured-nothing", "steps", "colour-grid", "lr-nowhere"):
        with pytest.raises(KeyError, match=rf"sections/x\.tex.*'{key}'"):
            all_values(small_run, verdicts, {key: ["sections/x.tex"]})


def safe(value: str) -> bool:
    """Whether LaTeX takes it in text and in math: balanced, nothing active, no nan."""
    bare = re.sub(r"\\[&%#_${}]", "", value)
    return (
        bool(value)
        and bare.count("{") == bare.count("}")
        and not re.search(r"[&%#$]|(?<!0)_|\bnan\b|\binf\b|None|NaT", re.sub(r"\\ensuremath\{.*?\}\}?", "", bare))
        and value.isascii()
    )


def test_values_are_safe(values):
    assert {key: value for key, value in values.items() if not safe(value.printed)} == {}


def test_an_empty_run_has_dashes(empty_run):
    values = flat(empty_run)
    assert set(values) == set(ASKED.values) and all(map(safe, values.values()))
    assert values["share-lifted"] == values["ours-a-plateau"] == values["lr-convergence"] == MISSING
    assert values["thread-samples"] == "30" and values["claims-total"] == str(len(CLAIMS))


@pytest.mark.parametrize("status", ["diverged", "missing"])
def test_run_without_finished_cells(small_run, status):
    run = replace(small_run, cells=small_run.cells.assign(status=status, fit=math.nan, seconds=math.nan))
    values = flat(run)
    assert all(map(safe, values.values()))
    assert values["ours-a-plateau"] == values["measured-squares"] == MISSING
    assert values["cells-diverged"] == (values["cells-total"] if status == "diverged" else "0")


@pytest.mark.parametrize("gone", [["thread_a", "convergence", "methods"], ["thread_b", "penalties", "scaling"]])
def test_run_without_some_blocks(small_run, gone):
    there = small_run.membership[~small_run.membership["block"].isin(gone)]
    assert all(map(safe, flat(replace(small_run, membership=there)).values()))


def test_best_setting_is_the_one_with_the_smallest_median():
    cells = pd.DataFrame(
        {"reg": [1, 1, 1, 10, 10, 10], "schedule": "cosine", "dimension": 4, "orthogonality_fro": [0.0, 8, 8, 4, 4, 4]}
    )
    best = best_setting(cells, "reg", "schedule")
    assert set(best["reg"]) == {10} and (best["roughness"] == 2).all()
    assert best_setting(cells.assign(orthogonality_fro=math.nan), "reg").empty


@pytest.mark.parametrize(
    ("wrong", "expected"), [([0, 0, 1], "1.0--10"), ([1, 1, 1], "all"), ([0, 0, 0], "none"), ([], MISSING)]
)
def test_held_from(wrong, expected):
    weights = [0.1, 1.0, 10.0][: len(wrong)]
    cells = pd.DataFrame({"relative": weights, "wrong": [bool(w) for w in wrong], "seed": 1})
    assert held_from(cells) == expected


def test_known_values(small_run, values, verdicts):
    assert values["thread-a-plateau"].printed == "3040" and values["thread-b-early-steps"].printed == "200"
    assert values["l1-constant"].printed == "0.23" and values["run-date"].printed == "2026-01-02"
    assert values["cells-total"].printed == str(len(small_run.config.cells))
    lifted, row = values["share-lifted"], verdicts.set_index("id").loc["lifted"]
    assert (lifted.value, lifted.low, lifted.blocks, lifted.cells) == (
        row.measured,
        row.interval_low,
        "cures cures_uniform large_cure",
        row.cells,
    )
    assert lifted.printed == percent(row.measured, 0)


def test_settings_of_any_block(small_run, verdicts):
    keys = ("dimension-large-trap", "samples-thread-b", "seeds-grid", "schedule-convergence")
    asked_for = {key: ["x.tex"] for key in keys}
    values = all_values(small_run, verdicts, asked_for)
    shown = [values[key].printed for key in asked_for]
    assert shown == ["24", "6", "2 seeds", r"\texttt{constant} and \texttt{cosine}"]


def test_written_files(small_run, verdicts, tmp_path):
    kept = write_values(small_run, verdicts, {"date": "2026-01-02"}, ASKED, tmp_path)
    lines = (tmp_path / "values.tex").read_text().splitlines()
    keys = [match[1] for line in lines if (match := re.fullmatch(r"\\setval\{([a-z0-9-]+)\}\{.+\}", line))]
    assert sorted(keys) == sorted(ASKED.values)
    assert sum(line.startswith(r"\setverdict") for line in lines) == len(CLAIMS)
    assert sum(line.startswith(r"\setblock") for line in lines) == len(small_run.config.blocks)
    assert {line.split("{")[1].rstrip("}") for line in lines if line.startswith(r"\settable")} == set(ASKED.tables)
    table = read_table(tmp_path / "values.csv")
    assert list(table["key"]) == list(kept) and not table["printed"].str.contains(r"[\\{}$]").any()
    assert table.set_index("key").at["runs-lifted", "section"] == "remedy"


def test_what_a_run_lacks_is_neither_figure_nor_table(small_run, tmp_path):
    few = replace(small_run, membership=small_run.membership.query("block == 'cures'"))
    write_values(few, judge(few), {}, ASKED, tmp_path)
    text = (tmp_path / "values.tex").read_text()
    assert r"\setfigure{remedies}" in text and r"\setfigure{samples}" not in text
    assert r"\settable{methods}" not in text and r"\settable{claims}" in text
    assert r"\setblock{cures}" in text and r"\setblock{grid}" not in text


def columns(table: str) -> list[int]:
    rows = [line for line in table.splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
    return [len(re.split(r"(?<!\\)&", line)) for line in rows]


@pytest.mark.parametrize("kind", ["whole", "empty"])
def test_tables(small_run, empty_run, verdicts, tmp_path, kind):
    run, verdicts = (small_run, verdicts) if kind == "whole" else (empty_run, judge(empty_run))
    names = [*TABLES, NUMBERS]
    write_tables(run, verdicts, found(run, verdicts), [tmp_path / f"{name}.tex" for name in names])
    for name in names:
        table = (tmp_path / f"{name}.tex").read_text()
        kind = "longtable" if name in ("claims", "figures", NUMBERS) else "tabular"
        assert table.startswith(rf"\begin{{{kind}}}") and table.endswith(rf"\end{{{kind}}}" + "\n")
        assert len(set(columns(table))) == 1
        assert not re.search(r"\bnan\b|None|\binf\b", table)


def test_figures_and_tables_are_those_that_the_sources_ask_for():
    assert set(ASKED.tables) == {*TABLES, NUMBERS}
    assert set(ASKED.figures) == {reader.name for reader in readers() if reader.kind == "figure"}


FORMS = {
    "number": [
        (0.012345, "0.0123"), (9.999, "10.0"), (0.99996, "1.00"), (12345.6, r"12\,346"), (-3.14159, r"\ensuremath{-}3.14"), (0, "0"),
        (0.00012, r"\ensuremath{1.20\times10^{-4}}"), (math.inf, r"\ensuremath{\infty}"), (None, MISSING),
    ],
    "scientific": [(1.26e-5, r"\ensuremath{1.3\times10^{-5}}"), (0.0, "0"), (math.nan, MISSING)],
    "setting": [
        (1000.0, "1000"), (0.001, "0.001"), (1e-5, r"\ensuremath{10^{-5}}"), (2e7, r"\ensuremath{2\times10^{7}}"), (0.0, "0"),
        (None, MISSING),
    ],
    "d2": [(12627.76172, r"12\,627.76"), (math.nan, MISSING)],
    "integer": [(1705, "1705"), (12345678, r"12\,345\,678"), (None, MISSING)],
    "percent": [(-0.0183, r"\ensuremath{-}1.8\,\%"), (0.05, r"5.0\,\%"), (math.nan, MISSING)],
    "seeds": [(1, "1 seed"), (2, "2 seeds")],
    "enumeration": [(["a"], "a"), (["a", "b", "c"], "a, b and c"), ([], MISSING)],
    "text": [("l1_detached & 5% of {λ}", r"l1\_detached \& 5\% of \{\ensuremath{\lambda}\}")],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_formatting(form):
    assert [getattr(formats, form)(value) for value, _ in FORMS[form]] == [shown for _, shown in FORMS[form]]


def test_rows_of_several_versions_of_torch_are_told():
    assert torch_mixed(pd.Series(["2.13.0+cpu"] * 3)) == r"\relax"
    told = torch_mixed(pd.Series(["2.13.0+cpu"] * 3 + ["2.12.1", None]))
    assert "Several versions" in told and "2.13.0+cpu (3 rows)" in told and "2.12.1 (1 rows)" in told
