"""flatlab: why do large batches generalise worse? A network is a point x, the loss is a function f(x).

data  = flatlab.load("mnist1d")
small = flatlab.train("mlp", data, batch_size=32)
large = flatlab.train("mlp", data, batch_size=0.5)
f     = flatlab.Objective("mlp", data.train)
flatlab.sharpness(f, large.x)                    # Keskar et al. 2017, Metric 2.1
flatlab.line(f, small.x, large.x)                # Figure 3
"""

from flatlab.data import Data, Split, load
from flatlab.measure.estimate import Estimate
from flatlab.measure.maximise import Maximum, maximise
from flatlab.measure.noise import gradient_variance, hessian_noise_scale, noise_scale, signal_to_noise
from flatlab.measure.paths import Path, Surface, Triangle, arc, connect, directions, line, plane, triangle
from flatlab.measure.region import Region, box
from flatlab.measure.sharpness import AdaptiveSharpness, Sharpness, adaptive_sharpness, average_sharpness, sharpness
from flatlab.measure.spectrum import Density, Eigen, density, eigenvalues, trace
from flatlab.nets import build
from flatlab.objective import Objective
from flatlab.study.experiments import reproduce
from flatlab.study.recorded import Result, recorded
from flatlab.training.store import Store
from flatlab.training.train import Recipe, Run, train
from flatlab.version import __version__

__all__ = [
    "AdaptiveSharpness",
    "Data",
    "Density",
    "Eigen",
    "Estimate",
    "Maximum",
    "Objective",
    "Path",
    "Recipe",
    "Region",
    "Result",
    "Run",
    "Sharpness",
    "Split",
    "Store",
    "Surface",
    "Triangle",
    "__version__",
    "adaptive_sharpness",
    "arc",
    "average_sharpness",
    "box",
    "build",
    "connect",
    "density",
    "directions",
    "eigenvalues",
    "gradient_variance",
    "hessian_noise_scale",
    "line",
    "load",
    "maximise",
    "noise_scale",
    "plane",
    "recorded",
    "reproduce",
    "sharpness",
    "signal_to_noise",
    "trace",
    "train",
    "triangle",
]
