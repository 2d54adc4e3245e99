"""What a chapter says once its verdicts are known: sentences that follow from words, whatever the words become.

A verdict changes when a larger tier is recorded, so each function here has an answer for every word that a verdict can
be, and no page chooses its sentences itself.
"""

from collections import Counter
from collections.abc import Iterable

from flatlab.plots.tables import listed
from flatlab.study.ledger import Word

NOT_ON_ONE = "Each of the two claims holds, but not on one network, so no network shows both."

COUNTED: dict[Word, tuple[str, str]] = {  # one claim of that word, several
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "mixed": ("is mixed", "are mixed"),
    "undecided": ("is undecided", "are undecided"),
    "not run": ("is not run", "are not run"),
}


def counted(said: Iterable[Word]) -> str:
    """How many claims have which word: "3 hold, 1 fails and 2 are undecided"; "none" where there is no claim."""
    count = Counter(said)
    parts = [f"{count[word]} {forms[count[word] > 1]}" for word, forms in COUNTED.items() if count[word]]
    return listed(parts) or "none"


def whether(question: str, *said: Word, by: str = "what is recorded so far") -> str:
    """The sentence on a question that the words leave open; `by`: whose words they are."""
    if "not run" in said:
        return f"Whether {question} is not known, because not all of it has been run yet."
    if "mixed" in said:
        return f"Whether {question} depends on the network, because the recorded ones disagree."
    return f"Whether {question} is not decided by {by}."


def its_own_rate(tuned: Word, none_left: str, left: str) -> str:
    """Is there a gap where each batch size has the rate that suits it?

    Parameters
    ----------
    tuned : str
        The word of *tuning closes the gap*.
    none_left, left : str
        The networks on which it holds, and those on which it fails.
    """
    asked = "where each batch size has the learning rate that suits it"
    if tuned == "mixed":
        return (
            f"Whether a gap is left {asked} depends on the network and its batch: less than a point is left on "
            f"{none_left}, and more on {left}."
        )
    if tuned in ("holds", "fails"):
        return f"W{asked[1:]}, {'less' if tuned == 'holds' else 'more'} than a point of the gap is left."
    return whether(f"a gap is left {asked}", tuned)


def the_answer(gap: Word, worse_on: str, not_on: str, by_rule: Word, most: str) -> str:
    """The first page in one sentence: is there a gap, and does a rate that fits the batch give most of it back?

    Parameters
    ----------
    gap : str
        The word of *gap*.
    worse_on, not_on : str
        The networks on which *gap* holds, and those on which it fails: they are named where it is mixed.
    by_rule : str
        The word of *the root rule closes half of the gap*.
    most : str
        The networks of which it is said.
    """
    at_one = "At one learning rate and equally many epochs the large batch"
    if gap == "fails":
        return f"{at_one} does not generalise worse."
    asked = "the large batch generalises worse, at one rate and equally many epochs,"
    if gap not in ("holds", "mixed"):
        return whether(asked, gap)
    worse = f"{at_one} generalises worse"
    if gap == "mixed":
        worse = f"Whether {asked} depends on the network: it does on {worse_on}, and not on {not_on}"
    rate = "rate that grows with the root of the batch size"
    if by_rule not in ("holds", "fails"):
        return f"{worse}. {whether(f'a {rate} gives more than half of that gap back', by_rule)}"
    much = "more" if by_rule == "holds" else "less"
    return f"{worse}{', and a' if gap == 'holds' else '. A'} {rate} gives {much} than half of that gap back on {most}."


def on_more_rows(by_rule: Word, place: str) -> str:
    """After the first page's answer, which is of F1 on a part of its rows: is it so on all of them?

    Parameters
    ----------
    by_rule : str
        The word of *the root rule closes half of F1's gap*.
    place : str
        The network and its rows, "F1 on all of MNIST".
    """
    if by_rule in ("holds", "fails"):
        much = "more" if by_rule == "holds" else "less"
        return f"For {place} it gives {much} than half back."
    return whether(f"it does so for {place}", by_rule)


