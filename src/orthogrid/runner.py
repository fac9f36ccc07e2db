"""A training job: takes the finished rows, trains the missing cells batch by batch, journals each, writes the rows file."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from .grid import Cell, ConfigError
from .plan import batches, effort
from .progress import Progress
from .store import Store
from .train import Result, shape_of, train_batch


def find_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where there is one. Raises ConfigError when `cuda` is asked for in vain."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device 'cuda': torch {torch.__version__} sees no GPU; set device: auto or cpu, "
            "or install a CUDA build of torch (see README, GPU)"
        )
    use_gpu = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_gpu else "cpu")


def device_name(device: torch.device) -> str:
    """What the row says it was made on, such as `cuda (NVIDIA H200)` or `cpu (AMD EPYC, 2 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({_processor()}, {torch.get_num_threads()} threads)"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_batch(cell: Cell, device: torch.device) -> int | None:
    """Cells of this shape that fit into four fifths of the GPU's free memory; None on the CPU, which has a rule of its own."""
    if device.type != "cuda":
        return None
    size = 8 if cell.dtype == "float64" else 4
    n, k = cell.dimension, cell.samples
    # Six matrices in training precision, six float64 ones while metrics are taken; data twice over.
    need = n * n * (6 * size + 6 * 8) + k * n * (3 * size + 4 * 8)
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(0.8 * free // need))


def train_cells(
    group: str,
    cells: Sequence[Cell],
    results: str | Path,
    device: str = "auto",
    threads: int | None = None,
    log: str | Path | None = None,
) -> int:
    """Bring one group's rows and traces files about; returns how many cells had to be trained.

    Interrupt it anywhere and call it again: cells whose batch had finished are not trained twice.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False  # ten bits less would be another experiment
    store, target = Store(results), find_device(device)
    finished, _ = store.finished(cells)
    done_keys = set(finished["key"])
    missing = [cell for cell in cells if cell.key not in done_keys]
    if log:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
    if missing:
        total = sum(map(effort, missing))
        progress = Progress(group.rpartition("-")[0], total, log)
        kept = f"; {len(done_keys)} more are finished already" if done_keys else ""
        progress.say(f"{progress.name}: {len(missing)} cells to train on {device_name(target)}{kept}")
        done, count = 0.0, 0
        try:
            for batch in batches(missing, shape_of, gpu_batch(missing[0], target)):
                work = sum(map(effort, batch))

                def report(fraction: float, done=done, work=work, count=count) -> None:
                    progress.update(done + fraction * work, f"{count} of {len(missing)} cells done, ")

                for part in _train(batch, target, report):
                    store.append(cells[0].family, [_record(result, target) for result in part])
                    count += len(part)
                done += work
        except KeyboardInterrupt:
            progress.close(f"interrupted; {count} cells are kept, run the same command again to go on. Stopped")
            raise
        progress.close(f"{len(missing)} cells trained")
    store.write_group(group, cells)
    return len(missing)


def _train(cells: list[Cell], device: torch.device, report):
    """Train a batch, in halves where the GPU's memory does not suffice."""
    try:
        results = train_batch(cells, device, report)
    except torch.cuda.OutOfMemoryError:
        if len(cells) == 1:
            raise
        results = None
    if results is not None:
        yield results
        return
    torch.cuda.empty_cache()  # outside the handler, which would keep the failed batch's tensors alive
    middle = len(cells) // 2
    yield from _train(cells[:middle], device, report)
    yield from _train(cells[middle:], device, report)


def _record(result: Result, device: torch.device) -> dict:
    provenance = {"device": device_name(device), "torch": torch.__version__, "code": result.cell.code}
    return {"row": {"key": result.cell.key, **result.cell.settings, **result.row, **provenance}, "trace": result.trace}
