"""The names of a result's columns: experiments write them, claims, tables and drawings read them, and here each is
spelt once.

A name that the paper's tables or curves have is theirs, so that our column stands beside the paper's
(`flatlab.study.paper`).
"""

BATCH_SIZE = "batch_size"
EPOCH = "epoch"
EPOCH_OF_THE_SMALL_BATCH = "sb_epoch"
GOAL = "goal"
RATIO = "ratio"
THRESHOLD = "threshold"
EVIDENCE = "evidence of a threshold"

# Along a grid that a rate or a dose is chosen from
FACTOR = "factor"
DOSE = "dose"

# Along a curve that is drawn against the batch size, the share of the data or the step
SHARE = "share"
GROWTH = "growth"
LAW = "law"
DEPARTURE = "departure"  # log10 of a growth over what a law says
EPOCHS = "epochs"
EPOCHS_IN_ALL = "epochs in all"
SECONDS = "seconds"
SECONDS_IN_ALL = "seconds in all"
SECONDS_PER_EPOCH = "seconds per epoch"
SECONDS_PER_UPDATE = "seconds per update"
SECONDS_PER_UPDATE_TOGETHER = "seconds per update together"
ROWS = "rows"
ROWS_PER_SECOND = "rows per second"

STEP = "step"
UPDATE = "update"
LOSS = "loss"
CROSS_ENTROPY = "cross_entropy"

# Curvature and noise
LARGEST = "largest"
SMALLEST = "smallest"
LAMBDA_MAX = "lambda_max"
LAMBDA_MAX_AFTER = "lambda_max after"
LARGEST_EIGENVALUE = "largest eigenvalue"
EIGENVALUES = "eigenvalues"
RESIDUAL = "residual"
GAUSS_NEWTON = "Gauss-Newton"
TRACE = "trace"
FLAT_SHARE = "flat share"
EFFECTIVE_DIMENSION = "effective dimension"
CURVATURE = "lambda"
BATCH_CURVATURE = "batch"
ERROR = "error"
ERROR_FRESH = "error fresh"
SLOPE = "slope"
FIRST_SLOPE = "first slope"
LAST_SLOPE = "last slope"
COSINE = "cosine"
COSINE_FRESH = "cosine fresh"
COSINE_OF_HALVES = "cosine halves"
NULL = "null"
EXACT = "exact"
TEST_LESS_TRAIN = "test less training loss"
TEST_GRADIENT = "test gradient"
TEST_CURVATURE = "test lambda_max"
FALL = "fall of the test loss"
MOVE = "move to its least"
TWO_BATCHES = "two batches"
ISOTROPIC = "isotropic"
CRITICAL = "critical"
NOISE_SCALE = "noise scale"

# Between two minima
ALPHA = "alpha"
OUTPUTS_MOVED = "outputs moved"
BARRIER = "barrier"
MATCHED_BARRIER = "matched barrier"
LINE_BARRIER = "line barrier"
LINE_DROP = "line drop"
CURVE_BARRIER = "curve barrier"
CURVE_DROP = "curve drop"
BEYOND_THE_ENDS = "LB less SB"
RISE = "rise"
SLICE = "slice"
NORM = "norm"
NEAR_ZERO = "near zero"

# Over many nets
NETS = "nets"
PHI = "phi"
ADAPTIVE = "adaptive"
ADAPTIVE_SHARPNESS = "adaptive sharpness"
AVERAGE_SHARPNESS = "average sharpness"
DISTANCE = "distance"
LOG_OF_UPDATES = "log"  # how well a distance follows it, and their root
ROOT_OF_UPDATES = "root"
AT_EQUAL_UPDATES = "at equal updates"
UPDATES = "updates"
PAC_BAYES = "PAC-Bayes"
TAU = "tau"
TAU_WITH_THE_RATE = "tau with the rate"
GRANULATED_TAU = "granulated tau"

# Cures, and what is chosen
CURE = "cure"
RIVAL = "rival"
RATE = "rate"
TUNED_FACTOR = "tuned factor"

# Regression
EXCESS = "excess"
EQUAL_UPDATES = "equal updates"
EQUAL_SECONDS = "equal seconds"

# Appendix C
EFFICIENCY = "efficiency"
UPDATES_RATIO = "updates ratio"
UPDATES_RATIO_ALLOWED = "updates ratio allowed"
SECONDS_RATIO = "seconds ratio"


def written(eps: float) -> str:
    """A radius as the paper's columns write it: 1e-3, 5e-4."""
    return f"{eps:.0e}".replace("e-0", "e-")


def train(label: str) -> str:
    """Training accuracy of a run, in percent."""
    return f"train {label}"


def test(label: str) -> str:
    """Test accuracy of a run, in percent."""
    return f"test {label}"


def loss(label: str) -> str:
    """Training loss of a run, in nats."""
    return f"loss {label}"


def phi(label: str, eps: float = 1e-3) -> str:
    """Sharpness of a run's last point, in percent."""
    return f"{label} {written(eps)}"


def series(label: str, kind: str) -> str:
    """A curve of a run, or of a split: "SB_test", "loss_train", "LB_cross_entropy"."""
    return f"{label}_{kind}"


def accuracy(label: str) -> str:
    """A curve of accuracy, of a run or of a split: "test_acc", "SB_acc"."""
    return series(label, "acc")


def tau_along(axis: str) -> str:
    """Kendall's tau along one axis of a grid, the others held: "tau along the rate"."""
    return f"{TAU} along the {axis}"


def phi_series(eps: float, label: str = "sharp") -> str:
    """Sharpness along a curve: "sharp_1e-3", or of one batch size, "SB_1e-3"."""
    return series(label, written(eps))


def of(label: str, what: str) -> str:
    """What an experiment measures of one run beside these: "SB seconds", "LB eigenvalues"."""
    return f"{label} {what}"


def at(what: str, place: str) -> str:
    """What an experiment measures at one place: "error start", "cosine end", "updates LB"."""
    return f"{what} {place}"
