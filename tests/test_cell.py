"""Axes, keys, blocks, and what a wrong config is told."""

import copy
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from stepping import CURES

from orthogrid.cells import components
from orthogrid.cells.cell import AXES, Cell, ConfigError
from orthogrid.cells.config import check_config, json_schema, load_config
from orthogrid.cells.costs import Costs, operations
from orthogrid.jobs.plan import Plan, describe

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
shipped = cache(load_config)
GOOD = {"run": "x", "blocks": [{"name": "a", "axes": {"dimension": 8, "reg": [0.1, 1]}}]}


def test_the_default_cell_is_the_threads_second_script():
    cell = Cell()
    assert (cell.dimension, cell.samples, cell.penalty, cell.reg, cell.lr, cell.steps, cell.seed) == (
        500, 30, "fro2", 1000.0, 1e-3, 1000, 2021,
    )  # fmt: skip


@pytest.mark.parametrize("spelling", [1000, 1000.0, "1e3", "1000", "1.0e+3", 1e3])
def test_a_key_is_deaf_to_spelling(spelling):
    assert Cell(reg=spelling).key == Cell().key


def test_a_key_is_deaf_to_order_and_hears_every_axis():
    assert Cell(seed=3, reg=2).key == Cell(reg=2, seed=3).key
    other = {
        "dimension": 501, "samples": 31, "sampling": "fresh", "inputs": "whitened", "penalty": "l1", "reg": 1.0,
        "determinant": "mismatch", "bias": False, "lr": 0.01, "schedule": "cosine", "steps": 5, "dtype": "float64", "seed": 1,
        "warmup": 5, "model": "relu2",
    }  # fmt: skip
    keys = {Cell().key} | {Cell(**{name: value}).key for name, value in other.items()}
    keys.add(Cell(determinant="mismatch", init="twin").key)
    assert len(keys) == len(other) + 2
    keys.add(Cell(method="reg_ramp").key)
    assert len(keys) == len(other) + 3
    keys.add(Cell(noise=0.1).key)
    assert len(keys) == len(other) + 4
    assert set(AXES) - set(other) == {"method", "init", "noise"}


def test_a_constrained_methods_penalty_is_none_and_a_cure_keeps_its():
    for name, entry in components.methods().items():
        cell = Cell(method=name, penalty="huber(delta=0.1)", reg=7, lr=0.5, schedule="cosine", steps=9)
        cure = name == "adam" or name in CURES
        assert entry.uses_penalty == cure
        assert (cell.penalty, cell.reg) == (("huber(delta=0.1)", 7.0) if cure else ("none", 0.0)), name
        closed = name.startswith("procrustes")
        assert (cell.steps, cell.lr, cell.schedule) == ((1, 1e-3, "constant") if closed else (9, 0.5, "cosine")), name
        assert Cell(**cell.settings) == cell  # canonical already
        same = Cell(method=name, penalty="l1", reg=3, lr=0.5, schedule="cosine", steps=9)
        assert (same.key == cell.key) == (not cure)


def test_a_methods_options_are_canonical():
    assert Cell(method=" landing( strength = 1 ) ").method == Cell(method="landing(strength=1e0)").method == "landing"
    assert Cell(method="landing(strength=1e-2)").method == "landing(strength=0.01)"
    assert Cell(method="landing(strength=0.01)").key != Cell(method="landing").key
    assert Cell(method="parseval( beta=0.5)").method == "parseval(beta=0.5)"
    assert Cell(method="reg_ramp(low=0.0001)").method == "reg_ramp"
    for wrong in ("landing(beta=1)", "landing(strength=-1)", "adam(beta=1)", "pogo(strength=1)", "Landing", "landing("):
        with pytest.raises(ConfigError):
            Cell(method=wrong)


def test_an_option_is_given_once():
    with pytest.raises(ConfigError, match="given twice"):
        Cell(method="landing(strength=2,strength=1)")


def test_a_library_without_bfloat16_is_refused_before_training():
    with pytest.raises(ConfigError, match="bfloat16"):
        Cell(method="geoopt", dtype="bfloat16")


def test_settings_without_influence_do_not_make_another_cell():
    assert Cell(penalty="none", reg=3).key == Cell(penalty="none", reg=4).key
    assert Cell(penalty="huber(delta=0.001)").key == Cell(penalty=" huber ").key
    assert Cell(penalty="huber( delta = 1e-2 )").penalty == "huber(delta=0.01)"


def test_blocks_are_views_of_cells_trained_once():
    raw = {
        "run": "x",
        "defaults": {"dimension": 8},
        "blocks": [
            {"name": "a", "axes": {"seed": [1, 2, 2, "2"]}},
            {"name": "b", "axes": {"seed": [2, 3], "reg": "1e3"}},
        ],
    }
    config = check_config(raw)
    assert [len(b.cells) for b in config.blocks] == [2, 2]
    assert len(config.cells) == 3 and len(config.membership) == 4


def edited(**changes):
    raw = copy.deepcopy(GOOD)
    raw["blocks"][0]["axes"] |= changes
    return raw


