"""What the controls of the measurement, and of the time that a large batch is meant to save, decide."""

from flatlab.study import columns
from flatlab.study.columns import SECONDS_RATIO, UPDATES_RATIO, UPDATES_RATIO_ALLOWED, at
from flatlab.study.controls import POLICIES, SCALE_FREE
from flatlab.study.rules import AFTERWARDS, KESKAR, Claim, factor, least_factor

CLAIMS = (
    Claim(
        name="sharper under every BatchNorm",
        words="the large batch is the sharper one however BatchNorm's statistics are taken while measuring",
        source="the control of the measurement",
        experiment="batch-norm",
        measure="log10 of phi(LB) / phi(SB), the smallest over three policies",
        effect=least_factor("LB", "SB", POLICIES),
        above=0,
    ),
    Claim(
        name="sharper by each of three searches",
        words="the large batch is the sharper one whichever of three searches looks for the maximum",
        source="the control of the measurement",
        experiment="maximiser",
        measure="log10 of phi(LB) / phi(SB), the smallest over three searches",
        effect=least_factor("LB", "SB", SCALE_FREE),
        above=0,
        remark=f"{AFTERWARDS} of four searches, by which it failed; the fourth, the paper's own, may stop where it "
        "starts and has a claim of its own",
    ),
    Claim(
        name="sharper by the paper's own search",
        words="the large batch is sharper by the paper's search, ten iterations of L-BFGS-B with scipy's tolerances",
        source=f"{KESKAR}, section 2.2.2",
        experiment="maximiser",
        measure="log10 of phi(LB) / phi(SB) by that search",
        effect=least_factor("LB", "SB", ["scipy 10"]),
        above=0,
        remark=AFTERWARDS,
    ),
    Claim(
        name="slower on one device",
        words="on one device the large batch loses more time per update than it saves in updates",
        source=f"{KESKAR}, appendix C",
        experiment="performance",
        measure="log10 of the updates that LB takes over SB, minus log10 of the ratio at which both take equally long",
        effect=factor(UPDATES_RATIO, SECONDS_RATIO),
        above=0,
    ),
    Claim(
        name="appendix C on two workers",
        words="on two workers the large batch pays, because Iₗ / Iₛ < Bₛ / (fₛ(P) Bₗ)",
        source=f"{KESKAR}, appendix C",
        experiment="performance",
        measure="log10 of the updates that LB takes over SB, minus log10 of what appendix C allows on two workers",
        effect=factor(UPDATES_RATIO, UPDATES_RATIO_ALLOWED),
        below=0,
    ),
    Claim(
        name="large batches scale perfectly",
        words="the large batch's parallel efficiency is 1, as appendix C assumes",
        source=f"{KESKAR}, appendix C",
        experiment="performance",
        measure="the large batch's parallel efficiency on two workers",
        effect=lambda c: c[at(columns.EFFICIENCY, "LB")],
        above=0.9,
        below=1.1,
    ),
)
