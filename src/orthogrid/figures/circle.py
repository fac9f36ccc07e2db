"""The thread's picture in two variables, and what the penalties do there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ..presenting.panels import canvas, decades, inside
from ..presenting.style import GREY, PENALTIES, figure
from ..run.run import CIRCLE_START, Run

START = (0.8, 1.2)  # where the directions of the penalties differ; at the thread's own point they hardly do
STEP, STEPS = 0.03, 120
TARGET = np.array([0.0, 1.0])
CORNERS = np.array([(x, y) for x in (-1.0, 1.0) for y in (-1.0, 1.0)])
# Negative gradients at points (…, 2).
ANALOGY = lambda p: -np.sign(p - TARGET)  # noqa: E731
ROW_ABS = lambda p: -2 * p * np.sign((p**2).sum(-1, keepdims=True) - 1)  # noqa: E731
ROW_SQUARE = lambda p: -4 * p * ((p**2).sum(-1, keepdims=True) - 1)  # noqa: E731
DIAGONAL = lambda p: -2 * p * np.sign(p**2 - 1)  # noqa: E731
PANELS = (
    (r"the analogy:  $|x-x_0|+|y-y_0|$", TARGET[None], {"l1": ANALOGY}),
    (r"one row:  $|x^2+y^2-1|$, its square", None, {"l1": ROW_ABS, "fro2": ROW_SQUARE}),  # solved by the whole circle
    (r"diagonal $W$:  $|x^2-1|+|y^2-1|$", CORNERS, {"l1": DIAGONAL}),
)


@figure()
def draw_circle(run: Run) -> Figure:
    """Negative gradients and descent with constant steps, from a point where directions show and from the thread's. Needs no rows."""
    fig, axes = canvas(3.0, 2, 3, height_ratios=(2.7, 1), sharey="row")
    at = np.stack(np.meshgrid(np.linspace(-1.6, 1.6, 13), np.linspace(-1.6, 1.6, 13)), -1).reshape(-1, 2)
    for i, ((heading, solutions, descents), ax, below) in enumerate(zip(PANELS, *axes, strict=True)):
        field = next(iter(descents.values()))(at)
        ax.quiver(*at.T, *field.T, color="0.75", angles="xy", scale=40, width=0.006, headwidth=4, zorder=1)
        ax.add_patch(Circle((0, 0), 1, fill=False, color=GREY, linewidth=0.7, zorder=2))
        if solutions is not None:
            ax.plot(*solutions.T, "*", color="black", markersize=6, zorder=6)
        for j, (name, descent) in enumerate(descents.items()):
            face = PENALTIES[name] if j == 0 else "white"
            style = dict(color=PENALTIES[name], markerfacecolor=face, markeredgewidth=0.6)
            for start, alpha in ((CIRCLE_START, 0.45), (START, 1)):
                path = _descend(descent, start)
                # The trajectories of the middle panel lie on one ray: the second is drawn open, over the first.
                ax.plot(*path.T, marker="os"[j], markersize=2.6, linewidth=0.7, zorder=4 + j, alpha=alpha, **style)
                if start == START:
                    below.plot(_off(path, solutions), marker="os"[j], markersize=2, linewidth=0.8, markevery=8, **style)
        ax.plot(*START, "o", markersize=6, markerfacecolor="none", markeredgecolor="black", zorder=8)
        ax.plot(*CIRCLE_START, "o", markersize=6, markerfacecolor="none", markeredgecolor=GREY, zorder=8)
        ax.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), box_aspect=1, xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.set_xlabel("$x$", labelpad=0)
        ax.set_title(rf"$\mathbf{{{'abc'[i]}}}$  {heading}")
        below.set(yscale="log", ylim=(1e-9, 2), xlabel="step")
        decades(below, most=4)
    inside(axes[1, 1], "absolute values", (0.98, 0.4), color=PENALTIES["l1"], ha="right")
    inside(axes[1, 1], "square", (0.98, 0.2), color=PENALTIES["fro2"], ha="right")
    axes[0, 0].set_ylabel("$y$", labelpad=0)
    axes[1, 0].set_ylabel("distance to\na solution")
    return fig


def _off(path: np.ndarray, solutions: np.ndarray | None) -> np.ndarray:
    """Distance to the nearest solution, which is the circle where none are given."""
    if solutions is None:
        return np.abs(np.hypot(*path.T) - 1)
    return np.linalg.norm(path[:, None] - solutions, axis=-1).min(-1)


def _descend(direction: Callable[[np.ndarray], np.ndarray], start: tuple[float, float]) -> np.ndarray:
    """Constant-step gradient descent: every position, the start first."""
    path = [np.array(start)]
    for _ in range(STEPS):
        path.append(path[-1] + STEP * direction(path[-1]))
    return np.array(path)
