"""From a config to a paper. `snakemake --cores all` makes the default run, `--configfile config/smoke.yaml` a miniature."""

import sys
from pathlib import Path

# A second configfile would be merged into the first, default by default: read the default only where none is given.
if "blocks" not in config:

    configfile: "config/config.yaml"


# The library needs no installation: everything finds it where the Snakefile stands.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))


include: "workflow/rules/common.smk"


PLAN = check_plan(config, workflow.configfiles)


wildcard_constraints:
    run=PLAN.run,
    group="[A-Za-z0-9_]+-[0-9a-f]{12}",


include: "workflow/rules/train.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/checks.smk"


rule all:
    default_target: True
    input:
        f"results/{PLAN.run}/paper.pdf",
        rules.train_all.input,
