"""Code of one's own: a user's files and notebooks register what counts like the package's, and every fault is one clear message."""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from pypdf import PdfReader

from orthogrid.__main__ import main
from orthogrid.cells import components
from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import Config, check_config, load_config
from orthogrid.cells.costs import Costs, operations
from orthogrid.cells.declarations import complaints, own_readers
from orthogrid.cells.sources import imported_files
from orthogrid.jobs import own, runner, workers
from orthogrid.jobs.files import read_table, write_table
from orthogrid.jobs.own import load_code
from orthogrid.jobs.plan import Plan
from orthogrid.jobs.runner import train_cells, train_run
from orthogrid.penalties import PENALTIES
from orthogrid.presenting.formats import text
from orthogrid.presenting.tables import TABLES
from orthogrid.publishing.blocks import block_sections
from orthogrid.publishing.drawing import digests
from orthogrid.run.collect import collect
from orthogrid.run.run import Run
from orthogrid.sections import CLAIMS, FIGURES, judge
from orthogrid.theory.predictions import predict_cells

pytestmark = pytest.mark.usefixtures("alone")


def recipe() -> tuple[str, str]:
    """The file and the config that docs/adding.md shows."""
    words = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    part = words[words.index("**Code of your own.**") : words.index("**A stranger's config.**")]
    file, config = (
        textwrap.dedent(block).strip() + "\n" for block in re.findall(r"(?:^    .*\n|^\n(?=\s))+", part, re.M)
    )
    return file, config


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """A folder with the files of the recipe, in which everything is called."""
    monkeypatch.chdir(tmp_path)
    for name, words in zip(("my/penalties.py", "config/mine.yaml"), recipe(), strict=True):
        write(tmp_path / name, words)
    return tmp_path


def write(path: Path, words: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(words))
    return path


def config_of(*code: str, **axes) -> Config:
    axes = {"dimension": 8, "samples": 4, "steps": 5, **axes}
    return check_config({"run": "mine", "code": list(code), "blocks": [{"name": "quartic", "axes": axes}]})


def edit(path: Path, old: str, new: str) -> None:
    words = path.read_text()
    assert words.count(old) == 1
    path.write_text(words.replace(old, new))


PENALTY = """
from orthogrid.penalties import register
@register()
def {}(s):
    return (s**4).sum((1, 2))
"""


# The recipe.


def test_the_recipe_is_checked_and_run_once(mine, capsys):
    assert main(["check", "--config", "config/mine.yaml"]) == 0
    said = capsys.readouterr()
    assert "12 cells" in said.out and said.err.count("code: running my/penalties.py") == 1
    assert "block 'quartic'" not in said.out  # its own figure and claim read it
    load_code(["my/penalties.py"])
    assert capsys.readouterr().err == ""
    assert PENALTIES["quartic"].entry.options == {"scale": 1.0} and CLAIMS["quartic-fades"].section == "own"
    assert FIGURES["quartic"].blocks == ("quartic",)


def test_its_text_tells_a_plan_everything(mine):
    code = (
        "import sys; from orthogrid.cells.config import load_config; from orthogrid.jobs.plan import Plan, describe;"
        "from orthogrid.cells.declarations import figure_names; config = load_config('config/mine.yaml');"
        "print(describe(Plan(config), 1)); print(figure_names(config, []), sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        "12 cells to train" in shown.stdout and "['block_quartic', 'quartic'] []" in shown.stdout and shown.stderr == ""
    )


