"""Command line: python -m orthogrid {check,plan,train,show,diff,verify,freeze,schema,latex,diagnose}.

What imports torch or pandas is imported by the commands that need it: a plan takes a moment.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from argparse import Namespace
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from .cells.components import ConfigError
from .cells.config import json_schema, load_config
from .cells.declarations import complaints
from .jobs.failures import in_words
from .jobs.locks import hold, let_go
from .jobs.own import load_code, try_penalties
from .jobs.plan import Plan, Shard, describe
from .jobs.progress import how_many
from .jobs.store import Store
from .jobs.workers import die_with_parent


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit status: 2 for a wrong config, 1 for another failure or a comparison that does not hold."""
    parser = argparse.ArgumentParser(prog="python -m orthogrid", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    parsers = {name: commands.add_parser(name, help=text) for name, (_, text) in COMMANDS.items()}
    for names, option, text, details in OPTIONS:
        for name in names.split():
            parsers[name].add_argument(option, help=text, **details)
    options = parser.parse_args(arguments)
    _mend_streams()
    try:
        return COMMANDS[options.command][0](options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if (words := in_words(error)) is None:
            raise
        print(words, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def _check(options: Namespace) -> int:
    config = load_config(options.config)
    load_code(config.code)  # imports torch, if there is any code
    odd = try_penalties(cell.penalty for cell in config.cells)
    found = f"{options.config}: {how_many(len(config.cells), 'cell')} in {how_many(len(config.blocks), 'block')}"
    return _print("\n  note: ".join([found, *odd, *complaints(config)]))


def _plan(options: Namespace) -> int:
    plan = Plan(load_config(options.config))
    if not options.nothing_new:
        return _print(describe(plan, options.workers or os.cpu_count() or 1))
    if not plan.missing:
        return 0
    print(
        f"{options.config}: {len(plan.missing)} of its {len(plan.config.cells)} cells have no row of today's code, so it "
        f"cannot be rendered without training. To train them: python -m orthogrid train --config {shlex.quote(options.config)}",
        file=sys.stderr,
    )
    return 1


def _train(options: Namespace) -> int:
    if options.again and not options.key:
        raise ConfigError("--again goes with --key KEY: it trains one cell once more")
    for name in ("seeds", "minutes", "workers"):
        if (value := getattr(options, name)) is not None and value <= 0:
            raise ConfigError(f"--{name} {value}: must be > 0; leave it out to train everything")
    shard = Path(options.shard or "")
    if options.shard and (store := Store(shard.parents[1])).holds(shard.stem):
        print("training: the rows of this job are there already, so nothing is trained", file=sys.stderr)
        store.mark(shard.stem)
        return 0
    from .jobs.runner import TrainingError  # imports torch, which a finished job need not wait for

    try:
        return _train_shard(options) if options.shard else _train_config(options)
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        let_go()


def _train_shard(options: Namespace) -> int:
    from .jobs.runner import train_cells

    die_with_parent(os.getppid(), signal.SIGTERM)  # a job whose Snakemake was killed is nobody's
    shard = Shard.read(options.shard)
    load_code(shard.code)  # before anything trains
    how = {"workers": options.workers or os.cpu_count(), "minutes": options.minutes, "log": options.log}
    trained = train_cells(shard.cells, shard.root, options.device or shard.device, name=shard.name, **how)
    Store(shard.root).mark(shard.name)
    return _print(json.dumps({"shard": shard.name, "cells": len(shard.cells), "trained": trained}))


def _train_config(options: Namespace) -> int:
    from .jobs.runner import train_run
    from .tools.show import find_cell
    from .tools.verify import train_again

    config = load_config(options.config, results=options.results)
    if options.again:
        load_code(config.code)
        return _print(*train_again(config, options.key))
    cells = config.part(options.blocks, options.seeds, options.only)
    cells = [find_cell(config, options.key)] if options.key else cells
    hold(config.root)
    how = {"workers": options.workers or os.cpu_count(), "minutes": options.minutes}
    log = options.log or config.root / "logs" / "train.log"
    trained = train_run(config, cells, device=options.device or config.device, log=log, **how)
    if not trained and not Store(config.root).unfiled(cells):  # --minutes may have left all of them
        print("nothing to train: all are trained; to train one again, --key KEY --again", file=sys.stderr)
    return _print(json.dumps({"run": config.run, "cells": len(cells), "trained": trained}))


def _show(options: Namespace) -> int:
    from .tools.show import show

    return _print(show(load_config(options.config), options.key, options.png))


def _diff(options: Namespace) -> int:
    from .tools import diff

    found = diff.difference(options.a, options.b)
    return _print(json.dumps(found, indent=1) if options.json else diff.describe(found))


def _verify(options: Namespace) -> int:
    from .tools.verify import verify

    config = load_config(options.config)
    load_code(config.code)
    workers = options.workers or os.cpu_count() or 1
    return _print(*verify(config, options.minutes, workers, options.seed, options.cells))


def _freeze(options: Namespace) -> int:
    from .tools.freeze import add_freeze

    new = add_freeze(options.file, load_config(options.config), options.why, options.explored)
    return _print(
        f"freeze {new['number']}: ledger {new['ledger']}, {options.config} {new['config']}; commit {options.file} now"
    )


def _schema(options: Namespace) -> int:
    import yaml

    return _print(yaml.safe_dump(json_schema(), sort_keys=False, allow_unicode=True, width=120).rstrip("\n"))


def _diagnose(options: Namespace) -> int:
    from .practice.diagnose import diagnose
    from .practice.tables import read_matrix

    try:
        weight, x, y = (read_matrix(getattr(options, name), name) for name in ("weight", "x", "y"))
        how = dict(reg=options.reg, loss=options.loss, optimizer=options.lr, bias=options.bias)
        return _print(str(diagnose(weight, x, y, options.penalty, **how)))
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from None


def _latex(options: Namespace) -> int:
    from .publishing.latex import main as latex

    return latex(["--install"] * options.install)


def _print(text: str, holds: bool = True) -> int:
    """Print a report. Returns the exit status: 1 for a comparison that does not hold, or a report that cannot be printed."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more at its end
        if not isinstance(error, BrokenPipeError):  # a reader such as `head` that has seen enough
            print(f"what was found could not be printed: {error.strerror}", file=sys.stderr)
            return 1
    return 0 if holds else 1


def _mend_streams() -> None:
    """Let every character be printed in some way, and words for a stream that is closed go nowhere."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # or a file of rows would take its number
        pass
    os.close(spare)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if (stream := getattr(sys, name)) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8"))
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


COMMANDS = {
    "check": (_check, "check a config and say what is wrong"),
    "plan": (_plan, "show a config's blocks, what is new in them and what it costs"),
    "train": (_train, "make the rows of a config; those that are there are kept"),
    "show": (_show, "one cell: settings, what came out, its trace"),
    "diff": (_diff, "what changed between two runs"),
    "verify": (_verify, "train a sample of a run's rows once more and compare"),
    "freeze": (_freeze, "record ledger and published config as decided, before their rows are seen"),
    "schema": (_schema, "print the JSON Schema of a config as YAML"),
    "diagnose": (_diagnose, "which obstacle a layer of your own faces"),
    "latex": (_latex, "say whether LaTeX can build the paper, and what is missing"),
}

YAML, RUN = "YAML file (default: %(default)s)", "a folder such as results/default, or COMMIT:results/full"
SWITCH, FILE, NUMBER = {"action": "store_true"}, {"metavar": "FILE"}, {"type": int, "metavar": "N"}
NEEDED = {"required": True}
# The commands that take an option, its name, its help, and what else argparse's add_argument is given.
OPTIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("show", "key", "the cell's key, or the beginning of it", {}),
    ("diff", "a", RUN, {}),
    ("diff", "b", RUN, {}),
    ("check plan train show", "--config", YAML, {"default": "config/config.yaml"}),
    ("verify freeze", "--config", YAML, {"default": "config/full.yaml"}),
    ("plan train verify", "--workers", "processes (default: one a core)", NUMBER),
    ("plan", "--nothing-new", "only fail where something would be trained", SWITCH),
    ("train", "--device", "overrides the config's device", {"choices": ("auto", "cpu", "cuda")}),
    ("train", "--results", "folder of the runs, in place of the config's", {"metavar": "FOLDER"}),
    ("train", "--only", "penalties or methods to train", {"nargs": "+", "metavar": "NAME", "default": ()}),
    ("train", "--blocks", "blocks to train", {"nargs": "+", "metavar": "BLOCK", "default": ()}),
    ("train", "--seeds", "only the first N seeds of each block", NUMBER),
    ("train", "--minutes", "cheapest cells first; start nothing new after M minutes", {"type": float, "metavar": "M"}),
    ("train", "--shard", "one job as the workflow planned it, in place of a config", FILE),
    ("train", "--log", "where progress is also written", FILE),
    ("train", "--key", "one cell, by its key or the beginning of it", {"metavar": "KEY"}),
    ("train", "--again", "with --key: train it apart from the run's files and compare the bits", SWITCH),
    ("show", "--png", "draw the trace into a picture", FILE),
    ("diff", "--json", "for machines", SWITCH),
    ("verify", "--minutes", "about how long (default: %(default)s)", {"type": float, "default": 5.0}),
    ("verify", "--cells", "at most so many", NUMBER),
    ("verify", "--seed", "of the sample (default: %(default)s)", {"type": int, "default": 1}),
    ("freeze", "--file", "the record (default: %(default)s)", {"default": "config/frozen.csv"}),
    ("freeze", "--explored", "claims.csv of the exploratory run, to be held beside the published one", FILE),
    ("freeze", "--why", "what this freeze decides or changes", NEEDED),
    ("diagnose", "--weight", "its weight, outputs by inputs: .pt, .npy, .npz or .csv", FILE | NEEDED),
    ("diagnose", "--x", "samples, a row each", FILE | NEEDED),
    ("diagnose", "--y", "what the samples are to be mapped to, a row each", FILE | NEEDED),
    ("diagnose", "--reg", "the penalty's weight in the loss", {"type": float} | NEEDED),
    (
        "diagnose",
        "--penalty",
        "its name: fro2 for squares, l1 for absolute values, fro for the norm, or another (default: %(default)s)",
        {"default": "fro2"},
    ),
    ("diagnose", "--lr", "Adam's learning rate, for the floor of l1 and for its first steps", {"type": float}),
    (
        "diagnose",
        "--loss",
        "how squared errors add up (default: mean)",
        {"choices": ("mean", "sum"), "default": "mean"},
    ),
    ("diagnose", "--bias", "the layer has a bias", SWITCH),
    ("latex", "--install", "install it where that needs no question", SWITCH),
]

if __name__ == "__main__":
    sys.exit(main())