def beyond_the_rate(
    gap: Word, tuned: Word, none_left: str, left: str, statistics: Word, half: str, flatter_but_worse: str
) -> str:
    """The first page, after its answer: is a gap left at a rate that suits each batch size, does a rate with ghost
    batches close half of it (`half`: the networks of which that is said), is flatness the reason (`flatter_but_worse`:
    the networks on which a large batch is both, or none)? The other networks are those of `its_own_rate`."""
    if gap == "fails":
        return "There is no gap that another rate could close."
    if gap not in ("holds", "mixed"):
        return whether("another rate closes a gap", gap)
    found = [its_own_rate(tuned, none_left, left)]
    if statistics in ("holds", "fails"):
        found.append(
            "A higher rate, with BatchNorm's statistics from small parts of the batch, gives back "
            f"{'at least' if statistics == 'holds' else 'less than'} half of the gap on {half}."
        )
    if flatter_but_worse:
        found.append(
            f"On {flatter_but_worse} the large batch at 16 times the rate ends flatter than the small one and is still "
            "worse, so flatness is not the whole reason."
        )
    return " ".join(found)


def sharp_at_the_rule(no_sharper: Word, level_on: str, sharper_on: str) -> str:
    """Is the large batch the sharper one at a rate that grows with the root of the batch size?

    Parameters
    ----------
    no_sharper : str
        The word of *at the root rule the large batch is no sharper*, whose bound is a factor of two.
    level_on, sharper_on : str
        The networks on which it holds, and those on which it fails.
    """
    if no_sharper == "mixed":
        return (
            "Whether the difference in sharpness goes with the gap depends on the network and its batch: at a rate "
            "that grows with the root, the large batch is less than twice as sharp as the small one on "
            f"{level_on}, and more on {sharper_on}."
        )
    if no_sharper in ("holds", "fails"):
        much = "less" if no_sharper == "holds" else "more"
        return f"At a rate that grows with the root, the large batch is {much} than twice as sharp as the small one."
    return whether("the difference in sharpness goes with the gap", no_sharper)


def law_of_nature(mnist1d: Word, digits: Word) -> str:
    """*The puzzle*: does every task have a gap?"""
    if (mnist1d, digits) == ("holds", "fails"):
        return "A gap is not a law of nature. It needs a task on which there is something to lose."
    if mnist1d == digits == "holds":
        return "Both tasks have a gap. Two tasks are not all tasks."
    if "fails" in (mnist1d, digits):
        return "A gap is not a law of nature: it fails on at least one of two tasks."
    return whether("both tasks have a gap", mnist1d, digits, by="these seeds")


def given_up(tuned: Word, updates: Word, none_left: str, left: str) -> str:
    """*The puzzle*: is its claim, that large batches generalise worse, given up by its two controls?

    Parameters
    ----------
    tuned, updates : str
        The words of *tuning closes the gap* and of *more updates close the gap*.
    none_left, left : str
        The networks on which one of them holds, and those on which all that were run fail.
    """
    controls = (tuned, updates)
    if "holds" in controls or ("mixed" in controls and not left):
        return f"So we give up the claim as it stands, because the gap closes on {none_left}."
    if controls == ("fails", "fails"):
        return "Neither control closes the gap, so the claim stands as it is."
    if "mixed" in controls:
        return (
            "Whether we give up the claim depends on the network and its batch. One of the two controls closes the gap "
            f"on {none_left}, so there we give it up as it stands. No control that was run closes it on {left}, so "
            "there it stands."
        )
    return whether("the claim is given up", *controls)


def together_on_digits(sharper: Word, gap: Word) -> str:
    """*Measuring sharpness*: do sharpness and the gap come together on a second data set?"""
    return {
        ("holds", "holds"): "On digits the two come together, as on MNIST-1D.",
        ("holds", "fails"): "On digits the large batch is the sharper one and the better one. One data set is enough "
        "to refute *whenever sharper, then worse*; it says nothing about *often*.",
        ("fails", "holds"): "On digits the large batch is the flatter one and the worse one. One data set is enough to "
        "refute *whenever worse, then sharper*.",
        ("fails", "fails"): "On digits the large batch is flatter and better: the two come together, the other way "
        "round.",
    }.get((sharper, gap)) or whether("the two come together on digits", sharper, gap, by="this page's seeds")


def without_a_large_batch(steep: Word, share: float, loss: float) -> str:
    """*Between two minima*: does a small batch that stopped early have a steep side as well?

    Parameters
    ----------
    steep : str
        The word of that claim.
    share : float
        Of the large batch's asymmetry, what the early net has.
    loss : float
        Of the early net.
    """
    if steep == "holds":
        part = f"{100 * share:.0f} % of the asymmetry comes"
        more = f"an asymmetry {share:.1f} times as large comes"
        return (
            f"So {part if share < 1 else more} without any large batch: a small-batch net near the start goes up on "
            f"that side, too. (The early net is not a minimum. Its loss is {loss:.2f}.)"
        )
    if steep == "fails":
        return "So the steep side does belong to the large batch."
    return whether("the steep side belongs to the large batch", steep)