def test_a_run_of_it_is_trained_drawn_and_judged_and_an_edit_makes_its_own_rows_stale(mine):
    config = load_config("config/mine.yaml")
    train_run(config, config.cells, device="cpu", workers=1)
    plan = Plan(load_config("config/mine.yaml"))
    assert plan.missing == []
    data, predictions = ROOT / "data" / "thread", predict_cells(config)
    write_table(predictions, config.root / "predictions.csv")
    collect(config, plan.names, predictions, (read_table(data / "log_a.csv"), read_table(data / "log_b.csv")))
    run = Run.read(config, config.root, data)
    (claim,) = judge(run).query("section == 'own'").itertuples()
    assert (claim.id, claim.verdict) == ("quartic-fades", "supported") and claim.cells == 12
    program, *words = shlex.split(claim.command)  # as a reader types it, in this folder
    assert (program, words[:2]) == ("python", ["-m", "orthogrid"]) and words[-2:] == ["fro2", "quartic"]
    shutil.rmtree(config.root / "rows")
    assert main(words[2:]) == 0 and Plan(config).missing == []
    assert FIGURES["quartic"](run).axes
    section = block_sections(run)  # of the block, which the paper does not know, with the figure that reads it
    assert r"\blockfigure{block_quartic}{" in section and "Does a flatter penalty come as near?" in section
    assert r"\blockfigure{quartic}{" in section and "How far from orthogonal" in section
    assert "Of this run's own code" in TABLES["claims"](run, judge(run))
    for path in config.root.rglob("*.csv"):
        assert str(mine) not in path.read_text()

    before = digests(run, ["quartic", "law"])
    edit(mine / "my" / "penalties.py", "total(s**4)", "total(s**4) / 2")
    edited = load_config("config/mine.yaml")
    assert {cell.penalty for cell in Plan(edited).missing} == {"quartic"}
    after = digests(run, ["quartic", "law"])
    assert after["quartic"] != before["quartic"] and after["law"] == before["law"]
    with pytest.raises(
        ConfigError, match=r"my/penalties\.py was edited since it ran in this process; start Python again"
    ):
        train_run(edited, edited.cells, device="cpu", workers=1)
    trained = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    assert '"trained": 6' in trained.stdout


def test_predictions_and_costs_of_what_nobody_knows(mine):
    config = config_of("my/penalties.py", penalty=["fro2", "quartic"], samples=20)
    (own_cell, *_), costs = [cell for cell in config.cells if cell.penalty == "quartic"], Costs()
    assert costs.seconds(own_cell) > 0 and operations(own_cell) > 0
    table = predict_cells(config).set_index("key")
    assert math.isnan(table.loc[own_cell.key, "trap_threshold"]) and table.loc[own_cell.key, "rank"] > 0
    assert table["trap_threshold"].notna().sum() == len(table) / 2 == 1


def test_a_run_that_the_paper_knows_has_no_section_of_its_own(small_run):
    assert re.fullmatch(r"%.*\n", block_sections(small_run))


def test_words_of_any_script_are_kept():
    assert text("é ∀ 正交 λ") == r"é ∀ 正交 \ensuremath{\lambda}" and text("a\nb\0") == "a b?"
    assert text("ᵀ") == r"\ensuremath{^{\mathsf{T}}}"


@pytest.mark.slow
def test_the_recipe_through_snakemake(mine):
    wanted = ["results/mine/claims.csv", "results/mine/figures/quartic.pdf"]
    output = snakemake("config/mine.yaml", *wanted)
    claims = pd.read_csv(wanted[0]).set_index("id")
    assert claims.loc["quartic-fades", "verdict"] == "supported" and claims.loc["quartic-fades", "section"] == "own"
    assert "quartic" in PdfReader(wanted[1]).pages[0].extract_text()
    assert r"\blockfigure{quartic}" in Path("results/mine/blocks.tex").read_text()
    assert "code: running my/penalties.py" in output
    for path in Path("results/mine").rglob("*.*"):
        if path.suffix in (".csv", ".tex", ".json", ".jsonl"):
            assert str(mine) not in path.read_text(), path
    # What only running it shows is told before any job; the rows are kept.
    edit(Path("my/penalties.py"), "import total", "import total, nothing_such")
    output = snakemake("config/mine.yaml", *wanted, code=1)
    assert output.count("cannot import name 'nothing_such'") == 1 and re.search(
        r"my/penalties\.py, line \d: ImportError", output
    )
    assert (
        "localrule" not in output and "Traceback" not in output and len(list(Path("results/mine/rows").iterdir())) == 1
    )


