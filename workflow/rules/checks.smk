rule claims:
    """How the claims stand; fails where one is refuted that the theory does not foretell"""
    input:
        claims=f"{PLAN.config.root}/claims.csv",
    log:
        f"{PLAN.config.root}/logs/claims.log",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Reading the verdicts"
    script:
        "../scripts/check_claims.py"


# Rows, traces and journals that the config no longer asks for. They cost nothing but space, and a grid that
# grows back finds its rows in them; so they go only when asked for.
rule clear_old_rows:
    """Remove the rows that the config no longer asks for"""
    log:
        f"{PLAN.config.root}/logs/clear_old_rows.log",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Clearing rows that the config no longer asks for"
    script:
        "../scripts/clear_old_rows.py"
