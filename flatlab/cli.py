"""The `flatlab` command: errors are one sentence and exit status 2; `--json` prints for machines."""

import argparse
import dataclasses
import inspect
import json
import math
import os
import re
import statistics
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

import torch

import flatlab
from flatlab import data as datasets
from flatlab import files, nets
from flatlab.measure.memory import UsedUp
from flatlab.plots.tables import published
from flatlab.study import again, experiments, recorded
from flatlab.training import store as stores
from flatlab.training.recipe import Recipe
from flatlab.training.train import progress_bar

DESCRIPTION = "Why do large batches generalise worse? Train, measure sharpness, and redo Keskar et al. 2017."
STORE = "Directory of runs; left out, $FLATLAB_STORE or the platform's cache."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        answer, text = options.run(options)
    except (ValueError, OSError, ImportError, FloatingPointError, UsedUp) as error:
        print(f"flatlab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "flatlab: interrupted; what was finished is in the store, and the same command goes on from there.",
            file=sys.stderr,
        )
        return 130
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if _workers() == 1 or os.environ.get("RANK") == "0":  # of torchrun's workers, the first one speaks
        _say(json.dumps(answer) if options.json else text)
    return 0


def _say(text):
    """Print it all. Who reads may stop before the end, as `flatlab verdicts | head` does: that is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes when it ends


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    root = argparse.ArgumentParser("flatlab", description=DESCRIPTION)
    root.add_argument("--version", action="version", version=flatlab.__version__)
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, run, text):
        p = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        p.set_defaults(run=run)
        p.add_argument("--json", action="store_true", help="Print one JSON object.")
        return p

    p = command("data", _data, "Load data sets, downloading what is not there yet.")
    p.add_argument(
        "names", nargs="*", metavar="NAME", help=f"Of {', '.join(datasets.DATA_SETS)}; without one, list them."
    )

    p = command("train", _train, "Train one run, or read it from the store.")
    _run_options(p)

    p = command("sharpness", _sharpness, "Measure the sharpness (Metric 2.1) of one run, training it if need be.")
    _run_options(p)
    p.add_argument("--eps", type=float, default=1e-3, help="Relative size of the box.")
    p.add_argument(
        "--subspace", type=int, metavar="P", help="Dimensions of a random subspace; left out, the full space."
    )
    p.add_argument(
        "--method", default="lbfgs", help="How the maximum is searched: lbfgs, apgd, best, or the paper's scipy."
    )
    p.add_argument("--steps", type=int, default=10, help="Steps of the inner maximisation.")

    p = command("line", _line, "The loss along the line from small to large batch (Figure 3), or the arc (Figure 7).")
    _run_options(p)
    p.add_argument("--large", type=number, default=0.10, help="The large batch, which is at alpha = 1.")
    p.add_argument("--arc", action="store_true", help="Follow the arc of Figure 7.")

    p = command(
        "reproduce",
        _reproduce,
        "Redo one of the paper's tables or figures; write its result file and, beside it, its figure or table.",
    )
    p.add_argument("experiment", help=f"Of {', '.join(experiments.EXPERIMENTS)}.")
    p.add_argument("--tier", default="smoke", help=f"The size: {', '.join(recorded.TIERS)}.")
    p.add_argument("--nets", nargs="+", help="Only these of the tier's nets.")
    p.add_argument("--store", help=STORE)
    p.add_argument("--engine", default="local", help="local: processes on this machine; ray: a Ray cluster.")
    p.add_argument(
        "--workers", type=int, help="Processes of the local engine; left out, one per core, or one with a GPU."
    )
    p.add_argument("--address", help="Address of the Ray cluster.")
    p.add_argument(
        "--out",
        help="Result file; left out, EXPERIMENT-TIER.json here. Its figure (.svg) or table (.md) lies beside it.",
    )

    p = command("plan", _plan, "What a tier takes to train: runs, floating-point operations, time on this device.")
    p.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="Left out, all.")
    p.add_argument("--tier", default="smoke", help=f"The size: {', '.join(recorded.TIERS)}.")

    p = command("verdicts", _verdicts, "Print what the recorded results say of each claim, or compare with a new run.")
    p.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="Left out, all.")
    p.add_argument(
        "--again",
        action="store_true",
        help="Run the recorded experiments of a tier again, by other kernels of the processor and with another number "
        "of threads, and compare the words.",
    )
    p.add_argument(
        "--tier",
        help=f"Of {', '.join(recorded.TIERS)}; left out, each network's largest recorded one, and smoke with --again.",
    )
    p.add_argument("--nets", nargs="+", help="Only these networks.")
    p.add_argument("--store", help="With --again: the directory of its runs; left out, again beside the usual one.")
    p.add_argument("--workers", type=int, help="With --again: its processes; left out, one per core.")

    p = command("runs", _runs, "List, show or prune the runs of a store.")
    p.add_argument("action", choices=("list", "show", "prune"), help="What to do with the runs.")
    p.add_argument("--stale", action="store_true", help="For prune: also what other code has made than that of now.")
    p.add_argument("key", nargs="?", help="For show: the run's key, or its first digits.")
    p.add_argument("--store", help=STORE)
    return root


def _run_options(p):
    p.add_argument("net", help=f"The network: {', '.join(nets.NETS)}.")
    p.add_argument("data", help=f"The data set: {', '.join(datasets.DATA_SETS)}.")
    sentences, types = _parameters(Recipe), typing.get_type_hints(Recipe)
    for field in dataclasses.fields(Recipe):
        option, kind = f"--{field.name.replace('_', '-')}", types[field.name]
        about = {"default": field.default, "help": sentences.get(field.name)}
        if kind is bool:
            p.add_argument(option, action="store_true", **about)
        else:
            p.add_argument(option, type=READ.get(kind, str), **about)
    p.add_argument("--seed", type=int, default=0, help="Decides initialisation and batches.")
    p.add_argument("--store", help=STORE)


def number(text: str) -> int | float:
    """A count, or a share with a point or an exponent. Named as argparse's refusals show it: "invalid number value"."""
    return float(text) if any(mark in text for mark in ".e") else int(text)