WRONG = {
    "unknown penalty": (edited(penalty="fro3"), ["penalty", "'fro3'", "one of", "did you mean 'fro"]),
    "misspelt axis": (edited(penalti="fro2"), ["unknown axis 'penalti'", "did you mean 'penalty'"]),
    "negative reg": (edited(reg=-1), ["reg", "'-1'", "a number ≥ 0"]),
    "reg a word": (edited(reg=["big"]), ["reg", "'big'", "a number ≥ 0"]),
    "reg not finite": (edited(reg=float("inf")), ["reg", "'inf'"]),
    "reg none": (edited(reg=None), ["reg", "'None'"]),
    "no samples": (edited(samples=0), ["samples", "'0'", "an integer ≥ 1"]),
    "half a sample": (edited(samples=2.5), ["samples", "'2.5'", "an integer"]),
    "lr zero": (edited(lr=0), ["lr", "a number > 0"]),
    "bias a number": (edited(bias=1), ["bias", "true or false"]),
    "seed true": (edited(seed=True), ["seed", "'True'"]),
    "empty axis": (edited(reg=[]), ["reg", "empty", "at least one"]),
    "twin that matches": (edited(init="twin"), ["twin", "determinant: mismatch"]),
    "one whitened sample": (edited(inputs="whitened", samples=1), ["whitened", "samples ≥ 2"]),
    "unknown option": (edited(penalty="huber(delt=1)"), ["no option 'delt'", "did you mean 'delta'"]),
    "option below zero": (edited(penalty="huber(delta=-1)"), ["delta", "≥ 0"]),
    "option for none": (edited(penalty="fro2(delta=1)"), ["fro2 has no option"]),
    "unknown method": (edited(method="rmsprop"), ["method", "'rmsprop'", "adam"]),
    "doubled block": ({**GOOD, "blocks": GOOD["blocks"] * 2}, ["block 'a'", "used twice"]),
    "no blocks": ({"run": "x", "blocks": []}, ["blocks", "at least one"]),
    "blocks missing": ({"run": "x"}, ["key 'blocks' is missing"]),
    "run missing": ({"blocks": GOOD["blocks"]}, ["key 'run' is missing"]),
    "run with a slash": ({**GOOD, "run": "../x"}, ["run", "'../x'"]),
    "unknown key": ({**GOOD, "devise": "cpu"}, ["unknown key 'devise'", "did you mean 'device'"]),
    "unknown device": ({**GOOD, "device": "gpu"}, ["device", "'gpu'", "auto, cpu, cuda"]),
    "block without axes": ({"run": "x", "blocks": [{"name": "a"}]}, ["block 'a'", "key 'axes' is missing"]),
    "list as default": ({**GOOD, "defaults": {"reg": [1, 2]}}, ["defaults.reg", "single value"]),
    "axes a list": ({"run": "x", "blocks": [{"name": "a", "axes": ["reg"]}]}, ["axes", "mapping"]),
}  # fmt: skip


