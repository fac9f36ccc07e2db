SECTIONS = sorted(str(path) for path in Path("paper").glob("**/*.*") if path.suffix in (".tex", ".bib"))
TABLES = [
    "answers",
    "thread",
    "ablation",
    "floors",
    "penalties",
    "capture",
    "methods",
    "cures",
    "precision",
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
        cells="results/{run}/cells.csv",
        membership="results/{run}/membership.csv",
        traces="results/{run}/traces.csv.gz",
        thread="results/{run}/thread.csv",
        predictions="results/{run}/predictions.csv",
        log_a="data/thread/log_a.csv",
        log_b="data/thread/log_b.csv",
        bench=BENCH,
    output:
        numbers="results/{run}/numbers.tex",
        claims=report("results/{run}/claims.csv", caption="../report/claims.rst", category="Claims"),
        tables=expand("results/{{run}}/tables/{table}.tex", table=TABLES),
    log:
        "results/{run}/logs/write_numbers.log",
    benchmark:
        "results/{run}/benchmarks/write_numbers.tsv"
    conda:
        "../../environment.yml"
    params:
        config=PLAN.digest,
        source=source_digest(),
    message:
        "Computing every number, table and verdict of the paper"
    script:
        "../scripts/write_numbers.py"


rule build_paper:
    input:
        require_latex,
        sources=SECTIONS,
        numbers="results/{run}/numbers.tex",
        tables=expand("results/{{run}}/tables/{table}.tex", table=TABLES),
        figures=expand("results/{{run}}/figures/{figure}.pdf", figure=FIGURES),
    output:
        paper=report("results/{run}/paper.pdf", caption="../report/paper.rst", category="Paper"),
    log:
        "results/{run}/logs/build_paper.log",
    benchmark:
        "results/{run}/benchmarks/build_paper.tsv"
    conda:
        "../../environment.yml"
    message:
        "Building the paper with latexmk"
    script:
        "../scripts/build_paper.py"
