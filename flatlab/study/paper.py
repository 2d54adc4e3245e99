"""The paper's tables and curves as data.

Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, "On Large-Batch Training for Deep Learning: Generalization Gap
and Sharp Minima", ICLR 2017, arXiv:1609.04836v2. SB is the small batch (256), LB the large one (10 % of the
training set). Accuracies and sharpness are in percent, losses are mean cross entropies in nats; a table's
entry is the mean ± standard deviation of five runs.

>>> TABLE2["F1"]["test SB"]
Value(mean=98.03, std=0.07)
>>> found = curve("fig3", "C1")
>>> len(found["alpha"]), len(found["loss_test"])
(25, 25)

The curves were read off the vector graphics of the PDF. The reading error is about 0.1 % of an axis's range
(an accuracy of 0 may read -0.002). Those of Fig. 4 were drawn as smoothed splines: only their shape is data.
"""

import math
from collections.abc import Collection
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal, NamedTuple

import numpy as np

#: The paper's figures whose curves are kept.
FigureName = Literal["fig2", "fig3", "fig4", "fig5", "fig6", "fig7"]

SMALL_BATCH = 256
LARGE_FRACTION = 0.10  # of the training set
EPSILONS = (1e-3, 5e-4)
SUBSPACE = 100  # columns of A in Table 4
THRESHOLDS = {"F2": 15_000, "C1": 500}  # Fig. 4: batch size beyond which accuracy falls and phi is high
DISTANCE_RATIO = (3, 10)  # section 3: ||x_s - x_0|| / ||x_l - x_0||, over all networks
# Keras clips probabilities to [1e-7, 1 - 1e-7], so no loss of the paper exceeds this; Fig. 7 saturates there.
LOSS_CAP = -math.log(1e-7)


class Value(NamedTuple):
    """A table's entry: mean and standard deviation of five runs."""

    mean: float  # in the column's unit, which is percent
    std: float  # in the same unit

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}"

    def __float__(self) -> float:
        return self.mean


class Network(NamedTuple):
    """A row of Table 1.

    Attributes
    ----------
    kind, data
        As the paper names them.
    parameters
        How many the released code builds; the paper prints no counts.
    """

    kind: str
    data: str
    parameters: int


class DataSet(NamedTuple):
    """A row of Table 5.

    Attributes
    ----------
    train, test
        Numbers of rows.
    features
        The shape of one.
    classes
        How many there are.
    """

    train: int
    test: int
    features: tuple[int, ...]
    classes: int

    @property
    def large_batch(self) -> int:
        """A tenth of the training set."""
        return round(LARGE_FRACTION * self.train)


# Table 1 (the paper's sections B.1 to B.4 give the layers)
NETWORKS = {
    "F1": Network("fully connected", "MNIST", 1_462_794),
    "F2": Network("fully connected", "TIMIT", 2_780_085),
    "C1": Network("(shallow) convolutional", "CIFAR-10", 1_757_834),
    "C2": Network("(deep) convolutional", "CIFAR-10", 14_991_946),
    "C3": Network("(shallow) convolutional", "CIFAR-100", 1_775_204),
    "C4": Network("(deep) convolutional", "CIFAR-100", 15_038_116),
}

# Table 5
DATA_SETS = {
    "MNIST": DataSet(60_000, 10_000, (28, 28), 10),
    "TIMIT": DataSet(721_329, 310_621, (360,), 1973),
    "CIFAR-10": DataSet(50_000, 10_000, (32, 32), 10),  # features as printed; the images have three colours
    "CIFAR-100": DataSet(50_000, 10_000, (32, 32), 100),
}


def _table(columns: str, rows: str) -> dict[str, dict[str, Value]]:
    """Network -> column -> `Value`, from the table as it is printed."""
    table = {}
    for row in rows.strip().splitlines():
        net, *numbers = row.replace("±", " ").split()
        pairs = zip(map(float, numbers[::2]), map(float, numbers[1::2]))
        table[net] = {column: Value(*pair) for column, pair in zip(columns.split(", "), pairs, strict=True)}
    return table