# How the value of a recipe's field is read; any other field is a word.
READ = {int | float: number, int | float | None: number, int: int, float: float, float | None: float}


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that gives the default of an option that has one."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def _parameters(documented):
    """name -> its text in the section Parameters of a docstring, ready for argparse."""
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", inspect.getdoc(documented) or "", re.MULTILINE)
    return {name: " ".join(text.split()).replace("%", "%%") for name, text in entries}


def _workers():
    """How many processes torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _join_workers():
    """Become one of torchrun's workers, where there are several, each with a GPU of its own if there are GPUs."""
    if _workers() == 1 or torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        workers, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if workers > gpus:
            raise ValueError(
                f"torchrun started {workers} workers on this machine, which has GPUs for {gpus}: say "
                f"--nproc-per-node {gpus}."
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def _trained(options, data, **changes):
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Recipe)})
    return flatlab.train(
        options.net,
        data,
        recipe,
        seed=options.seed,
        store=stores.Store(options.store),
        progress=sys.stderr.isatty(),
        **changes,
    )


def _data(options):
    if not options.names:
        return {"names": datasets.DATA_SETS, "root": str(files.cache_directory())}, "\n".join(datasets.DATA_SETS)
    found = [flatlab.load(name) for name in options.names]
    answer = {
        d.name: {"train": len(d.train), "test": len(d.test), "shape": list(d.train.x.shape[1:]), "classes": d.classes}
        for d in found
    }
    return answer, "\n".join(
        f"{name}: {a['train']:,} + {a['test']:,} rows of {tuple(a['shape'])}, {a['classes']} classes"
        for name, a in answer.items()
    )


def _train(options):
    _join_workers()
    run = _trained(options, flatlab.load(options.data))
    return {"facts": run.facts, "history": run.history}, repr(run)


def _sharpness(options):
    _join_workers()
    data = flatlab.load(options.data)
    run = _trained(options, data)
    found = flatlab.sharpness(
        flatlab.Objective(options.net, data.train),
        run.x,
        options.eps,
        subspace=options.subspace,
        method=options.method,
        steps=options.steps,
        seed=options.seed,
    )
    answer = {
        name: getattr(found, name) for name in ("percent", "base", "peak", "eps", "subspace", "batch_norm", "seed")
    }
    maximum = {
        name: getattr(found.maximum, name) for name in ("evaluations", "at_bound", "converged", "method", "history")
    }
    return {**answer, "maximum": maximum, "facts": run.facts}, f"{run}\n{found}"


