DRAWN = figure_names(PLAN.config, ASKED.figures)
FAILED = failed_figures()  # before this call


# One job for all: importing the plotting libraries takes longer than drawing most figures, and drawn ones are kept.
rule draw_figures:
    """The figures; one is asked for by its path: results/<run>/figures/<name>.pdf"""
    input:
        cells="{root}/cells.csv",
        membership="{root}/membership.csv",
        traces="{root}/traces.csv.gz",
        thread="{root}/thread.csv",
        predictions="{root}/predictions.csv",
        log_a=here("data/thread/log_a.csv"),
        log_b=here("data/thread/log_b.csv"),
    output:
        *[
            report(
                f"{{root}}/figures/{name}.pdf", caption=caption_of(name), category="Figures", labels={"figure": name}
            )
            for name in DRAWN
        ],
    log:
        "{root}/logs/draw_figures.log",
    benchmark:
        "{root}/benchmarks/draw_figures.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    # A core is left to the paper's numbers, which come at the same time and are done while the libraries load.
    threads: max(1, workflow.cores - 1)
    resources:
        workers=workflow.cores,
    params:
        cache=CACHE,
        failed=FAILED[0],
        config=PLAN.config.digest,
        source=source_digest(PLAN.config.code),
    message:
        "Drawing the figures"
    script:
        "../scripts/draw_figures.py"