# Accuracy
TABLE2 = _table(
    "train SB, train LB, test SB, test LB",
    """
    F1  99.66 ± 0.05  99.92 ± 0.01  98.03 ± 0.07  97.81 ± 0.07
    F2  99.99 ± 0.03  98.35 ± 2.08  64.02 ± 0.2   59.45 ± 1.05
    C1  99.89 ± 0.02  99.66 ± 0.2   80.04 ± 0.12  77.26 ± 0.42
    C2  99.99 ± 0.04  99.99 ± 0.01  89.24 ± 0.12  87.26 ± 0.07
    C3  99.56 ± 0.44  99.88 ± 0.30  49.58 ± 0.39  46.45 ± 0.43
    C4  99.10 ± 1.23  99.57 ± 1.84  63.08 ± 0.5   57.81 ± 0.17
""",
)

# Sharpness (Metric 2.1) in the full space, A = I
TABLE3 = _table(
    "SB 1e-3, LB 1e-3, SB 5e-4, LB 5e-4",
    """
    F1  1.23 ± 0.83   205.14 ± 69.52  0.61 ± 0.27  42.90 ± 17.14
    F2  1.39 ± 0.02   310.64 ± 38.46  0.90 ± 0.05  93.15 ± 6.81
    C1  28.58 ± 3.13  707.23 ± 43.04  7.08 ± 0.88  227.31 ± 23.23
    C2  8.68 ± 1.32   925.32 ± 38.29  2.07 ± 0.86  175.31 ± 18.28
    C3  29.85 ± 5.98  258.75 ± 8.96   8.56 ± 0.99  105.11 ± 13.22
    C4  12.83 ± 3.84  421.84 ± 36.97  4.07 ± 0.87  109.35 ± 16.57
""",
)

# Sharpness in random subspaces of 100 dimensions. F1's large-batch pair is suspicious: 9.22 and 9.17 hardly
# differ between the two eps, while every other entry falls by a factor of 2.2 to 5.8.
TABLE4 = _table(
    "SB 1e-3, LB 1e-3, SB 5e-4, LB 5e-4",
    """
    F1  0.11 ± 0.00   9.22 ± 0.56     0.05 ± 0.00  9.17 ± 0.14
    F2  0.29 ± 0.02   23.63 ± 0.54    0.05 ± 0.00  6.28 ± 0.19
    C1  2.18 ± 0.23   137.25 ± 21.60  0.71 ± 0.15  29.50 ± 7.48
    C2  0.95 ± 0.34   25.09 ± 2.61    0.31 ± 0.08  5.82 ± 0.52
    C3  17.02 ± 2.20  236.03 ± 31.26  4.03 ± 1.45  86.96 ± 27.39
    C4  6.05 ± 1.13   72.99 ± 10.96   1.89 ± 0.33  19.85 ± 4.12
""",
)

# Data augmentation, in both regimes
TABLE6 = _table(
    "test SB, test LB, LB 1e-3, LB 5e-4",
    """
    C1  83.63 ± 0.14  82.50 ± 0.67  231.77 ± 30.50  45.89 ± 3.83
    C2  89.82 ± 0.12  90.26 ± 1.15  468.65 ± 47.86  105.22 ± 19.57
    C3  54.55 ± 0.44  53.03 ± 0.33  103.68 ± 11.93  37.67 ± 3.46
    C4  63.05 ± 0.5   65.88 ± 0.13  271.06 ± 29.69  45.31 ± 5.93
""",
)

# Conservative training of the large batch. The small-batch column repeats Table 2's, but prints other
# deviations for C2 (0.05, there 0.12) and C4 (0.10, there 0.5). The text calls this table "Figure 7".
TABLE7 = _table(
    "test SB, test LB, LB 1e-3, LB 5e-4",
    """
    F1  98.03 ± 0.07  98.12 ± 0.01   232.25 ± 63.81   46.02 ± 12.58
    F2  64.02 ± 0.2   61.94 ± 1.10   928.40 ± 51.63   190.77 ± 25.33
    C1  80.04 ± 0.12  78.41 ± 0.22   520.34 ± 34.91   171.19 ± 15.13
    C2  89.24 ± 0.05  88.495 ± 0.63  632.01 ± 208.01  108.88 ± 47.36
    C3  49.58 ± 0.39  45.98 ± 0.54   337.92 ± 33.09   110.69 ± 3.88
    C4  63.08 ± 0.10  62.51 ± 0.67   354.94 ± 20.23   68.76 ± 16.29
""",
)