def curve_or_line(low: Word) -> str:
    """*Between two minima*: does a bound on the curve's barrier tell it from the line, whose barrier may be below it as
    well?"""
    return {
        "holds": "So this bound does not tell a curve from a line.",
        "fails": "So this bound tells the curve from the line, whose barrier is above it.",
    }.get(low) or whether("this bound tells a curve from a line", low)


def flatter_and_worse(flatter: Word, worse: Word, both: str) -> str:
    """*What a batch size changes*: can a large batch end flatter than a small one and generalise worse? `both`: the
    networks on which it is both, or none, because each word may be that of another network."""
    if flatter == worse == "holds":
        said = (
            f"On {both} the large batch can end flatter than the small one and generalise worse. Flatness is not all "
            "that a small batch gives."
        )
        return said if both else NOT_ON_ONE
    if "fails" in (flatter, worse):
        return "At 16 times the rate no large batch is both flatter and worse, so there is no example against flatness."
    return whether("a large batch can end flatter and generalise worse", flatter, worse)


def sharp_therefore_worse(sharper: Word, gap: Word, both: str, not_decided: str) -> str:
    """*Measuring sharpness*: is a sharper large batch a worse one? `both`: the networks on which it is sharper and
    worse, or none; `not_decided`: those on which it is sharper, and it is not decided that it is worse, or none."""
    if sharper == "fails":
        return "The large batch is not the sharper one, so it does not tell what sharpness costs."
    if sharper != "holds" or gap not in ("holds", "fails"):
        return whether("the sharper large batch is the worse one too", sharper, gap)
    if gap == "fails":
        return "The large batch is the sharper one and not the worse one, so sharp does not mean worse."
    said = f"On {both} the large batch is the sharper one and the worse one." if both else NOT_ON_ONE
    if not_decided:
        said += f" On {not_decided} it is the sharper one, and it is not decided that it is worse."
    return said


def batch_or_rate(fall: Word, level: Word, lower: bool, most: str) -> str:
    """*The threshold*: does accuracy fall as the batch grows, and does it at the root rule?

    Parameters
    ----------
    fall, level : str
        The words of *falls with the batch* at one rate, and of *level at the root rule*.
    lower : bool
        Whether the largest batch is the less accurate one at the root rule.
    most : str
        The networks of which *level at the root rule* has its word.
    """
    if fall == "fails":
        return (
            "At one rate the accuracy does not fall here as the batch grows, so there is no fall for the root rule to "
            "explain."
        )
    falls = "At one rate the accuracy falls as the batch grows. At the root rule it"
    if (fall, level) == ("holds", "holds"):
        return f"{falls} does not on {most}. So Figure 4 shows there a rate that was kept, and not too large a batch."
    if (fall, level) == ("holds", "fails"):
        found = f"falls as well on {most}, so the rate is not the whole reason there" if lower else f"rises on {most}"
        return f"{falls} {found}."
    if fall == "holds":
        return (
            f"At one rate the accuracy falls as the batch grows. {whether('it falls at the root rule as well', level)}"
        )
    return whether("a fall belongs to the batch size or to the rate that was kept", fall, level)


def level_on_f1(level: Word, lower: bool) -> str:
    """*The threshold*: the same of F1, whose gap is a fraction of a point.

    Parameters
    ----------
    level : str
        The word of *F1 is level at the root rule*.
    lower : bool
        Whether the largest batch is the less accurate one there.
    """
    if level == "holds":
        return "On F1 the accuracy stays level at the root rule, within a tenth of a point."
    if level == "fails":
        return f"On F1 the accuracy at the root rule {'falls' if lower else 'rises'} by more than a tenth of a point."
    return whether("the accuracy on F1 stays level at the root rule, within a tenth of a point,", level)


def warm_start(accuracy: Word, sharpness: Word, both: str) -> str:
    """*The threshold*: is a warm start a falling rate? `both`: the networks on which it is one by both claims, or none,
    because each word may be that of another network."""
    if accuracy == sharpness == "holds":
        said = (
            f"By these rules a large batch after a small one does what a lower rate does on {both}. What the warm "
            "start repairs there, a falling learning rate repairs too."
        )
        return said if both else NOT_ON_ONE
    if "fails" in (accuracy, sharpness):
        return "By these rules a large batch after a small one is not the same as a lower rate."
    return whether("a warm start is a falling rate", accuracy, sharpness)


