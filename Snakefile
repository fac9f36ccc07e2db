"""From a config to a paper. `snakemake --cores all` makes the default run, `--configfile config/smoke.yaml` a miniature."""

import os
import re
import sys
from pathlib import Path

# Where this file stands, also if another Snakefile includes it or takes it as a module.
PROJECT = Path(str(workflow.current_basedir))
if not PROJECT.is_dir():  # fetched from a repository, file by file
    sys.exit(
        "The library and the paper's sources lie beside this Snakefile: clone the repository, and name the one in there."
    )

# A second configfile would be merged into the first, default by default: read the default only where none is given.
if not workflow.configfiles and workflow.modifier.is_main_snakefile():

    configfile: os.path.relpath(PROJECT / "config" / "config.yaml")


# The library needs no installation: everything finds it here.
sys.path.insert(0, str(PROJECT / "src"))


report: "workflow/report/run.rst"


include: "workflow/rules/common.smk"


PLAN = make_plan(config, workflow.configfiles)
CACHE = str(cache_folder(PLAN.config.root))
ASKED = asked(here("paper"))  # what the paper shows


wildcard_constraints:
    root=re.escape(str(PLAN.config.root)),
    shard="[0-9a-f]{12}",


include: "workflow/rules/train.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/explorer.smk"
include: "workflow/rules/checks.smk"


rule all:
    """The paper, the explorer, and the rows: what is made where nothing is asked for"""
    default_target: True
    input:
        f"{PLAN.config.root}/paper.pdf",
        rules.explorer.input,
        rules.train_all.input,


onsuccess:
    if (failed := failed_figures()) != FAILED and failed[1]:
        stop_with(f"{failed[1]}All else is made.")
    if (paper := Path(PLAN.config.root, "paper.pdf")).exists():
        logger.info(f"The paper of this run: {os.path.relpath(paper)}")


onstart:
    hold_folder()
    require_code(PLAN.config.code)
    pass_on_signals()
