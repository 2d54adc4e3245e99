"""The second derivative of f as an operator: products H v without ever holding H.

An operator has .size, `operator @ v` and .x. Products are exact, and chunks are weighted by their size, as in the objective.
Attention is computed by its formula here: torch's fused kernels have no second derivative.
"""

import torch
from torch.func import grad, jvp, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

METHODS = ("graph", "reverse", "forward")


class _Operator:
    """v -> A v for a symmetric A of second derivatives at x, or for its rows and columns that belong to some parameters."""

    def __init__(self, f, x, names):
        self.f, self.x, self.products = f, (f.x if x is None else x).detach(), 0
        f.prepare_gradient(self.x)
        self.where = _positions(f, names)
        self.size = f.size if self.where is None else len(self.where)

    def __matmul__(self, v):
        """A v, of shape (size,)."""
        if v.shape != (self.size,):
            raise ValueError(f"this operator takes vectors of shape ({self.size},), but this one has {tuple(v.shape)}.")
        self.products += 1
        full = v if self.where is None else torch.zeros_like(self.x).index_copy(0, self.where, v)
        with sdpa_kernel(SDPBackend.MATH):
            product = self._full(full.detach())
        return product if self.where is None else product[self.where]

    def gradient(self):
        """grad f(x), of shape (size,). It lies mostly along the largest eigenvectors (Gur-Ari, Roberts & Dyer 2018)."""
        with sdpa_kernel(SDPBackend.MATH):  # the graph must be one that can be differentiated again
            gradient = self._full_gradient()
        return gradient if self.where is None else gradient[self.where]

    def _full_gradient(self):
        return self.f.gradient(self.x)[1]


class Hessian(_Operator):
    """H = grad^2 f(x), or its rows and columns that belong to some parameters.

    f, x        an `Objective` and a point of it, default f.x; also `f.hessian(x)`
    names       parameters to restrict to, by name, e.g. ["1.weight"]; None: all
    method      "graph"    the gradient's graph is kept and differentiated again: the fewest operations, all rows in memory; the
                           default when they are one chunk
                "reverse"  double backward, chunk by chunk; the default else
                "forward"  forward over reverse, chunk by chunk: every layer and the loss need a forward derivative

    .method says which was taken, .products how many were made. Raises ValueError for names and methods that do not exist, and
    where f has no second derivative chunk by chunk.
    Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian". Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """

    def __init__(self, f, x=None, *, names=None, method=None):
        super().__init__(f, x, names)
        self.method, self._kept = method or ("graph" if f.count == 1 else "reverse"), None
        if self.method not in METHODS:
            raise ValueError(f"method is {method!r}: choose one of {', '.join(METHODS)}.")
        if self.method == "graph" and f.count > 1:
            raise ValueError(
                f"method='graph' keeps the graph of all {f.rows:,} rows, and they come in {f.count} chunks: "
                "take 'reverse', or one larger chunk."
            )

    def _full_gradient(self):
        return self._graph()[1].detach() if self.method == "graph" else super()._full_gradient()

    def _graph(self):
        if self._kept is None:
            self._kept = self._gradient(*next(self.f.chunks()))
        return self._kept

    def _full(self, v):
        if self.method == "graph":
            x, gradient = self._graph()
            return torch.autograd.grad(gradient, x, v, retain_graph=True, materialize_grads=True)[0]
        product = torch.zeros_like(v)
        for inputs, targets, weight in self.f.chunks():
            if self.method == "forward":
                product.add_(self._forward(inputs, targets, v), alpha=weight)
            else:
                x, gradient = self._gradient(inputs, targets, weight)
                product += torch.autograd.grad(gradient, x, v, materialize_grads=True)[0]
        return product

    def _forward(self, inputs, targets, v):
        try:
            return jvp(grad(lambda x: self.f.loss(self.f.outputs(x, inputs), targets)), (self.x,), (v,))[1]
        except RuntimeError as error:
            raise RuntimeError(
                "a layer or the loss has no forward derivative in this version of torch "
                f"({str(error).splitlines()[0]}): take method='reverse'."
            ) from error

    def _gradient(self, inputs, targets, weight):
        """A point that can be differentiated by, and a chunk's share of the gradient there, with its graph."""
        with torch.enable_grad():
            x = self.x.clone().requires_grad_()
            value = weight * self.f.loss(self.f.outputs(x, inputs), targets)
            gradient = torch.autograd.grad(value, x, create_graph=True)[0]
            return x, gradient if gradient.requires_grad else gradient + 0 * x  # a loss that is linear in x


class GaussNewton(_Operator):
    """G = 1/N sum_i J_i^T (grad^2 of the loss in the outputs) J_i: the Hessian without the net's own curvature.

    It is positive semidefinite for a convex loss, and equals the Hessian where the outputs are linear in x.
    Arguments and use as for `Hessian`; also `f.gauss_newton(x)`. Source: Schraudolph 2002.
    """

    method = "gauss-newton"

    def __init__(self, f, x=None, *, names=None):
        super().__init__(f, x, names)

    def _full(self, v):
        product = torch.zeros_like(v)
        for inputs, targets, weight in self.f.chunks():
            outputs, moved = jvp(lambda x: self.f.outputs(x, inputs), (self.x,), (v,))
            bent = vjp(grad(lambda o: self.f.loss(o, targets)), outputs)[1](moved)[0]  # symmetric: J^T v is J v
            product.add_(vjp(lambda x: self.f.outputs(x, inputs), self.x)[1](bent)[0], alpha=weight)
        return product


def _positions(f, names):
    """The places in x of the named parameters."""
    if names is None:
        return None
    if not names:
        raise ValueError("no parameter is named: name some, or leave names out for all of them.")
    unknown = sorted(set(names) - set(f.names))
    if unknown:
        raise ValueError(f"no parameter is called {unknown[0]!r}: choose among {', '.join(f.names)}.")
    places = torch.arange(f.size, device=f.x.device).split(f.sizes)
    return torch.cat([place for name, place in zip(f.names, places) if name in set(names)])