def snakemake(config: str, *arguments: str, code: int = 0) -> str:
    call = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    environment = os.environ | {"ORTHOGRID_PYTHON": sys.executable}
    done = subprocess.run([*call, "--configfile", config], capture_output=True, text=True, env=environment)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    return output


# Faults.

FIGURE = "from orthogrid import figure\n@figure('quartic')\n"
CLAIM = "from orthogrid import claim\n"
TEXT_FAULTS = {
    "missing": (None, r"penalties\.py: there is no such file"),
    "syntax": ("def f(:\n", r"penalties\.py, line 1: no valid Python"),
    "taken": (PENALTY.format("fro2"), r"penalties\.py, line 4: penalty 'fro2': the name is taken"),
    "signature": (PENALTY.format("mine").replace("(s):", "(s, t):"), r"penalty 'mine' has \(s, t\); the function must take"),
    "figure taken": (FIGURE + "def draw_map(run): ...\n", r"line 3: figure 'map' is taken by the package"),
    "figure signature": (FIGURE + "def draw_me(run, cells): ...\n", r"figure 'me' has \(run, cells\); .*def draw_me\(run\)"),
}  # fmt: skip
MORE_TEXT_FAULTS = {
    "register bare": (PENALTY.format("mine").replace("r()", "r"), r"line 3: write @register\(\) with its brackets above 'mine'"),
    "figure untold": (FIGURE.replace("'quartic'", "BLOCKS") + "def draw_me(run): ...\n", r"must stand in its decorator as text"),
    "figure bare": (FIGURE.replace("('quartic')", "") + "def draw_me(run): ...\n", r"must stand in its decorator as text"),
    "figure inside": (FIGURE.replace("@", "if 1:\n  @") + "  def draw_me(run): ...\n", r"top level of the file"),
    "figure twice": (2 * (FIGURE + "def draw_me(run): ...\n"), r"line 6: figure 'me' is taken by .*line 3"),
    "claim taken": (CLAIM + "@claim('plateau', '', '>', blocks='a')\ndef f(run, cells): ...\n", r"claim 'plateau' is taken"),
    "claim name": (CLAIM + "@claim('A b', '', '>', blocks='a')\ndef f(run, cells): ...\n", r"claim 'A b': a name is of"),
    "claim signature": (CLAIM + "@claim('mine', '', '>', blocks='a')\ndef f(run): ...\n", r"def f\(run, cells\)"),
    "method signature": (
        "from orthogrid.methods import Method, register\n@register()\nclass me(Method):\n    def __init__(self): ...\n",
        r"method 'me' has \(self\)",
    ),
}  # fmt: skip
RUN_FAULTS = {
    "import": (
        "import nothing_such\n",
        r"my/penalties\.py, line 1: ModuleNotFoundError: No module named 'nothing_such'",
    ),
    "raises": ("x = 1\n\nassert x == 2, 'not two'\n", r"my/penalties\.py, line 3: AssertionError: not two"),
    "leaves": ("import sys\nsys.exit('bye')\n", r"my/penalties\.py, line 2: SystemExit: bye"),
    "relation": (
        CLAIM + "@claim('mine', '', '~', blocks='a')\ndef f(run, cells): ...\n",
        r"claim 'mine': relation '~'",
    ),
}