@pytest.mark.parametrize("raw, fragments", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_config_is_told_key_value_range_and_mend(raw, fragments):
    with pytest.raises(ConfigError) as caught:
        check_config(raw, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml cannot be run; nothing was trained.")
    for fragment in fragments:
        assert fragment in message


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        check_config(edited(reg=-1, samples=0, penalty="x"))
    assert str(caught.value).count("\n  - ") == 3


def test_broken_yaml_and_missing_files_are_told(tmp_path):
    (tmp_path / "a.yaml").write_text("run: [")
    with pytest.raises(ConfigError, match="no valid YAML"):
        load_config(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"did you mean 'a\.yaml'"):
        load_config(tmp_path / "aa.yaml")


def test_command_line_stops_a_wrong_config_without_torch(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(edited(penalty="fro3")))
    code = (
        "import sys; from orthogrid.__main__ import main;"
        f"status = main(['check', '--config', {str(tmp_path / 'a.yaml')!r}]);"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "did you mean" in done.stderr


def test_schema_file_is_generated_and_describes_every_key():
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
    assert schema == json_schema(), "regenerate it: make schema"
    block = schema["properties"]["blocks"]["items"]["properties"]
    keys = [*schema["properties"].values(), *block.values(), *block["axes"]["properties"].values()]
    assert all(len(key["description"]) > 15 for key in keys)
    assert set(block["axes"]["properties"]) == set(AXES)


# Which the schema cannot say: names of the registries, relations between settings, doubled names.
BEYOND_SCHEMA = {
    "unknown penalty", "unknown option", "option below zero", "option for none", "unknown method", "twin that matches",
    "one whitened sample", "doubled block", "reg not finite",
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in WRONG if n not in BEYOND_SCHEMA])
def test_schema_refuses_what_the_check_refuses(name):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(WRONG[name][0], json_schema())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_shipped_configs_are_valid_and_hold_the_full_cross(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), json_schema())
    config = shipped(path)
    full = next(b for b in config.blocks if b.name == "grid")
    axes = {
        name: {getattr(c, name) for c in full.cells} for name in ("penalty", "reg", "samples", "determinant", "seed")
    }
    assert all(len(values) >= 2 for values in axes.values())
    with_reg = {(c.penalty, c.reg, c.samples, c.determinant, c.seed) for c in full.cells if c.penalty != "none"}
    product = len(axes["penalty"] - {"none"}) * len(axes["reg"] - {0.0}) * len(axes["samples"]) * 2 * len(axes["seed"])
    assert len(with_reg) == product
    assert min(axes["samples"]) < full.cells[0].dimension < max(axes["samples"])


def test_every_config_asks_the_same_questions():
    first, *others = ([(block.name, block.question) for block in shipped(path).blocks] for path in CONFIGS)
    assert all(questions == first for questions in others)
    smoke = shipped(ROOT / "config" / "smoke.yaml")
    assert "all, each once" in describe(Plan(smoke), 2)


def test_published_and_default_runs_have_the_promised_sizes():
    def dimensions(config, name):
        return {
            c.dimension for b in shipped(ROOT / "config" / f"{config}.yaml").blocks if b.name == name for c in b.cells
        }

    for name in ("thread_b", "thread_a", "ablation"):
        assert dimensions("config", name) == {500}
    # What the abstract says stands at the thread's dimension in the published run.
    for name in ("thread_b", "identifiability", "large_convergence", "large_white", "large_trap", "large_cure"):
        assert dimensions("full", name) == {500}
    assert all(Cell() in shipped(ROOT / "config" / f"{name}.yaml").cells for name in ("config", "full"))


def test_the_published_run_has_seeds_that_no_other_run_has_and_can_be_finished():
    full, *others = (shipped(ROOT / "config" / f"{name}.yaml") for name in ("full", "config", "smoke"))
    thread = Cell().seed
    assert min({cell.seed for cell in full.cells} - {thread}) > 100
    assert max({cell.seed for other in others for cell in other.cells} - {thread}) <= 100
    assert sum(map(operations, full.cells)) < 1.2e15


def test_a_time_is_that_of_rows_of_the_same_shape_else_of_the_table():
    cell = Cell(dimension=100, samples=200, steps=1000)
    row = {name: str(value) for name, value in cell.settings.items()} | {"seconds": "5", "seconds_per_step": "0.003"}
    assert Costs([row]).seconds(replace(cell, steps=2000, reg=3, seed=9)) == pytest.approx(8)
    by_table = Costs([row]).seconds(replace(cell, dimension=101))
    assert by_table == Costs().seconds(replace(cell, dimension=101)) != 5
    # Larger, longer and decomposed is dearer.
    table = Costs()
    dearer = [
        cell,
        replace(cell, steps=2000),
        replace(cell, dimension=300),
        replace(cell, dimension=300, penalty="nuclear"),
    ]
    times = [table.seconds(c) for c in dearer]
    assert times == sorted(times) and times[-1] > 10 * times[0]
    assert table.seconds(replace(cell, dimension=2)) > 0 and table.seconds(replace(cell, dimension=3000)) > times[-1]


def test_operations_are_counted_by_hand():
    assert operations(Cell(dimension=10, samples=3, steps=2)) == 2 * (4 * 3 * 100 + 4 * 1000)
    assert operations(Cell(dimension=10, samples=3, steps=2, penalty="l1_detached")) == 2 * 4 * 3 * 100


def test_keys_are_those_of_rows_made_long_ago():
    """A key that changed would leave every published row without a cell."""
    assert Cell().key == "1258cf797150"
    assert Cell(penalty="l1_detached", reg=0.001, steps=10_000, seed=101).key == "46236e33f4ac"


@pytest.mark.parametrize(
    "axis", [axis for axis in AXES.values() if axis.minimum is not None], ids=lambda axis: axis.name
)
def test_a_number_below_its_least_is_refused_and_the_least_is_taken(axis):
    assert axis.kind in (int, float)
    with pytest.raises(ConfigError, match="is not allowed"):
        Cell(**{axis.name: axis.minimum - 1})
    if axis.exclusive:
        with pytest.raises(ConfigError, match="is not allowed"):
            Cell(**{axis.name: axis.minimum})
    else:
        assert getattr(Cell(**{axis.name: axis.minimum}), axis.name) == axis.minimum


def test_what_a_table_calls_a_cells_training():
    assert Cell(penalty="huber(delta=0.1)").label == "huber" and Cell(method="sgd").label == "sgd"


def test_the_code_of_a_cell_is_that_of_its_penalty_and_method():
    assert (
        Cell(penalty="huber(delta=0.1)", method="sgd").code
        == components.code_digest("huber", "sgd", "linear")
        != Cell().code
    )


def test_seeds_end_where_torchs_do():
    assert Cell(seed=2**63 - 1).seed == 2**63 - 1
    for seed in (2**63, -1):
        with pytest.raises(ConfigError, match="seed"):
            Cell(seed=seed)


def test_settings_may_be_numpys():
    assert Cell(dimension=np.int64(20), reg=np.float64(3), bias=np.bool_(False)) == Cell(
        dimension=20, reg=3.0, bias=False
    )
