# What `make bench` measured, on any machine; a paper without it says so.
BENCH = sorted(map(str, Path("results/bench").glob("*.csv")))


# Predictions need the config alone. Priority puts them before the training that will be held against them.
rule predict_cells:
    input:
        config=workflow.configfiles,
    output:
        predictions="results/{run}/predictions.csv",
    log:
        "results/{run}/logs/predict_cells.log",
    benchmark:
        "results/{run}/benchmarks/predict_cells.tsv"
    priority: 100
    conda:
        "../../environment.yml"
    threads: workflow.cores
    params:
        config=PLAN.digest,
    message:
        "Predicting every cell from its problem alone"
    script:
        "../scripts/predict_cells.py"


rule aggregate_cells:
    input:
        rows=ROWS,
        traces=TRACES,
        config=workflow.configfiles,
    output:
        cells="results/{run}/cells.csv",
        membership="results/{run}/membership.csv",
        traces="results/{run}/traces.csv.gz",
    log:
        "results/{run}/logs/aggregate_cells.log",
    benchmark:
        "results/{run}/benchmarks/aggregate_cells.tsv"
    conda:
        "../../environment.yml"
    params:
        config=PLAN.digest,
    message:
        "Collecting the configured cells"
    script:
        "../scripts/aggregate_cells.py"


rule compare_thread:
    input:
        cells="results/{run}/cells.csv",
        traces="results/{run}/traces.csv.gz",
        log_a="data/thread/log_a.csv",
        log_b="data/thread/log_b.csv",
    output:
        thread="results/{run}/thread.csv",
    log:
        "results/{run}/logs/compare_thread.log",
    benchmark:
        "results/{run}/benchmarks/compare_thread.tsv"
    conda:
        "../../environment.yml"
    message:
        "Holding the thread's printed numbers against ours"
    script:
        "../scripts/compare_thread.py"
