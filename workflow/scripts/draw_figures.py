"""Draw the figures of a run."""

import uuid
from pathlib import Path

from orthogrid.cells.config import check_config
from orthogrid.jobs.failures import told
from orthogrid.jobs.files import write_bytes
from orthogrid.jobs.own import load_code
from orthogrid.jobs.progress import Progress
from orthogrid.jobs.records import on_record
from orthogrid.publishing.drawing import FigureError, draw_figures, write_captions
from orthogrid.run.run import Run

if __name__ == "__main__":
    with told(snakemake.log[0]), on_record(snakemake):
        results = Path(snakemake.input.cells).parent
        config = check_config(snakemake.config)
        load_code(config.code)  # before the workers are forked
        run = Run.read(config, results, Path(snakemake.input.log_a).parent)
        names = [Path(path).stem for path in snakemake.output]
        progress = Progress("figures", len(names), log=snakemake.log[0], every=5)
        folder, cache, failed = Path(snakemake.output[0]).parent, Path(snakemake.params.cache), ""
        how = {"cache": cache / "figures", "workers": snakemake.resources.workers}
        try:
            drawn = draw_figures(run, names, folder, lambda done, _: progress.update(done), **how)
            rest = ", the others are as they were" if len(drawn) < len(names) else ""
            words = f"{len(drawn)} of {len(names)} figures drawn{rest}"
        except FigureError as error:  # the others are drawn, and the paper is made of them; then the call fails
            failed = f"{error}\n"
            words = f"{len(failed.splitlines())} of {len(names)} figures failed:\n{failed}The others are drawn"
        write_captions(config, names, folder)
        mark = uuid.uuid4().hex if failed else snakemake.params.failed  # another one has them drawn again
        write_bytes(f"{mark}\n{failed}".encode(), cache / "figures.failed")
        progress.close(words)
