# A partial run shows the rows that are there and trains nothing.
GROUPS = sorted(path.stem for path in Path("results", PLAN.run, "rows").glob("*.csv")) if PLAN.partial else PLAN.groups
ROWS = expand("results/{run}/rows/{group}.csv", run=PLAN.run, group=GROUPS)
TRACES = expand("results/{run}/traces/{group}.csv.gz", run=PLAN.run, group=GROUPS)


rule train_all:
    input:
        ROWS,
        TRACES,


# No input, no params, and no script file: a rows file is named by the cells and the code it holds, so it is never stale.
# Without metadata, as in a fresh clone, Snakemake would rerun a rule whose script is younger than its output, and a
# checkout writes files in any order. A clone that ships rows has nothing to train; a grown grid asks for a new name,
# and the job takes the finished rows from the older files.
rule train_cells:
    output:
        rows="results/{run}/rows/{group}.csv",
        traces="results/{run}/traces/{group}.csv.gz",
    log:
        "results/{run}/logs/train/{group}.log",
    benchmark:
        "results/{run}/benchmarks/train/{group}.tsv"
    threads: workflow.cores
    resources:
        gpu=1,
    message:
        "Training the cells of {wildcards.group}"
    run:
        from orthogrid.runner import train_cells

        train_cells(
            wildcards.group, PLAN.groups[wildcards.group], f"results/{PLAN.run}", PLAN.device, threads, log[0]
        )
