"""Running a user's own files, so that what they register can be used: `code:` in a config.

A config is data, these files are programs. So each is named on stderr before it runs, once in a process. What their text says is
known before (`components`); here they show whether they run. `python -m orthogrid.jobs.own FILE …` says so.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from ..cells import components
from ..cells.components import ConfigError, Entry
from ..cells.declarations import own_readers
from ..cells.shape import spec_name, spec_options
from ..cells.sources import PACKAGE, imported_files

if TYPE_CHECKING:
    import torch

_ran: dict[Path, bytes] = {}  # with the text that ran


def load_code(paths: str | Path | Iterable[str | Path], quiet: bool = False) -> None:
    """Run a user's files, each once in a process.

    They may import files beside them. Raises ConfigError that names file, line and cause for one that cannot be run, and for one
    that was edited since it ran.
    """
    files = components.code_files(paths)
    components.use_code(files)
    own_readers(files)  # a wrong figure or claim, too, is told from the text
    for path in files:
        given = Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
        text = path.read_bytes()
        if _ran.get(path, text) != text:
            raise ConfigError(f"code: {given} was edited since it ran in this process; start Python again")
        if path not in _ran and _module_of(path) is None:
            if not quiet:
                print(f"code: running {given}", file=sys.stderr, flush=True)
            with _no_changes(given):
                _run(given, path, text)
        _ran[path] = text


def _settings() -> dict[str, str]:
    """What a row's numbers hang on beside its code, in this process."""
    import torch

    told = {
        "torch's default dtype": torch.get_default_dtype(), "torch's default device": torch.get_default_device(),
        "torch's float32 precision": torch.get_float32_matmul_precision(), "torch's grad mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }  # fmt: skip
    environment = {f"the variable {n}": v for n, v in os.environ.items() if n.startswith(("MKL_", "ATEN_", "OMP_"))}
    return {name: str(value) for name, value in (told | environment).items()}


def _names() -> dict[str, Any]:
    """Every name of the package, the members of its classes, and what its penalties, methods and models are made of."""
    from ..methods import METHODS
    from ..models import MODELS
    from ..penalties import PENALTIES

    found: dict[str, Any] = {}
    package = __name__.partition(".")[0]
    for module in [m for name, m in list(sys.modules.items()) if name == package or name.startswith(f"{package}.")]:
        for name, value in list(vars(module).items()):
            found[f"{module.__name__}.{name}"] = value
            if isinstance(value, type) and value.__module__ == module.__name__:
                found |= {f"{module.__name__}.{name}.{member}": v for member, v in vars(value).items()}
    for kind, register in (("penalty", PENALTIES), ("method", METHODS), ("model", MODELS)):
        for name, made in register.items():
            if Path(made.entry.file).is_relative_to(PACKAGE):  # a user's own are the user's to change
                found |= {f"{kind} '{name}'": made} | {f"{kind} '{name}', {n}": v for n, v in vars(made).items()}
    return found


def _surroundings() -> dict[str, set[Any]]:
    """What the rest of the process needs, of which a file may add some and take none: where it looks for files, where its words go."""
    found: dict[str, set[Any]] = {"the working folder": {os.getcwd()}, "sys.path": {*sys.path}}
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        works = {"open": not getattr(stream, "closed", True), "a descriptor": os.path.exists(f"/dev/fd/{number}")}
        found[f"sys.{name}"] = {id(stream), *(what for what, holds in works.items() if holds)}
    return found


@contextmanager
def staying() -> Iterator[None]:
    """`os._exit` raises inside: it would end the process with its status, 0 say, and nothing done. A forked child may call it."""
    leave, here = os._exit, os.getpid()

    def stay(status: int) -> NoReturn:
        if os.getpid() != here:
            leave(status)
        raise RuntimeError(f"os._exit({status}) would end the process")

    os._exit = stay
    try:
        yield
    finally:
        os._exit = leave


@contextmanager
def _no_changes(given: Path) -> Iterator[None]:
    """Raises ConfigError where a file that runs inside changes what other rows are made by: their keys and code would not tell."""
    settings, names, there = _settings(), _names(), _surroundings()
    with staying():
        yield
    if lost := [name for name, value in _surroundings().items() if there[name] - value]:
        raise ConfigError(f"code: {given} changes {lost[0]}, which all else here needs; leave that as it is")
    now, after = _settings(), _names()
    changed = [name for name in {**settings, **now} if settings.get(name) != now.get(name)]
    changed += [name for name, value in names.items() if after.get(name) is not value]
    if changed:
        raise ConfigError(
            f"code: {given} changes {changed[0]}, so that other rows than its own would come out otherwise under the same code; "
            "leave that as it is: say dtype and device where a tensor is made, and register a penalty or method of your own"
        )


def try_penalties(specs: Iterable[str]) -> list[str]:
    """Compute each penalty that is a user's, or has options of its own, on two small weights; returns what is odd but no error.

    Raises ConfigError where a value is not one real number for each matrix, or changes with time or with the rest of its batch.
    It also does where the value is always 0, has no gradient, or has another one than its file gives by hand.
    """
    known, notes = components.penalties(), []
    for spec in dict.fromkeys(specs):
        entry = known[spec_name(spec)]
        ours = not entry.file or Path(entry.file).is_relative_to(PACKAGE)
        if not ours or "(" in spec:
            with _no_changes(Path(entry.file)):
                notes += _try_penalty(spec, entry, f"penalty '{spec}' ({entry.file}, line {entry.line})")
    return notes


def _try_penalty(spec: str, entry: Entry, where: str) -> list[str]:
    import torch

    from ..penalties.base import find_penalty

    penalty, options = find_penalty(spec)
    near = torch.tensor([[1.0, 0.1, 0.02], [0.2, 1.03, -0.05], [0.02, -0.15, 0.9]], dtype=torch.float64)
    weights = torch.stack([near, 2 * near.flip(0)])
    (values, slope), again = (_computed(spec, entry, weights, where) for _ in range(2))
    alone = [torch.cat(each) for each in zip(*(_computed(spec, entry, w[None], where) for w in weights), strict=True)]
    for others, fault in (
        (again, "comes out otherwise at a second call: let it depend on S alone, not on chance or earlier calls"),
        (alone, "comes out otherwise for a matrix alone than beside another: sum over the last two axes only"),
    ):
        if not (_alike(others[0], values, 1e-6) and _alike(others[1], slope, 1e-6)):
            raise ConfigError(f"{where} {fault}")
    if entry.uses_reg and not values.any():
        raise ConfigError(f"{where} is 0 whatever W is: give it other options, or take penalty none")
    if not entry.attached:
        return []
    if penalty.multiplier_of or penalty.gradient_of:
        by_hand = _tried(where, lambda: penalty.gradient_at(weights.clone(), **options))
        if slope.isfinite().all() and not _alike(by_hand, slope, 0.01):
            raise ConfigError(
                f"{where} has another gradient by hand than its value has: the multiplier is Z = 2 dp/dS, one matrix for each of S, "
                "and factor times what its function returns; mend it, or leave it out and autograd takes its place"
            )
    start = torch.eye(3, dtype=near.dtype)[None]
    if _tried(where, lambda: penalty.gradient_at(start, **options)).isfinite().all():
        return []
    return [f"{where} has no finite gradient at S = 0, where every run starts: such runs diverge at once"]


def _computed(spec: str, entry: Entry, weights: torch.Tensor, where: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A penalty's values and, by autograd, their gradient in the weights; zeros for one that is measured only."""
    import torch

    from ..numerics.linalg import gram_residual

    leaf = weights.clone().requires_grad_()
    value = _value(spec, gram_residual(leaf), where)
    if not entry.attached:
        return value.detach(), torch.zeros_like(weights)
    if not value.requires_grad:
        raise ConfigError(
            f"{where} has no gradient: compute it from S by torch alone, without detach, .data or numpy; "
            "or say that it is meant so: @register(attached=False)"
        )
    return value.detach(), _tried(where, lambda: torch.autograd.grad(value.sum(), leaf)[0])


def _alike(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    """Whether two stacks differ, matrix by matrix, by less than this share of the second's size."""
    if getattr(a, "shape", None) != b.shape or a.is_complex():
        return False
    off = (a - b).masked_fill((a == b) | (a.isnan() & b.isnan()), 0)
    far, size = (x.reshape(len(x), -1).norm(dim=1) for x in (off, b.nan_to_num()))
    return bool((far <= tolerance * size).all())


def _tried(where: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    try:
        return compute()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what would end the process
        raise ConfigError(f"{where} cannot be computed: {type(error).__name__}: {error}") from error


def _value(spec: str, s: torch.Tensor, where: str) -> torch.Tensor:
    import torch

    from ..penalties import PENALTIES

    value = _tried(where, lambda: PENALTIES[spec_name(spec)].value(s, **spec_options(spec)))
    if isinstance(value, torch.Tensor) and value.shape == s.shape[:1] and not value.is_complex():
        return value
    what = f"a tensor of shape {tuple(value.shape)}, {value.dtype}" if isinstance(value, torch.Tensor) else repr(value)
    raise ConfigError(
        f"{where} must return one value for each matrix, a real tensor of shape (B,) for S of shape (B, n, n); "
        f"for S of shape {tuple(s.shape)} it returns {what}; sum over the last two axes: (...).sum((1, 2))"
    )


def loaded_code() -> dict[Path, bytes]:
    """The files that ran in this process, with their texts: what a process that is not forked from it must `run_again`."""
    return dict(_ran)


def run_again(texts: Mapping[Path, bytes]) -> None:
    """Run in another process what ran in its parent. Raises ConfigError for a file that was edited meanwhile."""
    for path, text in texts.items():
        if path.read_bytes() != text:
            raise ConfigError(f"{path} was edited while it was in use; run the same command again")
    load_code(texts, quiet=True)


def _module_of(path: Path) -> ModuleType | None:
    """The module that a file is, because it ran, another one imports it, or Python was started with it."""
    return next((module for module in list(sys.modules.values()) if _file(module) == path), None)


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _run(given: Path, path: Path, text: bytes) -> None:
    _refuse_hidden(given, path)
    folder = str(path.parent)
    # Files of equal name in two folders are two modules.
    module = ModuleType(f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}")
    module.__file__ = str(path)
    # A file beside this one that ran before is not run again when this one imports it.
    beside = {p.stem: m for p in _ran if p.parent == path.parent and p.stem not in sys.modules and (m := _module_of(p))}
    sys.modules.update({module.__name__: module, **beside})
    sys.path.insert(0, folder)
    try:
        # With its asserts and docstrings, whatever PYTHONOPTIMIZE says: a claim's says what it measures.
        exec(compile(text, str(path), "exec", dont_inherit=True, optimize=0), vars(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what would end the process
        del sys.modules[module.__name__]
        raise ConfigError(f"code: {_told(error, given, path)}") from None
    finally:
        with suppress(ValueError):  # the file took it out itself
            sys.path.remove(folder)
        for stem in beside:
            del sys.modules[stem]
    if folder not in sys.path:
        sys.path.append(folder)  # for what a function imports when it is called


def _own_files(path: Path) -> list[Path]:
    """A user's file, and those of the user's that it imports."""
    return [file for file in imported_files(path) if not file.is_relative_to(PACKAGE)]


def _refuse_hidden(given: Path, path: Path) -> None:
    """A file beside this one whose name another module has would not be the one that Python imports."""
    for file in _own_files(path):
        if file == path or not file.is_relative_to(path.parent):
            continue
        name = ".".join(file.relative_to(path.parent).with_suffix("").parts).removesuffix(".__init__")
        known = sys.modules.get(name)
        if known is not None and _file(known) != file:
            where = f"is already {known.__file__}" if _file(known) else "is Python's own"
            raise ConfigError(
                f"code: {given}: it imports '{name}', which {where}; give {given.parent / file.name} another name"
            )


def _told(error: BaseException, given: Path, path: Path) -> str:
    """File, line and cause. The line is the last one of the user's own files that was reached."""
    if isinstance(error, ConfigError):
        return str(error).removeprefix("code: ")  # of @register, which names the place
    if isinstance(error, SyntaxError) and error.filename:
        file, line, cause = error.filename, error.lineno, error.msg
    else:
        own, frames = set(map(str, _own_files(path))), traceback.extract_tb(error.__traceback__)
        places = [(str(path), None), *((frame.filename, frame.lineno) for frame in frames if frame.filename in own)]
        (file, line), cause = places[-1], " ".join(str(error).split())
    shown = given.parent / Path(file).relative_to(path.parent) if Path(file).is_relative_to(path.parent) else file
    where = f"{shown}, line {line}" if line else f"{shown}"
    return f"{where}: {type(error).__name__}: {cause}; mend it, or take {given} out of the config's code"


if __name__ == "__main__":
    try:
        from orthogrid.jobs.own import load_code as load  # the module itself, not this second copy of it

        load(sys.argv[1:], quiet=True)
    except ConfigError as error:
        sys.exit(str(error))
