"""Settings of the paper's analysis: what counts as recovered, fitted, orthogonal. None is a result."""

# Chosen after rows were seen: SETTLED, LAST_PART and the rule of
# `settled`, block regimes as evidence for the floor, judging the coset law on fitted cells, the tolerance of `information`
# (tightened), `squares` (partly both ways) and `determinant` (the sign alone; its price is `floor`). Weights, rates and
# steps of blocks convergence, transition, grid, floor and map_haar were chosen after trial runs showed unfinished
# training. Claims added later on blocks that had rows already (`both-low`, `not-orthogonal`, `natural`,
# `optimal-rho`, `rank`, `not-nearest`, `conditioning`, `match-wrong`, `continuous`, `fortuitous`) were written with those
# results known in outline; `rate` sets unsettled pairs aside, and `match-wrong` takes none of few runs for no answer, since
# a trial on earlier rows showed how they fail otherwise. The tolerances of claims on all other blocks were set before these were trained, from the theory
# or from what a reader would call small. Intervals came later than the first tolerances; none was widened for them but
# that of `determinant`. With earlier rows known, too, the predicates of `continuous`, `fortuitous`,
# `existence`, `dtype-floor`, `dtype-crossing`, `near-components`, `oracle`, `conditioning`, `step-cost`, `cost-growth` and all
# cures were narrowed or made stricter, and shares clustered by problem. The paper's limitations say the same.
RECOVERY = 0.1  # a run is recovered when ‖W - rhoᵀ‖_F is below this
FITTED = 0.1  # a setting is fitted when its median data loss is below this
SIMILAR = 2.0  # two medians within this factor count as equally good
EQUAL_FIT = 10.0  # two data losses within this factor count as an equal fit
ORTHOGONAL = 0.01  # orthogonal when ‖S‖_F/√n, twice the root mean square of sigma - 1, is below this
PLATEAU_FROM = 400  # log A's plateau: the median over steps from here on
EARLY_STEPS = 200  # log B is compared digit by digit up to here; later, rounding decides
ROUNDING = 1e-5  # relative difference allowed on top of half a unit of the last printed digit
MARGIN = 1.5  # cells within this factor of a threshold are set aside
NEAR = 10.0  # beyond this multiple of the threshold lambda (1 - s*)² is as good as 4 lambda
EXISTENCE_SHARE = 0.95  # share of the other cells that must end as the theorem says
LAW_SHARE = 0.9  # the same for each penalty of block law: with about 30 cells each, 0.95 could not be reached
ROUNDED = 1e-4  # orthogonal to float32 rounding over thousands of steps, in ‖S‖_F/√n
FLOOR_TOLERANCE = 0.05  # relative, of the data loss on the wrong side
SETTLED = 0.05  # a run has settled when its median data loss fell by less than this share between the two halves of ...
LAST_PART = 0.5  # ... this last part of its steps: half, so that a decaying rate does not pass for rest
COARSER = 1.1  # a coarser format that ends less than this factor farther from orthogonal is as good

# The settings that a claim's docstring may name: {FITTED} becomes its value.
SETTINGS = dict(
    FITTED=FITTED, SIMILAR=SIMILAR, EQUAL_FIT=EQUAL_FIT, ORTHOGONAL=ORTHOGONAL, EARLY_STEPS=EARLY_STEPS, ROUNDING=ROUNDING,
    MARGIN=MARGIN, NEAR=NEAR, ROUNDED=ROUNDED, COARSER=COARSER,
)  # fmt: skip

# The two corrections that the theory keeps near the orthogonal matrices at every step, and the two that it leaves open,
# since they follow an unconstrained step. The paper's sentences name them, so no trait says it.
KEPT_NEAR, LEFT_OPEN = ("landing", "pogo"), ("newton_schulz", "parseval")

# Runs that share these share data and target, and with the others the start as well: a problem.
DATA = ("dimension", "samples", "sampling", "inputs", "bias", "seed")
PROBLEM = (*DATA, "determinant", "init")
