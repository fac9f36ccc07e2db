# A mark for each rows file of this run: those that are there, those that its training jobs will write.
TRAINED = expand("{root}/shards/{name}.trained", root=PLAN.config.root, name=PLAN.names)


rule train_all:
    """The rows of all cells, and nothing else"""
    input:
        TRAINED,


# Rows are nobody's output: Snakemake removes outputs of interrupted, forced and repeated jobs, and finished rows must stay.
# Its output is a mark that they are there. The plan marks what it finds, so a clone that ships rows has nothing to train.
# No input and no params: a rows file is named by the cells and the code it holds, so it is never stale.
# A process of its own gets a terminal's signals; its text depends on wildcards alone, since it would trigger a rerun.
rule train_shard:
    """One training job's rows"""
    output:
        trained="{root}/shards/{shard}.trained",
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
        'exec "${{ORTHOGRID_PYTHON:-python}}" -m orthogrid train --workers {threads} --log={log:q}'
        " --shard={wildcards.root:q}/shards/{wildcards.shard}.json"
