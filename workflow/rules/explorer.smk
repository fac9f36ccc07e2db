rule write_explorer:
    """The page in which every cell is a dot: explorer.html"""
    input:
        cells="{root}/cells.csv",
        membership="{root}/membership.csv",
        traces="{root}/traces.csv.gz",
        thread="{root}/thread.csv",
        predictions="{root}/predictions.csv",
        log_a=here("data/thread/log_a.csv"),
        log_b=here("data/thread/log_b.csv"),
        page=expand(here("src/orthogrid/publishing/explorer/page.{part}"), part=("html", "css", "js")),
    output:
        page=report("{root}/explorer.html", caption="../report/explorer.rst", category="Explorer"),
    log:
        "{root}/logs/write_explorer.log",
    benchmark:
        "{root}/benchmarks/write_explorer.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        config=PLAN.config.digest,
        configfile=PLAN.config.source,
        source=digest_of("publishing/explorer/__init__.py"),
    message:
        "Writing the page in which every run can be looked at"
    script:
        "../scripts/write_explorer.py"


rule explorer:
    """The page of every run alone"""
    input:
        f"{PLAN.config.root}/explorer.html",
