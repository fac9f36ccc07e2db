"""Command line: python -m orthogrid {check,plan,train,show,diff,verify,freeze,schema,latex}."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from .cells.catalog import ConfigError
from .cells.config import json_schema, load_config
from .jobs.failures import in_words


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m orthogrid", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("check", "check a config and say what is wrong"),
        ("plan", "show a config's blocks, what is new in them and what it costs"),
        ("train", "make the rows of a config; finished ones are kept"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", default="config/config.yaml", help="YAML file (default: %(default)s)")
        if name != "check":
            command.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
        if name == "plan":
            command.add_argument(
                "--nothing-new", action="store_true", help="only fail where something would be trained"
            )
    add = command.add_argument
    add("--device", choices=("auto", "cpu", "cuda"), help="overrides the config's device")
    add("--results", metavar="FOLDER", help="folder of the runs, in place of the config's")
    add("--only", nargs="+", metavar="NAME", default=(), help="penalties or methods to train")
    add("--blocks", nargs="+", metavar="BLOCK", default=(), help="blocks to train")
    add("--seeds", type=int, metavar="N", help="only the first N seeds of each block")
    add("--minutes", type=float, metavar="M", help="cheapest cells first; start nothing new after M minutes")
    add("--shard", metavar="FILE", help="one job as the workflow planned it, in place of a config")
    add("--log", metavar="FILE", help="where progress is also written")
    add("--key", metavar="KEY", help="one cell, by its key or the beginning of it")
    add("--again", action="store_true", help="with --key: train it apart from the run's files and compare the bits")
    one = commands.add_parser("show", help="one cell: settings, what came out, its trace")
    one.add_argument("key", help="the cell's key, or the beginning of it")
    one.add_argument("--config", default="config/config.yaml", help="YAML file (default: %(default)s)")
    one.add_argument("--png", metavar="FILE", help="draw the trace into a picture")
    two = commands.add_parser("diff", help="what changed between two runs")
    for name in ("a", "b"):
        two.add_argument(name, help="a folder such as results/default, or COMMIT:results/full")
    two.add_argument("--json", action="store_true", help="for machines")
    again = commands.add_parser("verify", help="train a sample of a run's rows once more and compare")
    again.add_argument("--config", default="config/full.yaml", help="YAML file (default: %(default)s)")
    again.add_argument("--minutes", type=float, default=5.0, help="about how long (default: %(default)s)")
    again.add_argument("--cells", type=int, metavar="N", help="at most so many")
    again.add_argument("--seed", type=int, default=1, help="of the sample (default: %(default)s)")
    again.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    freeze = commands.add_parser(
        "freeze", help="record ledger and published config as decided, before their rows are seen"
    )
    freeze.add_argument("--config", default="config/full.yaml", help="YAML file (default: %(default)s)")
    freeze.add_argument("--file", default="config/frozen.csv", help="the record (default: %(default)s)")
    freeze.add_argument(
        "--explored", metavar="FILE", help="claims.csv of the exploratory run, to be held beside the published one"
    )
    freeze.add_argument("--why", required=True, help="what this freeze decides or changes")
    commands.add_parser("schema", help="print the JSON Schema of a config as YAML")
    latex = commands.add_parser("latex", help="say whether LaTeX can build the paper, and what is missing")
    latex.add_argument("--install", action="store_true", help="install it where that needs no question")
    options = parser.parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if (words := in_words(error)) is None:
            raise
        print(words, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def _latex(options: argparse.Namespace) -> int:
    from .publishing.latex import main as latex

    return latex(["--install"] * options.install)


def _schema(options: argparse.Namespace) -> int:
    import yaml

    print(yaml.safe_dump(json_schema(), sort_keys=False, allow_unicode=True, width=120), end="")
    return 0


def _check(options: argparse.Namespace) -> int:
    from .cells.declarations import complaints
    from .jobs.progress import how_many
    from .tools.own import load_code, try_penalties

    config = load_config(options.config)
    load_code(config.code)  # imports torch, if there is any code
    odd = try_penalties(cell.penalty for cell in config.cells) if config.code else []
    print(f"{options.config}: {how_many(len(config.cells), 'cell')} in {how_many(len(config.blocks), 'block')}")
    for complaint in (*odd, *complaints(config)):
        print(f"  note: {complaint}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from .jobs.plan import Plan, describe

    plan = Plan(load_config(options.config))
    if options.nothing_new:
        if plan.missing:
            print(
                f"{options.config}: {len(plan.missing)} of its {len(plan.config.cells)} cells have no row of today's code, so it "
                f"cannot be rendered without training. To train them: python -m orthogrid train --config {options.config}",
                file=sys.stderr,
            )
        return 1 if plan.missing else 0
    print(describe(plan, options.workers or os.cpu_count() or 1))
    return 0


def _train(options: argparse.Namespace) -> int:
    if options.shard and _is_trained(Path(options.shard)):
        return 0
    from .jobs.locks import hold, let_go
    from .jobs.plan import Shard
    from .jobs.runner import TrainingError, train_cells, train_run  # imports torch
    from .jobs.store import Store
    from .jobs.workers import die_with_parent
    from .tools.own import load_code
    from .tools.show import again, find_cell

    if options.again and not options.key:
        raise ConfigError("--again goes with --key KEY: it trains one cell once more")
    for name in ("seeds", "minutes", "workers"):
        if (value := getattr(options, name)) is not None and value <= 0:
            raise ConfigError(f"--{name} {value}: must be > 0; leave it out to train everything")
    how = {"workers": options.workers or os.cpu_count(), "minutes": options.minutes, "log": options.log}
    try:
        if options.shard:
            die_with_parent(os.getppid(), signal.SIGTERM)  # a job whose Snakemake was killed is nobody's
            shard = Shard.read(options.shard)
            load_code(shard.code)  # before anything trains
            trained = train_cells(shard.cells, shard.root, options.device or shard.device, name=shard.name, **how)
            print(json.dumps({"shard": shard.name, "cells": len(shard.cells), "trained": trained}))
            Store(shard.root).mark(shard.name)
            return 0
        config = load_config(options.config, results=options.results)
        if options.key and options.again:
            load_code(config.code)
            told, agrees = again(config, options.key)
            print(told)
            return 0 if agrees else 1
        cells = config.part(options.blocks, options.seeds, options.only)
        cells = [find_cell(config, options.key)] if options.key else cells
        hold(config.root)
        how["log"] = options.log or config.root / "logs" / "train.log"
        trained = train_run(config, cells, device=options.device or config.device, **how)
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        let_go()
    if not trained and not Store(config.root).unfiled(cells):  # --minutes may have left all of them
        print("nothing to train: all are finished; to train one again, --key KEY --again", file=sys.stderr)
    print(json.dumps({"run": config.run, "cells": len(cells), "trained": trained}))
    return 0


def _is_trained(shard: Path) -> bool:
    """Whether a job's rows file is there already; then it is marked so, and torch need not be loaded."""
    from .jobs.store import Store

    store = Store(shard.parents[1])
    there = store.holds(shard.stem)
    if there:
        print("training: the rows of this job are there already, so nothing is trained", file=sys.stderr)
        store.mark(shard.stem)
    return there


def _show(options: argparse.Namespace) -> int:
    from .tools.show import show

    print(show(load_config(options.config), options.key, options.png))
    return 0


def _diff(options: argparse.Namespace) -> int:
    from .tools.diff import describe, difference

    found = difference(options.a, options.b)
    print(json.dumps(found, indent=1) if options.json else describe(found))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from .jobs.plan import measured_costs
    from .jobs.store import Store
    from .tools.own import load_code
    from .tools.verify import verify

    config = load_config(options.config)
    load_code(config.code)
    costs = measured_costs(Store(config.root))
    told, agrees = verify(
        config, costs, options.minutes, options.workers or os.cpu_count() or 1, options.seed, options.cells
    )
    print(told)
    return 0 if agrees else 1


def _freeze(options: argparse.Namespace) -> int:
    from .tools.freeze import add_freeze

    new = add_freeze(options.file, load_config(options.config), options.why, options.explored)
    print(f"freeze {new.number}: ledger {new.ledger}, {options.config} {new.config}; commit {options.file} now")
    return 0


COMMANDS = {
    "check": _check, "plan": _plan, "train": _train, "show": _show, "diff": _diff, "verify": _verify, "freeze": _freeze, "schema": _schema, "latex": _latex,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
