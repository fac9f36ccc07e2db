# Rows, traces and journals that the config no longer asks for. They cost nothing but space, and a grid that
# grows back finds its rows in them; so they go only when asked for: `snakemake clear_old_rows`.
rule clear_old_rows:
    params:
        root=f"results/{PLAN.run}",
        keep=list(PLAN.groups),
    message:
        "Clearing rows that the config no longer asks for"
    run:
        kept = {f"{group}.csv" for group in params.keep} | {f"{group}.csv.gz" for group in params.keep}
        for folder in ("rows", "traces"):
            for path in Path(params.root, folder).glob("*.csv*"):
                if path.name not in kept:
                    print("removing", path, file=sys.stderr)
                    path.unlink()
        for path in Path(params.root, "journal").glob("*.jsonl"):
            if all(Path(params.root, "rows", f"{group}.csv").exists() for group in params.keep):
                print("removing", path, file=sys.stderr)
                path.unlink()
