"""Training against the loop that everybody writes: DataLoader, model(x), loss.backward(), torch.optim.Adam.

Both train the same nets, count loss and accuracy, and evaluate the test set after every epoch. By the wall clock, since
a DataLoader's workers are other processes.
"""

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import flatlab
from benchmarks.timing import interleave, ratio, spread
from benchmarks.workload import F1, blobs, network

TITLE = "Training epoch"
NETS = {"F1, batch 256": (F1, 256, 10_000), "4 x 256, batch 32": ((256,) * 4, 32, 10_000)}


def measure(nets=NETS, rounds=3, epochs=2, workers=(0, 2), device="cpu"):
    seconds, ratios, found = {}, {}, {}
    for label, net in nets.items():
        timed = _train(*net, rounds, epochs, workers, device)
        for name, way in timed.items():
            each = [total / epochs for total in way.seconds]
            seconds[f"{label}: {name}"] = each
            found[f"{label}: {name}"] = {"seconds per epoch": spread(each)["median"]}
            if name != "flatlab":
                ratios[f"{label}: flatlab / {name}"] = ratio(timed["flatlab"].seconds, way.seconds)
    return {
        "title": TITLE,
        "setting": "wall clock; " + "; ".join(f"{label}: {rows:,} rows" for label, (_, _, rows) in nets.items()),
        "seconds": seconds,
        "ratios": ratios,
        "found": found,
    }


def _train(widths, batch, rows, rounds, epochs, workers, device):
    data = blobs(rows, device=device)
    ways = {
        "flatlab": lambda round: flatlab.train(network(widths), data, batch_size=batch, epochs=epochs, progress=False)
    }
    for count in workers:
        ways[f"DataLoader, {count} workers"] = lambda round, count=count: loop(
            network(widths), data, batch, epochs, count
        )
    return interleave(ways, rounds, wall=True)


def promises(case):
    return []


def loop(net, data, batch, epochs, workers):
    """What a careful user writes; the accuracy of the last epoch."""
    device = data.train.x.device
    net.to(device)
    training, test = (TensorDataset(part.x.cpu(), part.y.cpu()) for part in (data.train, data.test))
    loader = DataLoader(training, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    tester = DataLoader(test, 5000)
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(epochs):
        net.train()
        total, correct = 0.0, 0
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            outputs = net(x)
            loss = cross_entropy(outputs, y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            correct += (outputs.argmax(1) == y).sum().item()
        net.eval()
        with torch.no_grad():
            for x, y in tester:
                outputs = net(x.to(device))
                total += cross_entropy(outputs, y.to(device)).item()
    return correct / len(training)
