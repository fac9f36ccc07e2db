"""Command line: python -m orthogrid {check,plan,train,schema,latex}."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .cell import ConfigError
from .config import Config, json_schema, load_config


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m orthogrid", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("check", "check a config and say what is wrong"),
        ("plan", "show a config's blocks, jobs and operations"),
        ("train", "make the rows of a config; finished ones are kept"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", default="config/config.yaml", help="YAML file (default: %(default)s)")
        if name == "train":
            command.add_argument("--device", choices=("auto", "cpu", "cuda"), help="overrides the config's device")
            command.add_argument("--results", type=Path, default=Path("results"), help="folder of the runs")
            command.add_argument("--only", nargs="+", metavar="FAMILY", help="penalties or methods to train")
            command.add_argument("--blocks", nargs="+", metavar="BLOCK", default=(), help="blocks to train")
            command.add_argument("--seeds", type=int, metavar="N", help="only the first N seeds of each block")
            command.add_argument(
                "--minutes", type=float, metavar="M", help="cheapest cells first; start nothing new after M minutes"
            )
    commands.add_parser("schema", help="print the JSON Schema of a config as YAML")
    latex = commands.add_parser("latex", help="say whether LaTeX can build the paper, and what is missing")
    latex.add_argument("--install", action="store_true", help="install it where that needs no question")
    options = parser.parse_args(arguments)
    if options.command == "latex":
        from .latex import install_latex, missing_latex

        complaint = install_latex() if options.install else missing_latex()
        print(complaint, file=sys.stderr, end="\n" if complaint else "")
        return 1 if complaint else 0
    try:
        if options.command == "schema":
            import yaml

            print(yaml.safe_dump(json_schema(), sort_keys=False, allow_unicode=True, width=120), end="")
            return 0
        config = load_config(options.config)
        if options.command == "check":
            print(f"{options.config}: {len(config.cells)} cells in {len(config.blocks)} blocks")
        elif options.command == "plan":
            from .plan import describe

            print(describe(config))
        else:
            return _train(config, options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _train(config: Config, options: argparse.Namespace) -> int:
    from .runner import train_run  # imports torch

    families = {cells[0].family for cells in config.groups.values()}
    for name in set(options.only or ()) - families:
        raise ConfigError(f"--only {name}: the config trains {', '.join(sorted(families))}")
    for name in ("seeds", "minutes"):
        if (value := getattr(options, name)) is not None and value <= 0:
            raise ConfigError(f"--{name} {value}: must be > 0; leave it out to train everything")
    cells = config.part(options.blocks, options.seeds)
    cells = [cell for cell in cells if not options.only or cell.family in options.only]
    root = options.results / config.run
    trained = train_run(
        config, cells, root, options.device or config.device, options.minutes, root / "logs" / "train.log"
    )
    print(json.dumps({"run": config.run, "cells": len(cells), "trained": trained}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
