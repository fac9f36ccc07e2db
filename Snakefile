"""From a config to a paper. `snakemake --cores all` makes the default run, `--configfile config/smoke.yaml` a miniature."""

import os
import re
import sys
from pathlib import Path

# A second configfile would be merged into the first, default by default: read the default only where none is given.
if not workflow.configfiles:

    configfile: os.path.relpath(Path(workflow.basedir, "config", "config.yaml"))


# The library needs no installation: everything finds it where the Snakefile stands.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))


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


# On a cluster training alone is sent to it. The rest takes seconds.
localrules:
    predict_cells,
    aggregate_cells,
    draw_figures,
    write_values,
    build_paper,
    write_explorer,
    explorer,
    claims,
    clear_old_rows,
    train_all,
    all,


rule all:
    default_target: True
    input:
        f"{PLAN.config.root}/paper.pdf",
        rules.explorer.input,
        rules.train_all.input,


onsuccess:
    if (paper := Path(PLAN.config.root, "paper.pdf")).exists():
        logger.info(f"The paper of this run: {os.path.relpath(paper)}")


onstart:
    hold_folder()
    require_code(PLAN.config.code)
    pass_on_signals()
