"""A run needs no network: nothing that it starts opens a connection to another machine."""

from __future__ import annotations

import os

from test_workflow import mini, snakemake

# Read by every Python of the run when it starts. A connection leaves a mark and fails.
GUARD = """
import os, socket, traceback

def refuse(self, address, *rest):
    if self.family == socket.AF_UNIX:
        return connect(self, address, *rest)
    with open(os.environ["MARKS"], "a") as file:
        file.write(f"{address}\\n{''.join(traceback.format_stack())}")
    raise OSError(f"no network: {address}")

connect, socket.socket.connect = socket.socket.connect, refuse
socket.socket.connect_ex = refuse
with open(os.environ["MARKS"] + ".on", "a") as file:
    file.write(".")
"""


def test_a_run_opens_no_connection(tmp_path):
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    project, arguments = mini(tmp_path / "project")
    marks = tmp_path / "marks"
    path = os.pathsep.join(filter(None, (str(tmp_path / "guard"), os.environ.get("PYTHONPATH"))))
    snakemake(
        project,
        "results/mini/claims.csv",
        "results/mini/figures/circle.pdf",
        *arguments,
        PYTHONPATH=path,
        MARKS=str(marks),
    )
    assert len((tmp_path / "marks.on").read_text(encoding="utf-8")) > 3  # the guard was in all of its processes
    assert not marks.exists(), marks.read_text(encoding="utf-8")
