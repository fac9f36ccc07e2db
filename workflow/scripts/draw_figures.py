"""Draw the figures of a run."""

from pathlib import Path

from orthogrid.cells.config import check_config
from orthogrid.jobs.failures import told
from orthogrid.jobs.own import load_code
from orthogrid.jobs.progress import Progress
from orthogrid.jobs.records import on_record
from orthogrid.publishing.drawing import draw_figures, write_captions
from orthogrid.run.run import Run

if __name__ == "__main__":
    with told(), on_record(snakemake):
        results = Path(snakemake.input.cells).parent
        config = check_config(snakemake.config)
        load_code(config.code)  # before the workers are forked
        run = Run.read(config, results, Path(snakemake.input.log_a).parent)
        names = [Path(path).stem for path in snakemake.output]
        progress = Progress("figures", len(names), log=snakemake.log[0], every=5)
        drawn = draw_figures(
            run,
            names,
            Path(snakemake.output[0]).parent,
            lambda done, _: progress.update(done),
            cache=Path(snakemake.params.cache, "figures"),
            workers=snakemake.resources.workers,
        )
        write_captions(config, names, Path(snakemake.output[0]).parent)
        progress.close(
            f"{len(drawn)} of {len(names)} figures drawn{', the others are as they were' if len(drawn) < len(names) else ''}"
        )