def fault(mine: Path, words: str | None) -> None:
    write(mine / "my" / "penalties.py", words or "")
    if words is None:
        (mine / "my" / "penalties.py").unlink()
    config = {"run": "mine", "code": ["my/penalties.py"], "blocks": [{"name": "a", "axes": {"dimension": 8}}]}
    (mine / "config" / "mine.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(("words", "message"), (TEXT_FAULTS | MORE_TEXT_FAULTS | RUN_FAULTS).values())
@pytest.mark.parametrize("command", ["check", "train"])
def test_a_fault_is_one_message_before_any_training(mine, capsys, words, message, command):
    fault(mine, words)
    assert main([command, "--config", "config/mine.yaml"]) == 2
    said = capsys.readouterr().err.replace("code: running my/penalties.py\n", "")
    assert len(re.findall(message, said)) == 1 and said.count("\n") <= 2 and "Traceback" not in said
    assert not list(mine.glob("results/**/*.csv"))


VALUES = {
    "a matrix": ("s**2", r"penalty 'mine' \(.*penalties\.py, line 4\) must return one value for each matrix.*returns .*\(2, 3, 3\)"),
    "one number for all": ("(s**2).sum()", r"shape \(B,\) for S of shape .* returns a tensor of shape \(\)"),
    "no tensor": ("1.0", r"returns 1\.0"),
    "numpy": ("(s.numpy()**2).sum((1, 2))", r"cannot be computed: RuntimeError"),
    "detached": ("(s.detach()**2).sum((1, 2))", r"has no gradient: compute it from S by torch alone"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "message"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("command", ["check", "train"])
def test_a_penalty_is_tried_on_two_small_matrices_before_any_training(mine, capsys, value, message, command):
    fault(mine, PENALTY.format("mine").replace("(s**4).sum((1, 2))", value))
    config = mine / "config" / "mine.yaml"
    config.write_text(config.read_text().replace("dimension: 8", "dimension: 8\n    penalty: mine"))
    assert main([command, "--config", "config/mine.yaml"]) == 2
    said = capsys.readouterr().err.replace("code: running my/penalties.py\n", "")
    assert len(re.findall(message, said)) == 1 and said.count("\n") <= 2 and "Traceback" not in said
    assert not list(mine.glob("results/**/*.csv*"))


def test_names_of_a_file_that_cannot_be_read_are_not_called_unknown(mine, capsys):
    fault(mine, "def f(:\n")
    config = mine / "config" / "mine.yaml"
    config.write_text(config.read_text().replace("dimension: 8", "dimension: 8\n    penalty: mine"))
    assert main(["check", "--config", "config/mine.yaml"]) == 2
    assert "no valid Python" in (said := capsys.readouterr().err) and "'mine' is not allowed" not in said


def test_a_penalty_without_a_gradient_at_the_start_is_noted_and_may_be_trained(mine, capsys):
    fault(mine, PENALTY.format("mine").replace("(s**4).sum((1, 2))", "s.square().sum((1, 2)).sqrt()"))
    config = mine / "config" / "mine.yaml"
    config.write_text(config.read_text().replace("dimension: 8", "dimension: 8\n    penalty: [mine, fro2]"))
    assert main(["check", "--config", "config/mine.yaml"]) == 0
    assert capsys.readouterr().out.count("has no finite gradient at S = 0") == 1


def test_a_penalty_that_is_measured_only_needs_no_gradient(mine, capsys):
    fault(mine, PENALTY.format("mine").replace("register()", "register(attached=False)").replace("s**4", "s.detach()"))
    config = mine / "config" / "mine.yaml"
    config.write_text(config.read_text().replace("dimension: 8", "dimension: 8\n    penalty: mine"))
    assert main(["check", "--config", "config/mine.yaml"]) == 0
    assert "gradient" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["taken", "figure signature"])  # of a component, and of what reads a run
def test_snakemakes_plan_says_what_the_text_tells(mine, name):
    words, message = TEXT_FAULTS[name]
    fault(mine, words)
    output = snakemake("config/mine.yaml", "--dry-run", code=1)
    assert len(re.findall(message, output)) == 1 and "Traceback" not in output and not (mine / "results").exists()


# Files beside each other.


def test_equal_stems_and_files_beside_them_do_not_clash(mine, capsys):
    for folder in ("a", "b"):
        write(
            mine / folder / "penalties.py",
            f"""
            from orthogrid.penalties import register
            from power_{folder} import POWER
            @register()
            def mine_{folder}(s):
                from late_{folder} import SCALE
                return SCALE * s.abs().pow(POWER).sum((1, 2))
            """,
        )
        write(mine / folder / f"power_{folder}.py", "POWER = 4\n")
        write(mine / folder / f"late_{folder}.py", "SCALE = 1.0\n")
    config = config_of("a/penalties.py", "b/penalties.py", penalty=["mine_a", "mine_b"], reg=1)
    codes = [cell.code for cell in config.cells]
    train_run(config, config.cells, device="cpu", workers=1)
    assert capsys.readouterr().err.count("code: running") == 2 and Plan(config).missing == []
    names = {path.name for path in imported_files(mine / "a" / "penalties.py")}
    assert {"penalties.py", "power_a.py", "late_a.py", "components.py"} <= names and "power_b.py" not in names
    edit(mine / "a" / "power_a.py", "4", "6")
    components.forget_code()
    changed = [c.code for c in config_of("a/penalties.py", "b/penalties.py", penalty=["mine_a", "mine_b"], reg=1).cells]
    assert changed[0] != codes[0] and changed[1] == codes[1]


@pytest.mark.parametrize("order", [["my/one.py", "my/two.py"], ["my/two.py", "my/one.py"]])
def test_a_file_that_another_imports_runs_once(mine, order):
    write(mine / "my" / "one.py", PENALTY.format("mine") + "\nimport two\n")
    write(mine / "my" / "two.py", PENALTY.format("other") + "\n")
    load_code(order)
    first = PENALTIES["other"]
    load_code(order)
    assert PENALTIES["other"] is first and {"mine", "other"} <= set(PENALTIES)
    assert PENALTIES["mine"].value.__globals__["two"].other is first


@pytest.mark.parametrize(("name", "where"), [("json", r"is already .*json"), ("sys", "is Python's own")])
def test_a_file_that_python_would_not_import_is_refused(mine, name, where):
    write(mine / "my" / f"{name}.py", "")
    write(mine / "my" / "penalties.py", f"import {name}\n")
    with pytest.raises(ConfigError, match=rf"it imports '{name}', which {where}.*give my/{name}\.py another name"):
        load_code("my/penalties.py")


def test_decorators_are_known_by_what_they_are(mine):
    write(
        mine / "my" / "figures.py",
        """
        import orthogrid.presenting.style as style
        from orthogrid.presenting.ledger import claim as says
        from somewhere import claim, figure
        @style.figure(blocks="law grid")
        def draw_it(run):
            '''Two
            lines.'''
        @says("mine", "words", ">", blocks="law", tolerance=1)
        def anything(run, cells): ...
        @figure("law")
        @claim("law")
        def nothing(): ...
        """,
    )
    told = own_readers(["my/figures.py"])
    assert [(r.kind, r.name, r.blocks) for r in told] == [
        ("figure", "it", ("law", "grid")),
        ("claim", "mine", ("law",)),
    ]
    assert told[0].text == "Two\nlines." and [r.name for r in told if r.kind == "figure"] == ["it"]


def test_own_readers_count_among_the_readers(mine):
    config = load_config("config/mine.yaml")
    assert not any("quartic" in line for line in complaints(config))
    edit(mine / "my" / "penalties.py", '@figure("quartic")', '@figure("quartics")')
    components.forget_code()
    told = "this config has no block 'quartics', which figure 'quartic' reads; did you mean 'quartic'?"
    assert complaints(load_config("config/mine.yaml"))[-1] == told


def test_workers_that_are_not_forked_run_it_too(mine, monkeypatch):
    monkeypatch.setattr(workers, "CONTEXT", multiprocessing.get_context("spawn"))
    monkeypatch.setattr(runner, "WORTH_WORKERS", {"cpu": 0, "cuda": 0})
    config = config_of("my/penalties.py", penalty="quartic", reg=1, seed=[1, 2])
    assert train_run(config, config.cells, device="cpu", workers=2) == 2
    texts = own.loaded_code()
    edit(mine / "my" / "penalties.py", "scale *", "2 * scale *")
    with pytest.raises(ConfigError, match="edited while it was in use"):
        own.run_again(texts)


def test_a_file_that_nobody_ran_is_named(mine):
    config = load_config("config/mine.yaml")
    with pytest.raises(ConfigError, match=r"penalty 'quartic' stands in .*penalties\.py, which has not run"):
        train_cells(config.cells, config.root, "cpu")
