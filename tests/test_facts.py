"""One place for each fact: what a decorator says of a penalty or method holds everywhere, and a statistic is the same everywhere."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import fields

import pandas as pd
import pytest
from synthetic import CELLS, FIT, FRO, RIGHT, SIGN, above, each, ideal, on, setter, times, verdict, where

from orthogrid.analysis.select import agreement, at_best_rate, attached, detached, law_shares, step_costs, trained
from orthogrid.analysis.settings import DATA, PROBLEM
from orthogrid.cells.cell import AXES, Cell
from orthogrid.cells.components import forget_code, having, use_code
from orthogrid.cells.config import check_config
from orthogrid.presenting.style import PLAIN, colour
from orthogrid.presenting.tables import TABLES
from orthogrid.sections import CLAIMS
from orthogrid.theory.predictions import predict_cells

OWN = """
from orthogrid import penalties
from orthogrid.methods import base

@penalties.register(attached=False)
def seen_only(s, *, power=2):
    return s.abs().pow(power).sum((-2, -1))

@penalties.register()
def cubic(s):
    return s.abs().pow(3).sum((-2, -1))

@base.register(constrains=True, keeps="on", parametrizes=True)
class exact(base.Method):
    pass

@base.register(constrains=True, keeps="near")
class nearly(base.Method):
    pass

@base.register(constrains=True, uses_steps=False, both_sides=True)
class solved(base.Method):
    pass

@base.register(uses_penalty=True, cures="undo")
class flipped(base.Method):
    pass
"""


@pytest.fixture(autouse=True)
def own(tmp_path):
    """A user's file with one entry of each sort."""
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    use_code(path)
    yield path
    forget_code()


def renamed(old: str, new: str, axis: str = "method"):
    """A change of the ideal run: what `old` did, `new` did."""

    def change(cells: pd.DataFrame, thread: pd.DataFrame) -> None:
        assert (cells[axis] == old).any()
        cells[axis] = cells[axis].replace(old, new)

    return change


NO_VERDICTS = pd.DataFrame({"id": [], "verdict": [], "measured": []})


def row_of(table: str, name: str, run) -> str:
    """The row of a table that begins with a name."""
    lines = TABLES[table](run, NO_VERDICTS).splitlines()
    return next(line for line in lines if line.startswith(rf"\texttt{{{name}}}"))


# What the decorator says.


def test_having():
    assert having("method", both_sides=True) == ("polar", "procrustes", "lifted", "solved")
    assert having("method", keeps="near")[-1] == "nearly" and "exact" in having("method", keeps="on", parametrizes=True)
    assert having("penalty", attached=False) == ("none", "l1_detached", "fro2_detached", "seen_only")


def test_a_penalty_of_ones_own_without_gradient_is_detached_everywhere():
    spec = "seen_only(power=3.0)"  # as a cell spells it
    cells = CELLS[CELLS["penalty"] == "l1_detached"].assign(penalty=spec)
    assert attached(cells).empty and len(detached(cells)) == len(cells)
    assert len(attached(cells.assign(penalty="cubic"))) == len(cells)  # one with a gradient is attached
    assert attached(cells.assign(penalty="cubic", method="landing")).empty
    # The claim compares it with the others.
    run = ideal(renamed("fro2_detached", spec, "penalty"))
    assert verdict(run, "detached") == "supported"
    apart = setter("ablation", FRO, 2.0, where(penalty="seen_only"))
    assert verdict(ideal(each(renamed("fro2_detached", spec, "penalty"), apart)), "detached") == "refuted"
    # No trap holds it, the plateau of plain regression is foretold for it, and figures draw it in grey.
    axes = {"dimension": 6, "samples": 20, "penalty": [spec, "cubic", "fro2"], "reg": 50.0}
    config = check_config({"run": "x", "blocks": [{"name": "a", "axes": axes}]})
    said = predict_cells(config).assign(penalty=[cell.penalty for cell in config.cells]).set_index("penalty")
    assert said.at[spec, "trap_threshold"] == math.inf and not math.isnan(said.at[spec, "detached_plateau"])
    assert math.isnan(said.at[spec, "trap_loss"]) and math.isnan(said.at["cubic", "trap_threshold"])
    assert math.isnan(said.at["cubic", "detached_plateau"]) and said.at["fro2", "trap_loss"] > 0
    assert colour(spec) == colour("l1_detached") == PLAIN != colour("cubic")


