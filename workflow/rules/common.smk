import glob
import hashlib
import signal
import subprocess

import orthogrid
import psutil
from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import RUNS_CODE, check_config
from orthogrid.jobs.failures import in_words
from orthogrid.cells.declarations import figure_names, own_readers
from orthogrid.jobs.files import cache_folder
from orthogrid.cells.sources import digest_of, imported_files
from orthogrid.publishing.latex import failed_build, missing_latex
from orthogrid.jobs.locks import hold, require_run_folder
from orthogrid.jobs.plan import Plan, summary
from orthogrid.jobs.records import set_aside_edited
from orthogrid.publishing.sources import asked
from orthogrid.jobs.store import Store
from orthogrid.cells.yamlfile import read_yaml

orthogrid.offer_to_child_processes()

# Of a job that is a process of its own; with --sdm conda the environment's python goes first.
if "conda" not in map(str, workflow.deployment_settings.deployment_method):
    os.environ.setdefault("ORTHOGRID_PYTHON", sys.executable)


def here(path):
    """A file of the project, wherever Snakemake is called from."""
    return os.path.relpath(PROJECT / path)


def make_plan(config, files):
    """The plan of the checked config; a wrong one stops here, in words a person can act on."""
    taken = not workflow.modifier.is_main_snakefile()  # as a module, whose onstart Snakemake does not call
    if taken and not config:
        stop_with(
            "This workflow got no config from the Snakefile that takes it: write `config: config` under `module`."
        )
    try:
        for file in files:  # Snakemake has read it already, by another reader, which takes what ours refuses
            raw = read_yaml(file)
            if any(key in raw for key in RUNS_CODE):
                check_config(raw, source=os.path.relpath(file))  # which names the key
        checked = check_config(config, source=", ".join(map(os.path.relpath, files)) or "config")
        own_readers(checked.code)  # a wrong figure or claim stops the plan before anything trains
        require_run_folder(checked.root)
        if workflow.is_main_process:
            # Even for a dry run: a damaged file in the place of one to be written would look finished.
            for damage in (*Store(checked.root).set_aside(), *set_aside_edited(checked.root)):
                logger.warning(damage)
        plan = Plan(checked)
        if workflow.is_main_process:
            plan.mark_trained()
            if taken:
                plan.write_shards()
            for line in summary(plan, workflow.cores or os.cpu_count()):
                logger.info(line)
        return plan
    except Exception as error:
        give_up(error)


def give_up(error):
    """Ends Snakemake in words where there are any."""
    if words := in_words(error):
        stop_with(words)
    raise error


def stop_with(words):
    """Ends Snakemake in these words alone. Its own errors add lines of the Snakefile, of no use to a person."""
    logger.error(words)
    sys.exit(1)


def pass_on_signals():
    """Let a SIGTERM or SIGINT that reaches Snakemake alone reach its training job too.

    Snakemake ends when its running jobs have ended, and a training job ends within seconds of a signal of its own.
    """
    for number in (signal.SIGTERM, signal.SIGINT):

        def stop(number, frame, snakemakes_own=signal.getsignal(number)):
            for child in psutil.Process().children(recursive=True):
                if {"orthogrid", "train"} <= set(child.cmdline()):
                    child.terminate()
                    break  # its workers are its own to end
            if callable(snakemakes_own):
                snakemakes_own(number, frame)

        signal.signal(number, stop)


def source_digest(code):
    """Changes with any line of the library or of a user's files: what is written from rows is made anew when its code changes.

    Training does not look at it: a row's own code digest says whether it is stale.
    """
    own = {path for file in code for path in imported_files(Path(file).expanduser())}
    files = [*sorted(Path(orthogrid.__file__).parent.rglob("*.py")), *sorted(own)]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def hold_folder():
    """One run at a time in a folder of results, into which its shards are written."""
    try:
        hold(PLAN.config.root)
        PLAN.write_shards()
    except Exception as error:
        give_up(error)


def require_code(code):
    """Runs the config's own files once in a process of its own: one that fails is told before any job starts.

    With --sdm conda the jobs' Python is another one than this, so they are the first to tell.
    """
    python = os.environ.get("ORTHOGRID_PYTHON")
    if code and python:
        done = subprocess.run([python, "-m", "orthogrid.jobs.own", *code], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            stop_with(f"{done.stderr.strip()}\nNothing was trained.")


def require_latex(wildcards):
    """No file: stops the plan, before any training, on a machine that could not build the paper."""
    complaint = missing_latex()
    if complaint:
        stop_with(complaint)
    return []


def failed_figures():
    """A text that changes with each drawing that failed, and what failed in the last one."""
    path = Path(CACHE, "figures.failed")
    return (path.read_text(encoding="utf-8") if path.exists() else "\n").split("\n", 1)


def caption_of(name):
    """The file of a figure's caption in Snakemake's report, written with it. Found from here, not from the folder of the call."""
    return os.path.abspath(f"{PLAN.config.root}/figures/{name}.rst")
