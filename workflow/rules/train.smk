# Files that hold finished rows of this run, and those that its training jobs will write.
ROWS = expand("{root}/rows/{name}.csv.gz", root=PLAN.config.root, name=PLAN.names)
TRACES = expand("{root}/traces/{name}.csv.gz", root=PLAN.config.root, name=PLAN.names)


rule train_all:
    input:
        ROWS,
        TRACES,


# No input and no params: a rows file is named by the cells and the code it holds, so it is never stale. What is missing is
# found when the plan is made, from the rows themselves, so a clone that ships them has nothing to train.
# A process of its own gets a terminal's signals; its text depends on wildcards alone, since it would trigger a rerun.
rule train_shard:
    output:
        rows="{root}/rows/{shard}.csv.gz",
        traces="{root}/traces/{shard}.csv.gz",
    log:
        "{root}/logs/train/{shard}.log",
    benchmark:
        "{root}/benchmarks/train/{shard}.tsv"
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    message:
        "Training"
    shell:
        'exec "${{ORTHOGRID_PYTHON:-python}}" -m orthogrid train --shard {wildcards.root}/shards/{wildcards.shard}.json'
        " --workers {threads} --log {log}"
