"""Time several ways of doing one thing in turn, so that a machine that slows down slows all of them down alike."""

import statistics
import time
from dataclasses import dataclass, field

import torch


@dataclass
class Timed:
    """What one way took and gave back, one entry a round."""

    seconds: list = field(default_factory=list)
    results: list = field(default_factory=list)


def interleave(ways, rounds, wall=False):
    """Run every way once a round, `rounds` times, after a round that is not counted; {name: Timed}.

    ways    {name: function of the round's number}; the round that is not counted, to warm up, is number 0
    wall    see `clock`

    Each round begins with another of the ways, so that none always runs in the other's wake.
    """
    timed = {name: Timed() for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds, result = clock(ways[name], number, wall=wall)
            if number:
                timed[name].seconds.append(seconds)
                timed[name].results.append(result)
    return timed


def clock(function, *arguments, wall=False):
    """(seconds, result). On the CPU they are this process's processor seconds, which other work on the machine hardly
    changes, unless `wall` is asked for; on a GPU seconds by the wall clock, with its queue empty at both ends."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.synchronize()
    now = time.perf_counter if wall or on_gpu else time.process_time
    began = now()
    result = function(*arguments)
    if on_gpu:
        torch.cuda.synchronize()
    return now() - began, result


def spread(values):
    """The median of a few numbers and their range, as {"median", "low", "high"}."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratio(above, below):
    """The spread of a ratio taken round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])
