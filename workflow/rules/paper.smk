SOURCES = (".tex", ".sty", ".lua", ".bib", ".bst", ".py", ".yaml", ".css")
SECTIONS = sorted(str(path) for path in Path(here("paper")).glob("**/*.*") if path.suffix in SOURCES)


rule write_values:
    """Every value, table and verdict of the paper: values.csv, claims.csv and others"""
    input:
        cells="{root}/cells.csv",
        membership="{root}/membership.csv",
        traces="{root}/traces.csv.gz",
        thread="{root}/thread.csv",
        predictions="{root}/predictions.csv",
        summary="{root}/run.json",
        log_a=here("data/thread/log_a.csv"),
        log_b=here("data/thread/log_b.csv"),
    output:
        table="{root}/values.csv",
        values="{root}/values.tex",
        blocks="{root}/blocks.tex",
        claims="{root}/claims.csv",
        page=report("{root}/claims.html", caption="../report/claims.rst", category="Claims"),
        tables=expand("{{root}}/tables/{table}.tex", table=ASKED.tables),
    log:
        "{root}/logs/write_values.log",
    benchmark:
        "{root}/benchmarks/write_values.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        config=PLAN.config.digest,
        configfile=PLAN.config.source,
        sources=here("paper"),
        asked=str(ASKED),
        source=source_digest(PLAN.config.code),
    message:
        "Computing every value, table and verdict of the paper"
    script:
        "../scripts/write_values.py"


# An output to update is neither removed before the job nor after its failure: until there is a new PDF the last one stays.
rule build_paper:
    """The paper and its supplement: paper.pdf, supplement.pdf"""
    input:
        require_latex,
        sources=SECTIONS,
        values="{root}/values.tex",
        blocks="{root}/blocks.tex",
        tables=expand("{{root}}/tables/{table}.tex", table=ASKED.tables),
        figures=expand("{{root}}/figures/{figure}.pdf", figure=DRAWN),
    output:
        paper=update(report("{root}/paper.pdf", caption="../report/paper.rst", category="Paper")),
        supplement=update(report("{root}/supplement.pdf", caption="../report/supplement.rst", category="Paper")),
    log:
        "{root}/logs/build_paper.log",
    benchmark:
        "{root}/benchmarks/build_paper.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        cache=CACHE,
        draft=PLAN.config.draft,
        failed=failed_build(Path(CACHE)),
    message:
        "Building the paper and its supplement with LuaLaTeX"
    script:
        "../scripts/build_paper.py"


rule build_page:
    input:
        sources=SECTIONS,
        values="{root}/values.tex",
        blocks="{root}/blocks.tex",
        tables=expand("{{root}}/tables/{table}.tex", table=ASKED.tables),
        figures=expand("{{root}}/figures/{figure}.pdf", figure=DRAWN),
    output:
        page="{root}/html/index.html",
    log:
        "{root}/logs/build_page.log",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Building the paper as an HTML page with LaTeXML"
    script:
        "../scripts/build_page.py"


rule html:
    """The paper and its supplement as one HTML page: html/index.html; wants LaTeXML and poppler"""
    input:
        f"{PLAN.config.root}/html/index.html",
        f"{PLAN.config.root}/explorer.html",
    localrule: True
