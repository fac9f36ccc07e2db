"""Values as LaTeX: safe in text and in math; what is missing is an en dash."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from functools import partial

import pandas as pd

MISSING = r"\mbox{--}"

_CHARACTERS = {
    "\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "γ": r"\ensuremath{\gamma}", "λ": r"\ensuremath{\lambda}",
    "<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "≤": r"\ensuremath{\le}", "≥": r"\ensuremath{\ge}", "≈": r"\ensuremath{\approx}",
    "²": r"\ensuremath{^2}", "ρ": r"\ensuremath{\rho}", "×": r"\ensuremath{\times}",
    "ᵀ": r"\ensuremath{^{\mathsf{T}}}", "‖": r"\ensuremath{\Vert}", "√": r"\ensuremath{\surd}", "→": r"\ensuremath{\to}",
    "∂": r"\ensuremath{\partial}", "∑": r"\ensuremath{\Sigma}", "Σ": r"\ensuremath{\Sigma}", "σ": r"\ensuremath{\sigma}",
    "³": r"\ensuremath{^3}", "δ": r"\ensuremath{\delta}", "ε": r"\ensuremath{\varepsilon}", "μ": r"\ensuremath{\mu}",
    "·": r"\ensuremath{\cdot}", "±": r"\ensuremath{\pm}", "“": "``", "”": "''", "’": "'", "–": "--", "−": r"\ensuremath{-}", "≠": r"\ensuremath{\ne}",
}  # fmt: skip


def text(words: object) -> str:
    """Plain text as LaTeX, in any script: the paper's fonts fall back on others. What is no character to be read is a question mark."""
    return "".join(_CHARACTERS.get(character) or _readable(character) for character in str(words))


def _readable(character: str) -> str:
    """A letter, mark, number, sign or space as it is, a line's end as a space."""
    if character in "\n\t":
        return " "
    return character if unicodedata.category(character)[0] in "LMNPSZ" else "?"


def _grouped(digits: str) -> str:
    """Digits with thin spaces between thousands, from five digits before the point on; the minus as a minus."""
    sign, digits = (r"\ensuremath{-}", digits[1:]) if digits.startswith("-") else ("", digits)
    whole, point, rest = digits.partition(".")
    return sign + (f"{int(whole):,}".replace(",", r"\,") if len(whole) > 4 else whole) + point + rest


def integer(value) -> str:
    return MISSING if pd.isna(value) else _grouped(f"{int(value)}")


def decimals(value, places: int) -> str:
    """A fixed number of decimals."""
    if pd.isna(value):
        return MISSING
    return r"\ensuremath{\infty}" if math.isinf(value) else _grouped(f"{value:.{places}f}")


def scientific(value, digits: int = 2) -> str:
    if pd.isna(value):
        return MISSING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return rf"\ensuremath{{{mantissa}\times10^{{{int(exponent)}}}}}"


def number(value, digits: int = 3) -> str:
    """Significant digits; scientific below a thousandth and from a million on. Settings lose their trailing zeros."""
    if pd.isna(value):
        return MISSING
    if math.isinf(value):
        return r"\ensuremath{\infty}"
    size = abs(float(f"{value:.{digits - 1}e}"))
    if size and not 1e-3 <= size < 1e6:
        return scientific(value, digits)
    return _grouped(f"{value:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}") if size else "0"


def setting(value) -> str:
    """A value that somebody chose, as short as it can be said."""
    if pd.isna(value):
        return MISSING
    if value and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:e}".split("e")
        mantissa = "" if float(mantissa) == 1 else rf"{float(mantissa):g}\times"
        return rf"\ensuremath{{{mantissa}10^{{{int(exponent)}}}}}"
    return _grouped(f"{value:.10f}".rstrip("0").rstrip("."))


def percent(value, places: int = 1) -> str:
    """A share as a percentage."""
    return MISSING if pd.isna(value) else decimals(100 * value, places) + r"\,\%"


def median(values: pd.Series) -> float:
    return float(values.median()) if values.notna().any() else math.nan


def seeds(count: int) -> str:
    """How many, with the noun."""
    return "1 seed" if count == 1 else f"{count or MISSING} seeds"


def enumeration(words: Iterable[str]) -> str:
    """a, b and c."""
    words = list(words)
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else MISSING


def out_of(part: pd.DataFrame, whole: pd.DataFrame) -> str:
    """a of b."""
    return f"{integer(len(part))} of {integer(len(whole))}" if len(whole) else f"{MISSING} of {MISSING}"


def code(name: object) -> str:
    return rf"\texttt{{{text(name)}}}"


def breakable(name: object, most: int = 13) -> str:
    """A name as code for a narrow column: it may break after ( = , and _, and where no piece of so many characters ends so."""
    parts = re.findall(r"[^(=,_]*[(=,_]?", str(name))
    return r"\allowbreak ".join(code(part[i : i + most]) for part in parts for i in range(0, len(part), most))


def estimate(value: float, low: float, high: float) -> str:
    """A value with its interval, where it has one."""
    return number(value) + (rf" \mbox{{[{number(low)}, {number(high)}]}}" if low < high else "")


def digits2(value) -> str:
    """Two significant digits, of large numbers too."""
    return number(value if pd.isna(value) or math.isinf(value) else float(f"{value:.1e}"), 2)


d0, d1, d2 = (partial(decimals, places=places) for places in range(3))