def _line(options):
    _join_workers()
    data = flatlab.load(options.data)
    small, large = _trained(options, data), _trained(options, data, batch_size=options.large)
    path = (flatlab.arc if options.arc else flatlab.line)(flatlab.Objective(options.net, data.train), small.x, large.x)
    rows = [
        f"{alpha:7.3f}  {loss:10.4f}  {accuracy:8.2f} %"
        for alpha, loss, accuracy in zip(path.alphas, path.loss, path.accuracy)
    ]
    return (
        {**dataclasses.asdict(path), "barrier": path.barrier()},
        "\n".join(["  alpha        loss  accuracy", *rows, f"barrier {path.barrier():.4f}"]),
    )


def _reproduce(options):
    if _workers() > 1:
        raise ValueError("reproduce starts processes of its own (--workers): run it without torchrun.")
    path = options.out or f"{options.experiment}-{options.tier}.json"
    if Path(path).exists():
        recorded.Result.read(path)  # what is no result is refused before hours of work, not after them
    files.check_writable(path)
    result = flatlab.reproduce(
        options.experiment,
        options.tier,
        nets=options.nets,
        store=options.store,
        engine=options.engine,
        workers=options.workers,
        address=options.address,
        progress=sys.stderr.isatty(),
    )
    result.save(path)
    try:
        from flatlab.plots import results as figures

        shown = figures.write(result, path.removesuffix(".json"))
    except ImportError as error:  # the result is whole; what draws it is an extra
        shown, words = None, f"{path}; no figure or table beside it ({error}): pip install 'flatlab[book]'"
    else:
        words = f"{path} and {shown}"
    return {"file": path, "shown": shown, **dataclasses.asdict(result)}, f"{_summary(result)}\nwritten to {words}"


def _plan(options):
    found = experiments.costs(options.tier, options.experiments)
    rows = [
        f"{name:16} {c['runs']:5} runs {c['flops']:10.2e} operations {c['seconds'] / 60:10.1f} minutes"
        for name, c in found.items()
    ]
    return found, "\n".join(rows)


def _verdicts(options):
    for name in options.experiments:
        experiments.check_known(name, experiments.EXPERIMENTS)
    if options.tier is not None:
        experiments.check_known(options.tier, recorded.TIERS)
    for net in options.nets or ():
        experiments.check_known(net, experiments.networks())
    if options.again:
        return _again(options)
    if options.store is not None or options.workers is not None:
        raise ValueError("--store and --workers say where experiments run: give them with --again.")
    from flatlab.study.ledger import Word, ledger  # here: flatlab itself needs no scipy

    entries = [
        entry._replace(
            judgements=tuple(one for one in entry.judgements if options.nets is None or one.net in options.nets)
        )
        for entry in ledger(recorded.TIERS if options.tier is None else (options.tier,))
        if not options.experiments or entry.claim.experiment in options.experiments
    ]
    counts = {word: sum(entry.word == word for entry in entries) for word in typing.get_args(Word)}
    answer = [
        {
            **{key: getattr(entry.claim, key) for key in ("name", "words", "source", "experiment", "rule")},
            "word": entry.word,
            "judgements": [_finite(dataclasses.asdict(one)) for one in entry.judgements],
        }
        for entry in entries
    ]
    total = f"{len(entries)} claims: {', '.join(f'{count} {word}' for word, count in counts.items() if count)}"
    lines = [line for entry in entries for line in _entry_lines(entry)]
    return {"claims": answer, "counts": counts}, "\n".join([*lines, total])


def _entry_lines(entry):
    """A claim and its word, and below it what each network says."""
    yield f"{entry.word:10} {entry.claim.name}: {entry.claim.rule}"
    for one in entry.judgements:
        amount = one.beside(entry.claim.above, entry.claim.below)
        yield f"{'':10} {one.net}, {one.tier} tier, {one.seeds} seeds: {one.word}, {amount}"