def test_a_method_of_ones_own_stands_in_its_group():
    change = each(renamed("torch_exp", "exact"), renamed("parseval", "nearly"), renamed("procrustes_side", "solved"))
    run = ideal(change)
    rows = TABLES["methods"](run, NO_VERDICTS).split(r"\midrule")[1].split(r"\addlinespace")
    groups = [re.findall(r"\\texttt\{(\w+)", part) for part in rows]
    assert [len(group) for group in groups] == [2, 4, 7, 2]  # adam and polar keep nothing
    assert "nearly" in groups[1] and "exact" in groups[2] and "solved" in groups[3]
    # What it does wrong is held against its group.
    crossed = ideal(each(change, setter("methods", SIGN, RIGHT, where(method="exact", determinant="mismatch"))))
    assert verdict(crossed, "components") == "refuted"
    cheap = ideal(each(change, setter("methods step_cost", "seconds_per_step", times(0.1), where(method="exact"))))
    assert verdict(cheap, "step-cost") == "refuted"
    assert "solved" not in set(trained(run.block("methods"))["method"])


def test_a_method_that_looks_on_both_sides_is_in_no_trap():
    axes = {"dimension": 6, "samples": 20, "method": ["solved", "procrustes", "exact"]}
    config = check_config({"run": "x", "blocks": [{"name": "a", "axes": axes}]})
    said = predict_cells(config).assign(method=[cell.method for cell in config.cells]).set_index("method")
    assert list(said["trap_threshold"]) == [math.inf, math.inf, 0.0]
    assert said["trap_position"].isna().tolist() == [True, True, False]


# The same statistic everywhere.


def test_claim_and_table_agree_on_the_law():
    lost = setter("law_long", SIGN, RIGHT, where(penalty="coherence", reg=above(10.0)))
    run = ideal(each(lost, setter("law", "reg", 1000.0, where(penalty="l1"))))
    used = agreement(run.block("law", "law_long"))
    shares = law_shares(used)
    worst = min(shares.values(), key=lambda one: one.value)
    assert CLAIMS["dual-norm"].evidence(run).measured == worst.value < 0.9
    assert "l1" not in shares  # on one side of its threshold only
    row = row_of("penalties", "coherence", run)
    same = used[used["penalty"] == "coherence"]
    assert row.endswith(rf"{same['agrees'].sum()} of {len(same)} \\") and same["agrees"].mean() == pytest.approx(
        worst.value
    )


def test_the_claim_names_who_misses_orthogonality():
    seen = CLAIMS["reach"].evidence(ideal(setter("penalties", FRO, 2.0, where(penalty=on("huber", "fro")))))
    assert seen.measured == 3 / 5 and seen.partly == "not by fro, huber(delta=0.01)"


def test_a_method_is_shown_at_its_best_rate():
    run = ideal(setter("methods", FIT, 1.0, where(method="geoopt", determinant="match", lr=0.003)))
    best = at_best_rate(run.block("methods").query("method == 'geoopt'"))
    assert set(best["lr"]) == {0.03} and set(best["determinant"]) == {"match", "mismatch"}
    assert row_of("methods", "geoopt", run).split(" & ")[3] == "0.03"


def test_the_cost_of_a_step():
    run = ideal(setter("methods", "seconds_per_step", times(0.5), where(method="adam", samples=10)))
    costs = step_costs(run.block("methods"))
    assert costs["landing"].value == pytest.approx(math.sqrt(2)) and costs["adam"].value == pytest.approx(1)
    assert "procrustes" not in costs
    at_500 = run.block("step_cost").set_index("method")["seconds_per_step"]
    cheapest = at_500[at_500.index.isin(having("method", parametrizes=True))].min() / at_500["adam"]
    assert CLAIMS["step-cost"].evidence(run).measured == pytest.approx(cheapest)


def test_runs_that_share_a_problem_share_what_a_cell_calls_so():
    """`Cell.problem` is data and target; a number format draws its own. Noise of one seed is one draw at several sizes: one cluster."""
    base = Cell(dimension=10, samples=5)
    for axis in fields(Cell):
        assert axis.name in AXES
        kept = axis.name in base.problem._fields
        other = object.__new__(Cell)
        other.__dict__.update({f.name: getattr(base, f.name) for f in fields(Cell)}, **{axis.name: "other"})
        assert (other.problem != base.problem) == (axis.name in (*DATA, "dtype", "noise")) == kept, axis.name
    assert set(PROBLEM) - set(DATA) == {"determinant", "init"}


# Who needs what.


def loaded(modules: str) -> set[str]:
    code = f"import sys, {modules}; print(*(name for name in ('torch', 'scipy', 'scipy.stats') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_theory_needs_no_torch_and_training_no_scipy():
    assert loaded("orthogrid.theory.forms, orthogrid.sections") == {
        "scipy"
    }  # without its statistics, which take a second
    assert "scipy" not in loaded("orthogrid.jobs.runner, orthogrid.__main__")
