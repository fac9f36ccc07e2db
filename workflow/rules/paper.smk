SECTIONS = sorted(str(path) for path in Path(here("paper")).glob("**/*.*") if path.suffix in (".tex", ".bib"))
TABLES = [
    "answers",
    "thread",
    "penalties",
    "methods",
    "cures",
    "claims",
    "grid_axes",
    "cost",
    "versions",
    "bench_peers",
    "bench_parts",
    "bench_workflow",
]


rule write_numbers:
    input:
        cells="{root}/cells.csv",
        membership="{root}/membership.csv",
        traces="{root}/traces.csv.gz",
        thread="{root}/thread.csv",
        predictions="{root}/predictions.csv",
        summary="{root}/run.json",
        log_a=here("data/thread/log_a.csv"),
        log_b=here("data/thread/log_b.csv"),
        bench=BENCH,
    output:
        numbers="{root}/numbers.tex",
        own="{root}/own_figures.tex",
        claims=report("{root}/claims.csv", caption="../report/claims.rst", category="Claims"),
        tables=expand("{{root}}/tables/{table}.tex", table=TABLES),
    log:
        "{root}/logs/write_numbers.log",
    benchmark:
        "{root}/benchmarks/write_numbers.tsv"
    conda:
        "../../environment.yml"
    params:
        config=PLAN.config.digest,
        configfile=PLAN.config.source,
        source=source_digest(PLAN.config.code),
    message:
        "Computing every number, table and verdict of the paper"
    script:
        "../scripts/write_numbers.py"


# An output to update is neither removed before the job nor after its failure: until there is a new PDF the last one stays.
rule build_paper:
    input:
        require_latex,
        sources=SECTIONS,
        numbers="{root}/numbers.tex",
        own="{root}/own_figures.tex",
        tables=expand("{{root}}/tables/{table}.tex", table=TABLES),
        figures=expand("{{root}}/figures/{figure}.pdf", figure=DRAWN),
    output:
        paper=update(report("{root}/paper.pdf", caption="../report/paper.rst", category="Paper")),
    log:
        "{root}/logs/build_paper.log",
    benchmark:
        "{root}/benchmarks/build_paper.tsv"
    conda:
        "../../environment.yml"
    params:
        failed=failed_build(PLAN.config.root),
    message:
        "Building the paper with latexmk"
    script:
        "../scripts/build_paper.py"
