"""What a notebook or a prompt registers works at once, in that process; a cell that is run again replaces it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from orthogrid.cells.cell import Cell
from orthogrid.cells.components import ConfigError
from orthogrid.penalties import PENALTIES, register
from orthogrid.training.train import train_batch

pytestmark = pytest.mark.usefixtures("alone")

CELL = """
from orthogrid.penalties import register
@register()
def noted(s):
    return (s**4).sum((1, 2)){}
"""


def test_a_notebooks_cell_enters_its_penalty_and_replaces_it():
    def fit(end: str) -> tuple[float, str]:
        exec(compile(CELL.format(end), "<cell>", "exec"), {"__name__": "__main__"})
        cell = Cell(penalty="noted", reg=10, dimension=6, samples=4, steps=20, lr=0.01)
        return train_batch([cell])[0].row["orthogonality_fro"], cell.code

    first, again, other = fit(""), fit(""), fit(" * 100")
    assert first == again and first[0] != other[0] and first[1] != other[1]
    with pytest.raises(ConfigError, match=r"penalty 'fro2': the name is taken by .*fro2\.py"):
        exec(CELL.format("").replace("noted", "fro2"), {"__name__": "__main__"})
    assert PENALTIES["fro2"].value.__module__ == "orthogrid.penalties.fro2"


@pytest.mark.parametrize("how", ["-c", "-"])
def test_a_prompt_does_too(how):
    script = CELL.format("") + textwrap.dedent(
        """
        from orthogrid.cells.cell import Cell
        from orthogrid.methods import register as method
        from orthogrid.methods.corrected import Corrected
        from orthogrid.training.train import train_batch
        @method()
        class half(Corrected):
            def correct(self):
                self.newton_schulz_step(0.25)
        cells = [Cell(penalty="noted", dimension=6, samples=4, steps=5), Cell(method="half", dimension=6, samples=4, steps=5)]
        print([train_batch([cell])[0].row["status"] for cell in cells], cells[0].code, cells[1].code)
        """
    )
    call = [sys.executable, how, *([script] if how == "-c" else [])]
    done = subprocess.run(call, input=script if how == "-" else None, capture_output=True, text=True)
    assert done.stdout.startswith("['ok', 'ok']"), done.stderr


def test_what_is_typed_at_a_prompt_is_told_apart_by_what_it_was_compiled_to():
    def code(words: str) -> str:
        exec(words, {"register": register, "__name__": "__main__"})
        return Cell(penalty="noted").code

    written = "@register()\ndef noted(s):\n    return s[:, 0, 0] * {}\n"
    assert code(written.format(2)) == code(written.format(2) + "# why\n") != code(written.format(3))
