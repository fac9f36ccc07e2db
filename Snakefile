"""From a config to a paper. `snakemake --cores all` makes the default run, `--configfile config/smoke.yaml` a miniature."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# A second configfile would be merged into the first, default by default: read the default only where none is given.
if "blocks" not in config:

    configfile: "config/config.yaml"


try:
    from orthogrid.grid import ConfigError, check_config
except ModuleNotFoundError:
    raise WorkflowError("the package is not installed in this environment: python -m pip install -e .")

try:
    PLAN = check_config(config, source=", ".join(map(str, workflow.configfiles)))
except ConfigError as error:
    raise WorkflowError(str(error))


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
