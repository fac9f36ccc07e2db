"""The thread's two scripts as cells, and what their logs printed beside what we obtain."""

from __future__ import annotations

import pandas as pd

from ..cells.cell import Cell

# The thread's second script is Cell() itself; this is its first, which gave no seed.
LOG_A = Cell(penalty="l1_detached", reg=0.001, steps=10_000)


def thread_cells(cells: pd.DataFrame) -> dict[str, list[str]]:
    """Keys of the cells that are the thread's two scripts: log b its seed alone, log a (no seed given) every seed."""

    def like(cell: Cell, *but: str) -> pd.Series:
        same = pd.Series(True, index=cells.index)
        for name, value in cell.settings.items():
            if name not in but:
                same &= cells[name] == value
        return same & (cells["status"] == "ok")

    return {"a": cells.loc[like(LOG_A, "seed"), "key"].tolist(), "b": cells.loc[like(Cell()), "key"].tolist()}


# Log B's closing line, printed after its last step (entrywise L1 distances of the weight to rho and to its transpose).
LOG_B_CLOSING = {"distance_rho_l1": 12627.76172, "distance_l1": 12255.37109}


def compare_thread(cells: pd.DataFrame, traces: pd.DataFrame, log_a: pd.DataFrame, log_b: pd.DataFrame) -> pd.DataFrame:
    """Every number the thread printed beside ours: log, step, quantity, thread, ours, relative_difference.

    For log a `ours` is the median over the seeds. Empty where the run does not contain the thread's cells.
    """
    keys = thread_cells(cells)
    compared = []
    if keys["a"]:
        # The printed loss contains reg times the penalty, the printed penalty does not.
        printed = log_a.assign(fit=log_a["loss"] - LOG_A.reg * log_a["orthogonality_l1"])
        ours = traces[traces["key"].isin(keys["a"])].groupby("step")[["fit", "orthogonality_l1"]].median()
        compared.append(("a", printed, ours.assign(loss=ours["fit"] + LOG_A.reg * ours["orthogonality_l1"])))
    if keys["b"]:
        ours = traces[traces["key"] == keys["b"][0]].set_index("step")
        squares = ours["orthogonality_fro"] ** 2
        ours = ours.assign(orthogonality_fro2=squares, loss=ours["fit"] + Cell().reg * squares)
        closing = cells[cells["key"] == keys["b"][0]].assign(step=Cell().steps).set_index("step")
        compared += [("b", log_b, ours), ("b", pd.DataFrame({"step": [Cell().steps], **LOG_B_CLOSING}), closing)]
    records = [
        (log, int(step), name, float(value), float(ours.at[step, name]))
        for log, printed, ours in compared
        for name in printed.columns.drop("step")
        for step, value in zip(printed["step"], printed[name], strict=True)
        if step in ours.index
    ]
    table = pd.DataFrame(records, columns=["log", "step", "quantity", "thread", "ours"])
    table["relative_difference"] = (table["ours"] - table["thread"]).abs() / table["thread"].abs()
    return table
