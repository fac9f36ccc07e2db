"""Running a user's own files, so that what they register can be used: `code:` in a config.

A config is data, these files are programs. So each is named on stderr before it runs, once in a process. What their text says is
known before (`components`); here they show whether they run. `python -m orthogrid.jobs.own FILE …` says so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from ..cells import components
from ..cells.components import ConfigError
from ..cells.sources import PACKAGE, imported_files

_ran: dict[Path, bytes] = {}  # with the text that ran


def load_code(paths: str | Path | Iterable[str | Path], quiet: bool = False) -> None:
    """Run a user's files, those that ran before in this process only if they were edited.

    They may import files beside them. Raises ConfigError that names file, line and cause for one that cannot be run.
    """
    components.use_code(paths)
    for path in components.code_files(paths):
        given = Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
        text = path.read_bytes()
        if _ran.get(path) != text:
            if path in _ran or _imported_before(path) is None:
                if not quiet:
                    print(f"code: running {given}", file=sys.stderr, flush=True)
                settings, names = _settings(), _names()
                _run(given, path)
                _refuse_changes(given, settings, names)
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
    """Every name of the package, the members of its classes, and what its penalties and methods are made of."""
    from ..methods import METHODS
    from ..penalties import PENALTIES

    found: dict[str, Any] = {}
    package = __name__.partition(".")[0]
    for module in [m for name, m in list(sys.modules.items()) if name == package or name.startswith(f"{package}.")]:
        for name, value in list(vars(module).items()):
            found[f"{module.__name__}.{name}"] = value
            if isinstance(value, type) and value.__module__ == module.__name__:
                found |= {f"{module.__name__}.{name}.{member}": v for member, v in vars(value).items()}
    for kind, register in (("penalty", PENALTIES), ("method", METHODS)):
        for name, made in register.items():
            if Path(made.entry.file).is_relative_to(PACKAGE):  # a user's own may be edited
                found |= {f"{kind} '{name}'": made} | {f"{kind} '{name}', {n}": v for n, v in vars(made).items()}
    return found


def _refuse_changes(given: Path, settings: dict[str, str], names: dict[str, Any]) -> None:
    """Raises ConfigError where a file changed what other rows are made by: their keys and code would not tell."""
    now, after = _settings(), _names()
    changed = [name for name in {**settings, **now} if settings.get(name) != now.get(name)]
    changed += [name for name, value in names.items() if after.get(name) is not value]
    if changed:
        raise ConfigError(
            f"code: {given} changes {changed[0]}, so that other rows than its own would come out otherwise under the same code; "
            "leave that as it is: say dtype and device where a tensor is made, and register a penalty or method of your own"
        )


def try_penalties(specs: Iterable[str]) -> list[str]:
    """Compute each penalty of a user's once, on two small matrices; returns what is odd but no error.

    Raises ConfigError where a value is not one number for each matrix, or has no gradient.
    """
    import torch

    from ..cells.shape import spec_name, spec_options
    from ..penalties import PENALTIES

    known, notes = components.penalties(), []
    near = torch.tensor([[0.0, 0.1, 0.02], [0.1, 0.03, -0.05], [0.02, -0.05, -0.01]], dtype=torch.float64)
    for spec in dict.fromkeys(specs):
        entry = known[spec_name(spec)]
        if not entry.file or Path(entry.file).is_relative_to(PACKAGE):
            continue
        where = f"penalty '{spec}' ({entry.file}, line {entry.line})"

        def value(s: torch.Tensor, spec: str = spec, where: str = where) -> torch.Tensor:
            try:
                found = PENALTIES[spec_name(spec)].value(s, **spec_options(spec))
            except Exception as error:
                raise ConfigError(f"{where} cannot be computed: {type(error).__name__}: {error}") from error
            if not isinstance(found, torch.Tensor) or found.shape != s.shape[:1]:
                what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else repr(found)
                raise ConfigError(
                    f"{where} must return one value for each matrix, a tensor of shape (B,) for S of shape (B, n, n); "
                    f"for S of shape {tuple(s.shape)} it returns {what}; sum over the last two axes: (...).sum((1, 2))"
                )
            return found

        s = torch.stack([near, -2 * near]).requires_grad_()
        if not entry.attached:
            value(s)
            continue
        if not value(s).requires_grad:
            raise ConfigError(
                f"{where} has no gradient: compute it from S by torch alone, without detach, .data or numpy; "
                "or say that it is meant so: @register(attached=False)"
            )
        zero = torch.zeros_like(s).requires_grad_()
        (gradient,) = torch.autograd.grad(value(zero).sum(), zero)
        if not gradient.isfinite().all():
            notes.append(f"{where} has no finite gradient at S = 0, where every run starts: such runs diverge at once")
    return notes


def loaded_code() -> dict[Path, bytes]:
    """The files that ran in this process, with their texts: what a process that is not forked from it must `run_again`."""
    return dict(_ran)


def run_again(texts: Mapping[Path, bytes]) -> None:
    """Run in another process what ran in its parent. Raises ConfigError for a file that was edited meanwhile."""
    for path, text in texts.items():
        if path.read_bytes() != text:
            raise ConfigError(f"{path} was edited while it was in use; run the same command again")
    load_code(texts, quiet=True)


def _imported_before(path: Path) -> ModuleType | None:
    """The module that a file became because another one imports it, or because Python was started with it."""
    return next((module for module in list(sys.modules.values()) if _file(module) == path), None)


def _file(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


class _Uncached(SourceFileLoader):
    """Keeps no bytecode, which knows an edited file by whole seconds and its size: a quick edit would not run."""

    def path_stats(self, path: str):
        raise OSError


def _run(given: Path, path: Path) -> None:
    folder = str(path.parent)
    # Files of equal name in two folders are two modules.
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if path in _ran:
        for imported, _ in _siblings(path):
            sys.modules.pop(imported, None)
    _refuse_hidden(given, path)
    loader = _Uncached(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, "there is one wherever a loader is given"
    module = importlib.util.module_from_spec(spec)
    # A file beside this one that ran before is not run again when this one imports it.
    beside = {p.stem: m for p in _ran if p.parent == path.parent and p != path and (m := _imported_before(p))}
    beside = {stem: m for stem, m in beside.items() if stem not in sys.modules}
    sys.modules.update({name: module, **beside})
    sys.path.insert(0, folder)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"code: {_told(error, given, path)}") from None
    finally:
        sys.path.remove(folder)
        for stem in beside:
            del sys.modules[stem]
    if folder not in sys.path:
        sys.path.append(folder)  # for what a function imports when it is called


def _siblings(path: Path) -> Iterator[tuple[str, Path]]:
    """The user's files that a file imports, each with its name as a module."""
    for file in imported_files(path):
        if file != path and not file.is_relative_to(PACKAGE) and file.is_relative_to(path.parent):
            parts = file.relative_to(path.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def _refuse_hidden(given: Path, path: Path) -> None:
    """A file beside this one whose name another module has would not be the one that Python imports."""
    for name, file in _siblings(path):
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
        place, cause = (error.filename, error.lineno), error.msg
    else:
        frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        files = {str(path), *(str(file) for _, file in _siblings(path))}
        own = [frame for frame in frames if frame[0] in files]
        place, cause = (own or [(str(path), None)])[-1], " ".join(str(error).split())
    file, line = place
    shown = given.parent / Path(file).relative_to(path.parent) if Path(file).is_relative_to(path.parent) else file
    where = f"{shown}, line {line}" if line else f"{shown}"
    return f"{where}: {type(error).__name__}: {cause}; mend it, or take {given} out of the config's code"


if __name__ == "__main__":
    try:
        from orthogrid.jobs.own import load_code as load  # the module itself, not this second copy of it

        load(sys.argv[1:], quiet=True)
    except ConfigError as error:
        sys.exit(str(error))
