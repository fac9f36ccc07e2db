FIGURES = [
    "thread",
    "convergence",
    "reg",
    "circle",
    "identifiability",
    "regimes",
    "floor",
    "map",
    "grid",
    "law",
    "capture",
    "penalties",
    "rates",
    "methods",
    "cures",
    "precision",
    "cost",
]


# One job for all: importing the plotting libraries takes longer than drawing most figures.
rule draw_figures:
    input:
        cells="results/{run}/cells.csv",
        membership="results/{run}/membership.csv",
        traces="results/{run}/traces.csv.gz",
        thread="results/{run}/thread.csv",
        predictions="results/{run}/predictions.csv",
        log_a="data/thread/log_a.csv",
        log_b="data/thread/log_b.csv",
        bench=BENCH,
    output:
        report(
            expand("results/{{run}}/figures/{figure}.pdf", figure=FIGURES),
            caption="../report/figures.rst",
            category="Figures",
        ),
    log:
        "results/{run}/logs/draw_figures.log",
    benchmark:
        "results/{run}/benchmarks/draw_figures.tsv"
    conda:
        "../../environment.yml"
    params:
        config=PLAN.digest,
        source=source_digest(),
    message:
        "Drawing the figures"
    script:
        "../scripts/draw_figures.py"
