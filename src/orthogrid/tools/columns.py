"""What every column of a run's tables means, with its unit where it has one: docs/columns.md is made of this."""

from __future__ import annotations

from ..cells.cell import AXES

# Weights are compared in the Frobenius norm unless a name says l1, which is the sum of absolute values.
CELLS = {
    "key": "Twelve hex digits of the settings alone: the same cell has the same key everywhere.",
    **{name: axis.description for name, axis in AXES.items()},
    "fit": "Data loss at the end: the sum of squared errors over samples and outputs.",
    "penalty_value": "The penalty at the end, without `reg`.",
    "orthogonality_fro": "‖S‖_F with S = WWᵀ − I.",
    "orthogonality_l1": "Sum of |S_ij|, as the thread's first script printed it.",
    "distance": "‖W − rhoᵀ‖_F, from the target.",
    "distance_rho": "‖W − rho‖_F: the thread compared with rho itself.",
    "distance_start": "‖W − W0‖_F, from the start.",
    "distance_nearest": "From the orthogonal matrix that fits the samples and is nearest to the start.",
    "distance_twin": "From the twin: the target, reflected along the weakest direction of the data.",
    "distance_l1": "Sum of |W − rhoᵀ|, as the thread's second script printed it.",
    "distance_rho_l1": "Sum of |W − rho|, likewise.",
    "mean_direction": "‖(W − rhoᵀ) x̂‖, x̂ the part of the samples' mean outside the span of the centred samples; empty where there is none.",
    "bias_norm": "Norm of the bias.",
    "sigma_min": "Smallest singular value of W.",
    "sigma_max": "Largest singular value of W.",
    "det_sign": "Sign of det W at the end.",
    "det_sign_start": "Sign of det W at the start.",
    "det_sign_target": "Sign of the target's determinant.",
    "lambda_min": "λ, the smallest eigenvalue of the samples' Gram matrix; 0 where they do not determine W.",
    "rank": "Rank of the Gram matrix of the samples, their mean taken out where there is a bias.",
    "distance_seen": "Distance from the target within what the samples span.",
    "gradient_norm": "Norm of the loss's gradient over about that of the data loss at a random orthogonal weight: 2√2 ‖G‖_F. 0 at a minimum.",
    "curvature": "Second derivative of the loss along yyᵀ, y the eigenvector of `position`. Negative beside a saddle; empty for constrained methods.",
    "position": "s, the smallest eigenvalue of the symmetric part of rho W: 1 at the target, −1 at the twin, 0 between.",
    "reflection": "Where s < 0: the number, from 0, of the eigenvalue of G along which W is reflected. 0 is the weakest.",
    "overlap": "How much of the reflected direction lies in that eigenvalue's space, from 0 to 1.",
    "off_path": "Distance of rho W from I − (1 − s) yyᵀ, the point of the path between target and reflection that has its s.",
    "slow_sign": "Sign of the start's determinant among the directions that the penalty outweighs.",
    "slow_gap": "The smallest eigenvalue above reg/2 over the largest below.",
    "status": "`ok`, `diverged`, or `missing` in a partial run.",
    "seconds_per_step": "Seconds of a core for a step of this cell, within its batch.",
    "seconds": "Seconds of a core for all of it.",
    "device": "What trained it.",
    "torch": "Torch's version.",
    "code": "Twelve hex digits of the code that trained it; another digest makes the row stale.",
    "outcome": "Where it ended, in a word: see outcomes.",
}

TRACES = {
    "key": "The cell.",
    "step": "The step, 0 at the start.",
    "fit": "Data loss.",
    "orthogonality_fro": "‖S‖_F.",
    "orthogonality_l1": "Sum of |S_ij|.",
    "distance": "‖W − rhoᵀ‖_F.",
    "log_abs_det": "log |det W|.",
    "det_sign": "Sign of det W.",
}

PREDICTIONS = {
    "key": "The cell.",
    "rank": "Rank of the samples.",
    "rank_effective": "The same as theory counts it, from n, k and the sampling.",
    "lambda_min": "λ, the smallest eigenvalue of the Gram matrix.",
    "lambda_next": "The next larger one.",
    "lambda_max": "μ, the largest.",
    "w_max2": "Largest squared entry of w = rhoᵀv, v the weakest direction.",
    "w_l1": "Sum of |w_i|.",
    "distance": "√(2(n − rank_effective)): the distance of a random orthogonal matrix that fits the samples.",
    "wrong_floor": "4λ: the least data loss of an orthogonal matrix on the wrong side.",
    "trap_threshold": "The reg above which the wrong side has a trap; 2λ for the sum of squares.",
    "trap_position": "Where on the path the trap is.",
    "trap_loss": "The loss there.",
    "pass_loss": "Data loss at the pass out of the trap.",
    "next_loss": "Data loss beside the reflection of the next eigenvalue.",
    "capture_threshold": "The reg above which a flow from an orthogonal start stays on its side; 2μ for the sum of squares.",
    "l1_floor": "Sum of |S_ij| at which a sum of absolute values stops under a constant rate.",
    "detached_plateau": "Sum of |S_ij| at which plain regression, the detached penalty's, stops.",
}

CLAIMS = {
    "id": "The claim's name, as the paper's margin has it.",
    "statement": "What it says.",
    "section": "The section of the paper that says it; `own` for a user's.",
    "predicate": "What is measured, and when the claim holds.",
    "measured": "What was measured.",
    "expected": "What it is held against.",
    "tolerance": "By how much it may miss.",
    "verdict": "`supported`: the whole interval satisfies the relation. `refuted`: none of it. `partly`: see reason. `untested`: neither.",
    "cells": "How many cells it rests on.",
    "relation": "How measured and expected are compared.",
    "interval_low": "Lower end of the 90 % interval.",
    "interval_high": "Upper end.",
    "reason": "Why it is partly supported or untested.",
    "author": "Who says so: we, or one of the thread's two.",
    "quote": "The thread's words.",
    "foretold": "The verdict that the theory foretells.",
    "blocks": "The blocks that it reads.",
    "seconds": "Seconds of a core that its cells took.",
    "command": "Trains those of its blocks' cells that have its penalties and methods.",
    "check": "Whether it holds the program against the thread, rather than the thread against nature.",
    "explored": "Its verdict in the exploratory run, where there was one.",
}

VALUES = {
    "key": "The name by which the LaTeX asks for it.",
    "value": "The number; empty for words.",
    "low": "Lower end of its 90 % interval, where it has one.",
    "high": "Upper end.",
    "printed": "As the paper prints it.",
    "section": "The file that asks first.",
    "blocks": "The blocks that it was computed from.",
    "cells": "How many cells.",
}

TABLES = {
    "cells.csv": ("One row a cell. Rows files hold the same columns, without `outcome` and with a `checksum`.", CELLS),
    "traces.csv.gz": ("One row a logged step of a cell.", TRACES),
    "predictions.csv": ("One row a cell: what theory says of it, before it is trained.", PREDICTIONS),
    "claims.csv": ("One row a claim.", CLAIMS),
    "values.csv": ("One row a number that the paper prints.", VALUES),
}
