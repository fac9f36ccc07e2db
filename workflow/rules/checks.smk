# Says how the claims stand; a refuted one is an error: `snakemake claims`.
rule claims:
    input:
        claims=f"{PLAN.config.root}/claims.csv",
    log:
        f"{PLAN.config.root}/logs/claims.log",
    conda:
        "../../environment.yml"
    message:
        "Reading the verdicts"
    script:
        "../scripts/check_claims.py"


# Rows, traces and journals that the config no longer asks for. They cost nothing but space, and a grid that
# grows back finds its rows in them; so they go only when asked for: `snakemake clear_old_rows`.
rule clear_old_rows:
    log:
        f"{PLAN.config.root}/logs/clear_old_rows.log",
    conda:
        "../../environment.yml"
    message:
        "Clearing rows that the config no longer asks for"
    script:
        "../scripts/clear_old_rows.py"