def _finite(values):
    """JSON has neither infinity nor nan."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


def _again(options):
    if _workers() > 1:
        raise ValueError("verdicts --again starts processes of its own (--workers): run it without torchrun.")
    from flatlab.study.ledger import agreement  # here: flatlab itself needs no scipy

    tier, usual = options.tier or "smoke", stores.Store().root
    store = Path(options.store or usual.with_name("again")).expanduser()
    if store.resolve() == usual.resolve():
        raise ValueError(f"{store} may hold the very runs that are to be made again: choose another --store.")
    before, after = again.judged(tier, options.experiments, options.nets), []
    with progress_bar(len(before), "experiment", "again", sys.stderr.isatty()) as bar:
        for result in before:
            after.append(again.reproduce_again(result, store, options.workers))
            bar.update()
    found = agreement(before, after)
    same = sum(one.values == other.values for one, other in zip(before, after))
    rows = [
        {"claim": one.claim, "net": one.net, "before": one.word, "after": other.word}
        | _finite({"effect before": one.effect, "effect after": other.effect})
        for one, other in found.pairs
    ]
    shares = {"equal": found.equal, "decided before": found.decided[0], "decided after": found.decided[1]}
    answer = {"tier": tier, "results": len(before), "results of the same bits": same, **_finite(shares), "words": rows}
    wide = max(len(row["claim"]) for row in rows)
    lines = [f"{row['claim']:{wide}}  {row['net']:12} {row['before']:10} {row['after']}" for row in rows]
    lines.append(
        f"{len(rows)} words at the {tier} tier, {found.equal:.0%} the same; decided: {found.decided[0]:.0%} before, "
        f"{found.decided[1]:.0%} after"
    )
    if same:
        lines.append(f"{same} of {len(before)} results are the same to the last bit: they were not put to the test")
    if not any(found.decided):
        lines.append("no word is decided, so none could change: run a tier of five seeds or more, as --tier reduced")
    return answer, "\n".join(lines)


def _summary(result):
    """The table with the paper's beside it, mean ± standard deviation over the seeds; for a curve, its size."""
    lines = [f"{result.experiment} at the {result.tier} tier"]
    for net, columns in result.values.items():
        lines.append(f"{net} on {result.data[net]}, {len(result.seeds[net])} seeds")
        for column, values in columns.items():
            if isinstance(values[0], list):
                lines.append(f"  {column:12} {len(values)} x {len(values[0])} values")
                continue
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            theirs = published(result.experiment, net, column)
            lines.append(
                f"  {column:12} {statistics.mean(values):.2f} ± {spread:.2f}" + (f"   paper {theirs}" if theirs else "")
            )
    return "\n".join(lines)


def _runs(options):
    store = stores.Store(options.store)
    if options.action == "prune":
        removed = [str(path) for path in store.prune(stale=options.stale)]
        return {"removed": removed}, f"{len(removed)} files removed from {store.root}"
    found = [
        {"key": key, "partial": partial, "stale": facts is not None and stores.is_stale(facts), "facts": facts}
        for key, partial, facts in store.runs()
    ]
    if options.action == "show":
        if not options.key:
            raise ValueError("say which run to show: a key, or its first digits, from `flatlab runs list`.")
        found = [run for run in found if run["key"].startswith(options.key)]
        if len(found) != 1:
            raise ValueError(
                f"{len(found)} runs in {store.root} have a key that starts with {options.key!r}: give one of "
                "`flatlab runs list`."
            )
        return found[0], json.dumps(found[0], indent=1)
    return {"root": str(store.root), "runs": found}, "\n".join(map(_run_line, found)) or f"no runs in {store.root}"


def _run_line(run):
    if run["facts"] is None:
        return f"{run['key']}  not a whole run"
    stale = ", stale: other code has made it" if run["stale"] else ""
    if "values" in run["facts"]:
        return f"{run['key']}  measured: {run['facts']['experiment']}{stale}"
    facts = run["facts"]["facts"]
    state = "half-finished" if run["partial"] else "finished"
    return (
        f"{run['key']}  {facts['net']:6} {facts['data']:10} batch {facts['rows']:<6} seed {facts['seed']}  "
        f"{len(run['facts']['history']['epoch'])} epochs, {state}{stale}"
    )


if __name__ == "__main__":
    sys.exit(main())
