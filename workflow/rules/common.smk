import orthogrid
from orthogrid.config import check_config
from orthogrid.grid import ConfigError
from orthogrid.latex import missing_latex
from snakemake.exceptions import WorkflowError

orthogrid.offer_to_child_processes()


def check_plan(config, files):
    """The checked config; a wrong one stops here, in words a person can act on."""
    try:
        return check_config(config, source=", ".join(map(str, files)))
    except ConfigError as error:
        raise WorkflowError(str(error))


def require_latex(wildcards):
    """No file: stops the plan, before any training, on a machine that could not build the paper."""
    complaint = missing_latex()
    if complaint:
        raise WorkflowError(complaint)
    return []