def own_edges(ordering: Word, own: Word) -> str:
    """*The edge of stability*: do small batches train at an edge of their own, where lambda_max is lower?"""
    if ordering == "fails":
        return "The ordering fails here, so there is nothing to explain."
    if own == "fails":
        return "Small batches are not at an edge of their own here, so the rate alone does not explain where they end."
    if ordering == own == "holds":
        return (
            "Both claims hold: batches of 8 train at an edge of their own, and $\\lambda_{\\max}$ is lower there than "
            "with all rows. Then a table at one rate compares what *that rate* allows to each."
        )
    return (
        f"{whether('batches of 8 train at an edge of their own', ordering, own)} If they do, the table compares what "
        "*one rate* allows to each."
    )


def move_together(word: Word) -> str:
    """*The paper's cures*: do accuracy and sharpness move together?"""
    return {
        "holds": "Over these cures accuracy rises where sharpness falls: the two move together.",
        "fails": "Over these cures accuracy and sharpness do not move together.",
    }.get(word) or whether("accuracy and sharpness move together over these cures", word)


def step_or_flatness(word: Word) -> str:
    """*Cures since 2017*: does the root rule, which asks for the right step, help more than SAM, which asks for
    flatness?"""
    return {
        "holds": "The root rule, which asks for the right step, helps this large batch more than SAM, which asks for "
        "flatness.",
        "fails": "The root rule, which asks for the right step, does not help this large batch more than SAM, which "
        "asks for flatness.",
    }.get(word) or whether("the root rule helps this large batch more than SAM", word)


def orders_nets(whole: Word, alone: Word) -> str:
    """*Does sharpness predict?*: does phi order nets over a whole grid, and when one choice is varied at a time?"""
    return {
        ("holds", "holds"): "$\\phi$ orders these nets over the whole grid and also, on average, when one choice is "
        "varied and the others are held.",
        ("holds", "fails"): "Over the whole grid a larger $\\phi$ goes with a larger test error, but when one choice "
        "is varied at a time it goes, on average, with a smaller one. The order comes from differences between "
        "choices, so it does not show that $\\phi$ is the reason.",
        ("fails", "holds"): "Over the whole grid a larger $\\phi$ goes with a smaller test error, although when one "
        "choice is varied at a time it goes, on average, with a larger one, because the choices pull in opposite "
        "directions, as in the picture at the top.",
        ("fails", "fails"): "A larger $\\phi$ goes with a *smaller* test error, over the whole grid and also, on "
        "average, when one choice is varied at a time.",
    }.get((whole, alone)) or _half_known(whole, alone)


def _half_known(whole: Word, alone: Word) -> str:
    """What is said of the orders where at most one of the two is known."""
    error = {"holds": "a larger test error", "fails": "a smaller test error"}
    if alone in error:
        known = f"When one choice is varied at a time a larger $\\phi$ goes, on average, with {error[alone]}."
        return f"{known} {whether('this is so over the whole grid', whole)}"
    if whole in error:
        known = f"Over the whole grid a larger $\\phi$ goes with {error[whole]}."
        return f"{known} {whether('this is so when one choice is varied at a time', alone)}"
    return whether("$\\phi$ orders these nets", whole, alone)


def distance_or_sharpness(distance: Word, further: Word) -> str:
    """*Does sharpness predict?*: does the distance from the start say more than phi?

    Parameters
    ----------
    distance, further : str
        The words of *distance orders better than sharpness* and of *further is better*.
    """
    if distance == "holds":
        more = "How far a net has travelled says more about its test error than $\\phi$ does."
        better = " Further is better, although the bound of this page grows with the distance."
        return more + (better if further == "holds" else "")
    if distance == "fails":
        return "How far a net has travelled says less about its test error than $\\phi$ does."
    return whether("the distance or $\\phi$ says more", distance)


def put_right(word: Word, holds: str, fails: str) -> str:
    """*What newcomers are told*: what is to be said instead; `holds` and `fails` are sentences."""
    return {
        "holds": holds,
        "fails": fails,
        "mixed": "What is said holds in some of the cases and fails in others, so it needs a condition.",
        "not run": "It has not been run yet, so nothing can be put right.",
    }.get(word, "The recorded seeds do not decide this, so the sentence is a guess so far.")


def needs_the_rate(flatter: Word, most: str) -> str:
    """*Open questions*: can a theorem on large batches do without the rate? `most`: the networks that decide it."""
    return {
        "holds": f"The claim against a yes holds: on {most} a higher rate made the large batch the flatter one. A "
        "theorem that covers such a network has to say in its first line which rates it compares.",
        "fails": f"The claim against a yes fails: on {most} a higher rate did not make the large batch the flatter "
        "one.",
    }.get(flatter) or whether("a theorem needs the rate", flatter)
