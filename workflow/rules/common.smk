import hashlib

import orthogrid
from orthogrid.config import check_config
from orthogrid.cell import ConfigError
from orthogrid.latex import missing_latex
from snakemake.exceptions import WorkflowError

orthogrid.offer_to_child_processes()


def check_plan(config, files):
    """The checked config; a wrong one stops here, in words a person can act on."""
    try:
        return check_config(config, source=", ".join(map(str, files)))
    except ConfigError as error:
        raise WorkflowError(str(error))


def source_digest():
    """Changes with any line of the library: what is drawn and written from rows is made anew when its code changes.

    Training does not look at it: a row's own code digest says whether it is stale.
    """
    texts = (path.read_bytes() for path in sorted(Path(orthogrid.__file__).parent.rglob("*.py")))
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


def require_latex(wildcards):
    """No file: stops the plan, before any training, on a machine that could not build the paper."""
    complaint = missing_latex()
    if complaint:
        raise WorkflowError(complaint)
    return []
