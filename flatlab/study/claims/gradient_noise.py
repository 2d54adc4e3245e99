"""What is said of a batch's gradient: how it errs, where, and which batch size that calls for."""

import numpy as np

from flatlab.study import columns
from flatlab.study.columns import at
from flatlab.study.rules import Claim, factor, last

QUESTION, STUDY_NOTES = "question and answer on batch size", "study notes on batch size"
MCCANDLISH, SHALLUE = "McCandlish et al. 2018", "Shallue et al. 2019"


def slope(place: str, source: str, name: str, words: str) -> Claim:
    """The error falls as the root of the batch size."""
    return Claim(
        name=name,
        words=words,
        source=source,
        experiment="gradient-error",
        measure=f"slope of log error, corrected for drawing without replacement, against log batch size at the {place}",
        effect=lambda c: c[at(columns.SLOPE, place)],
        above=-0.6,
        below=-0.4,
    )


CLAIMS = (
    slope("end", QUESTION, "error falls as the root", "m examples lower the gradient's error by the root of m"),
    slope(
        "start",
        QUESTION,
        "error falls as the root at the start",
        "m examples lower the gradient's error by the root of m",
    ),
    slope("end", "engrXiv 7356", "the variance is as one over the batch", "the gradient's variance falls as 1 / B"),
    Claim(
        name="a part has nearly the whole gradient",
        words="half of the data, or far less, gives almost the same gradient as all",
        source=STUDY_NOTES,
        experiment="part-of-the-data",
        measure="cosine between the gradient of half of the data and of all at the end",
        effect=last(at(columns.COSINE, "end")),
        above=0.9,
    ),
    Claim(
        name="a part has nearly the whole gradient at the start",
        words="half of the data, or far less, gives almost the same gradient as all",
        source=STUDY_NOTES,
        experiment="part-of-the-data",
        measure="cosine between the gradient of half of the data and of all at the start",
        effect=last(at(columns.COSINE, "start")),
        above=0.9,
    ),
    Claim(
        name="a tenth at the start",
        words="half of the data, or far less, gives almost the same gradient as all",
        source=STUDY_NOTES,
        experiment="part-of-the-data",
        measure="cosine between the gradient of a tenth of the data and of all at the start",
        effect=lambda c: c[at(columns.COSINE, "start")][:, 3],
        above=0.9,
    ),
    Claim(
        name="two halves agree at the end",
        words="a part shows where the whole would go",
        source=STUDY_NOTES,
        experiment="part-of-the-data",
        measure="cosine between the gradients of two halves at the end, where pure noise has 0",
        effect=lambda c: c[at(columns.COSINE_OF_HALVES, "end")],
        above=0.1,
    ),
    Claim(
        name="the data are a batch too",
        words="the whole training set is not the true gradient either, but one large batch",
        source=QUESTION,
        experiment="part-of-the-data",
        measure="log10 of the squared distance of the training gradient from that on fresh rows over what a batch of "
        "its size would have, at the start",
        effect=lambda c: np.log10(c[at(columns.ERROR_FRESH, "start")]),
        above=-0.2,
        below=0.2,
    ),
    Claim(
        name="the noise scale grows",
        words="the noise scale grows by an order of magnitude or more during training",
        source=MCCANDLISH,
        experiment="noise-along",
        measure="log10 of the exact noise scale at the end over the start",
        effect=lambda c: np.log10(c[columns.EXACT][:, -1] / c[columns.EXACT][:, 0]),
        above=1,
    ),
    Claim(
        name="two batches tell it",
        words="two batch sizes estimate the noise scale",
        source=MCCANDLISH,
        experiment="noise-along",
        measure="log10 of the estimate by two batches over the exact noise scale, the mean along training",
        effect=lambda c: np.log10(np.maximum(c[columns.TWO_BATCHES], 1e-3) / c[columns.EXACT]).mean(1),
        above=-0.1,
        below=0.1,
    ),
    Claim(
        name="the noise lies along the steep directions",
        words="the covariance of the gradient lies where the Hessian is large",
        source="Jastrzębski et al. 2017",
        experiment="noise-directions",
        measure="share of the gradient's variance along the ten steepest directions at the end",
        effect=lambda c: c[at(columns.SHARE, "end")],
        above=0.5,
    ),
    Claim(
        name="the noise is not round",
        words="the noise of a batch is not isotropic",
        source="Jastrzębski et al. 2017",
        experiment="noise-directions",
        measure="log10 of the share along the ten steepest directions at the end over isotropic noise's",
        effect=lambda c: np.log10(c[at(columns.SHARE, "end")] / c[columns.ISOTROPIC]),
        above=1,
    ),
    Claim(
        name="perfect scaling at small batches",
        words="at first twice the batch takes half the updates",
        source=SHALLUE,
        experiment="critical-batch",
        measure="slope of log updates against log batch size between the two smallest batches",
        effect=lambda c: c[at(columns.FIRST_SLOPE, "1/1")],
        above=-1.15,
        below=-0.85,
    ),
    Claim(
        name="diminishing returns at large batches",
        words="the larger the batch already is, the fewer updates twice the batch saves",
        source=SHALLUE,
        experiment="critical-batch",
        measure="slope of log updates against log batch size between the two largest batches",
        effect=lambda c: c[at(columns.LAST_SLOPE, "1/1")],
        above=-0.75,
    ),
    Claim(
        name="the noise scale tells the critical batch",
        words="the critical batch size is about the noise scale",
        source=MCCANDLISH,
        experiment="critical-batch",
        measure="log10 of the critical batch size over the noise scale of the first epochs",
        effect=factor(at(columns.CRITICAL, "1/1"), columns.NOISE_SCALE),
        above=-0.5,
        below=0.5,
    ),
    Claim(
        name="the critical batch grows as the root of the data",
        words="four times the data, twice the critical batch",
        source="engrXiv 7356",
        experiment="critical-batch",
        measure="log10 of the critical batch size on all rows over a quarter of them",
        effect=factor(at(columns.CRITICAL, "1/1"), at(columns.CRITICAL, "1/4")),
        above=0.15,
        below=0.45,
    ),
)