def original(net: str) -> str:
    """The network of the paper that a net stands for.

    Parameters
    ----------
    net
        Its name, as a result has it.

    Returns
    -------
    str
        "C2" for "small-C2", "mlp" for "mlp, half", a setting of it with a label; the name itself for any other.
    """
    return net.partition(",")[0].removeprefix("small-")


def gap(net: str) -> float:
    """Table 2's generalization gap as the paper means it: test accuracy of SB minus LB's, in percent.

    Parameters
    ----------
    net
        One of the paper's networks.

    Returns
    -------
    float
        Of the means over five runs.

    Raises
    ------
    ValueError
        For a network that is not the paper's.
    """
    row = TABLE2[_one_of(net, TABLE2, "the paper's networks are")]
    return row["test SB"].mean - row["test LB"].mean


def curve(figure: FigureName, net: str, series: str | None = None) -> dict[str, np.ndarray]:
    """A figure's digitised curves.

    Parameters
    ----------
    figure
        Which one.
    net
        A network that the figure shows.
    series
        In fig4 and fig6 the points of one curve; the others have none.

    Returns
    -------
    dict of str to numpy.ndarray
        Equally long float64 arrays, by figure:

        - fig2: ``epoch``, ``SB_train``, ``SB_test``, ``LB_train``, ``LB_test``. Accuracies; in training, running
          averages.
        - fig3: ``alpha``, ``loss_train``, ``loss_test``, ``acc_train``, ``acc_test``. On the line
          `alpha x_l + (1 - alpha) x_s`.
        - fig4: ``batch_size``, ``value``. The series: ``test_acc``, ``sharp_1e-3`` or ``sharp_5e-4``.
        - fig5: ``sb_epoch``, ``SB_acc``, ``PB_acc``, ``sharp_1e-3``, ``sharp_5e-4``. PB: large batch, started from
          that epoch of SB.
        - fig6: ``cross_entropy``, ``sharpness``. The series: ``SB_1e-3``, ``LB_1e-3``, ``SB_5e-4`` or ``LB_5e-4``.
        - fig7: as fig3, on the arc `sin(alpha pi/2) x_l + cos(alpha pi/2) x_s`.

    Raises
    ------
    ValueError
        For a figure, network or series that is not there.

    Notes
    -----
    Fig. 5's legend says 5E-3 where 5E-4 is meant, and so it is read here. The points of Fig. 6 are not in the order of
    training. Fig. 3's pairs are hardly those of Table 2: C4's large batch is the more accurate one there (64.31 against
    63.73), and C2's lies far above its row.
    """
    folder = resources.files("flatlab.study") / "paper_figures"
    # A file is called figure_net.csv or figure_net_series.csv.
    names = [file.name.removesuffix(".csv").split("_", 2) for file in folder.iterdir()]
    _one_of(figure, {name[0] for name in names}, "the digitised figures are")
    _one_of(net, {name[1] for name in names if name[0] == figure}, f"{figure} shows")
    if figure == "fig6":
        known = {name[2] for name in names if name[:2] == [figure, net]}
        return _columns(folder / f"fig6_{net}_{_one_of(series, known, 'the series of fig6 are')}.csv")
    columns = _columns(folder / f"{figure}_{net}.csv")
    if figure == "fig4":
        told = columns.pop("series")
        chosen = told == _one_of(series, set(told), "the series of fig4 are")
        return {name: values[chosen] for name, values in columns.items()}
    if series is not None:
        raise ValueError(f"{figure} has one series of columns, so leave series={series!r} out")
    return columns


def _one_of(name: str | None, known: Collection[str], introduction: str) -> str:
    if name is None or name not in known:
        raise ValueError(f"{introduction} {', '.join(sorted(known))}, not {name!r}")
    return name


def _columns(file: Traversable) -> dict[str, np.ndarray]:
    header, *rows = (line.split(",") for line in file.read_text(encoding="utf-8").split())
    return {
        name: np.array(column, dtype=None if name == "series" else float) for name, column in zip(header, zip(*rows))
    }
