# They need the config alone. Priority puts them before the training that will be held against them.
rule predict_cells:
    """What theory says each cell should give: predictions.csv"""
    input:
        config=workflow.configfiles,
    output:
        predictions="{root}/predictions.csv",
    log:
        "{root}/logs/predict_cells.log",
    benchmark:
        "{root}/benchmarks/predict_cells.tsv"
    priority: 100
    localrule: True
    conda:
        "../../environment.yml"
    threads: workflow.cores
    params:
        cache=CACHE,
        config=PLAN.config.digest,
        source=digest_of("theory/predictions.py"),
    message:
        "Predicting every cell from its problem alone"
    script:
        "../scripts/predict_cells.py"


# The thread is compared in the same job: starting another would take longer than comparing.
rule aggregate_cells:
    """The tables of the run, from its rows: cells.csv, traces.csv.gz, run.json and others"""
    input:
        trained=TRAINED,
        predictions="{root}/predictions.csv",
        config=workflow.configfiles,
        log_a=here("data/thread/log_a.csv"),
        log_b=here("data/thread/log_b.csv"),
        frozen=here("config/frozen.csv"),
        explored=glob.glob(here("config/explored.csv")),
    output:
        cells="{root}/cells.csv",
        membership="{root}/membership.csv",
        traces="{root}/traces.csv.gz",
        summary="{root}/run.json",
        thread="{root}/thread.csv",
    log:
        "{root}/logs/aggregate_cells.log",
    benchmark:
        "{root}/benchmarks/aggregate_cells.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        config=PLAN.config.digest,
        source=digest_of("run/collect.py", "tools/freeze.py"),
    message:
        "Collecting the configured cells, and holding the thread's printed numbers against them"
    script:
        "../scripts/aggregate_cells.py"
