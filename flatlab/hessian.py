"""The second derivative of f as an operator: products H v without ever holding H.

Products are exact, and chunks are weighted by their size, as in the objective. Attention is computed by its formula
here, because torch's fused kernels have no second derivative.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch.func import grad, jvp, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

from flatlab.chunks import within_memory
from flatlab.measure import door
from flatlab.measure.arithmetic import own_arithmetic
from flatlab.measure.memory import is_used_up
from flatlab.outputs import replaced, tensors

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

    from flatlab.objective import Objective

CHECKPOINTED = (
    "the network recomputes its activations (gradient checkpointing), which torch cannot combine with this derivative: "
    "turn it off for measuring, e.g. by net.gradient_checkpointing_disable(), or by calling the layers without "
    "checkpoint()."
)

CUT = "an argmax, a detach(), a no_grad(), or a checkpoint() with use_reentrant=True of inputs that have no gradient"
NO_GRADIENT = f"the loss has no gradient: somewhere between the parameters and it there is {CUT}."

#: How a product with the Hessian is made, as `Hessian` explains it.
ProductMethod = Literal["graph", "reverse", "forward"]
PRODUCT_METHODS: tuple[ProductMethod, ...] = get_args(ProductMethod)


class _Operator:
    """v -> A v for a symmetric A of second derivatives at x, or for the part of it that belongs to some parameters."""

    method: str  # how products are made

    def __init__(self, f: "Objective", x: torch.Tensor | None, names: Sequence[str] | None) -> None:
        x = f.x if x is None else x
        f.prepare_gradient(x)
        with own_arithmetic(f.x.device):
            self.f, self.x, self.products = f, x.detach().clone(), 0
        self.where = _positions(f, names)
        self.size = f.size if self.where is None else len(self.where)

    @property
    def shape(self) -> tuple[int, int]:
        """(size, size)."""
        return self.size, self.size

    @property
    def dtype(self) -> torch.dtype:
        """The type of x, and of the vectors that the operator takes."""
        return self.x.dtype

    @property
    def device(self) -> torch.device:
        """Where x lies, and the vectors that the operator takes."""
        return self.x.device

    def __matmul__(self, v: torch.Tensor) -> torch.Tensor:
        """A v for a vector of shape (size,), or a matrix of shape (size, k), of which each column is a product."""
        if not torch.is_tensor(v) or v.dim() not in (1, 2) or len(v) != self.size:
            given = f"this one has {tuple(v.shape)}" if torch.is_tensor(v) else f"this is a {type(v).__name__}"
            raise ValueError(
                f"this operator takes vectors of shape ({self.size},) and matrices of shape ({self.size}, k), "
                f"but {given}."
            )
        if v.dtype != self.dtype or v.device != self.device:
            raise ValueError(
                f"this operator takes {self.dtype} on {self.device}, but these are {v.dtype} on {v.device}: "
                "call .to(operator.x) on them."
            )
        return self._product(v) if v.dim() == 1 else torch.stack([self._product(column) for column in v.T], 1)

    def gradient(self) -> torch.Tensor:
        """grad f(x), of shape (size,). It lies mostly along the largest eigenvectors (Gur-Ari, Roberts & Dyer 2018)."""
        with self.f.settings(), sdpa_kernel(SDPBackend.MATH):  # a graph that can be differentiated again
            gradient = self._full_gradient()
        return gradient if self.where is None else gradient[self.where]

    def to_scipy(self) -> "LinearOperator":
        """The operator for scipy's solvers, e.g. `scipy.sparse.linalg.eigsh` or `lobpcg`.

        Returns
        -------
        scipy.sparse.linalg.LinearOperator
            Of the same shape and type. Each product copies a vector from numpy to the device and back.

        Raises
        ------
        ImportError
            When scipy is not installed.
        """
        try:
            from scipy.sparse.linalg import LinearOperator
        except ImportError as error:
            raise ImportError(f"to_scipy needs scipy, which is not there ({error}): pip install scipy") from error

        def product(v):
            return (self @ torch.tensor(np.ascontiguousarray(v), device="cpu").to(self.x)).cpu().numpy()

        dtype = torch.empty(0, dtype=self.dtype, device="cpu").numpy().dtype
        return LinearOperator(self.shape, product, rmatvec=product, matmat=product, rmatmat=product, dtype=dtype)

    def _product(self, v: torch.Tensor) -> torch.Tensor:
        self.products += 1
        with self.f.settings(), sdpa_kernel(SDPBackend.MATH):
            v = v.detach().clone() if v.is_inference() else v.detach()
            full = v if self.where is None else torch.zeros_like(self.x).index_copy(0, self.where, v)
            self.f.load(self.x)  # what is computed again for a derivative is computed at this point
            try:
                product = self._full(full)
            except RuntimeError as error:
                if "derivative for" in str(error) and "not implemented" in str(error):
                    raise ValueError(
                        "a layer or the loss has no second derivative in torch "
                        f"({door.reason(error)}): sharpness can be measured here, and curvature cannot."
                    ) from error
                if "torch.utils.checkpoint" not in str(error):
                    raise
                raise ValueError(CHECKPOINTED) from error
            return product if self.where is None else product[self.where]

    def _full(self, v: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def _full_gradient(self) -> torch.Tensor:
        return self.f.gradient(self.x)[1]


class Hessian(_Operator):
    """The Hessian at a point, or its rows and columns that belong to some parameters, as an operator: `H @ v`.

    Parameters
    ----------
    f : Objective
        The function; `f.hessian(x)` makes the same operator.
    x : Tensor, optional
        A point of f, default f.x.
    names : sequence of str, optional
        Parameters to restrict to, e.g. ["1.weight"]; left out, all.
    method : {"graph", "reverse", "forward"}, optional
        "graph": the gradient's graph is kept and differentiated again, which takes the fewest operations and all rows
        in memory; the default when they are one chunk. "reverse": double backward, chunk by chunk; else the default.
        "forward": forward over reverse, chunk by chunk; every layer and the loss need a forward derivative.

    Attributes
    ----------
    size : int
        The length of the vectors that it takes.
    shape, dtype, device
        Its shape (size, size), and the type and device of the vectors.
    method : str
        Which method was taken.
    products : int
        How many products were made.

    Raises
    ------
    ValueError
        For names and methods that do not exist, and where f has no second derivative chunk by chunk.

    Notes
    -----
    A product is the derivative of the gradient along v::

        H v = d/dt grad f(x + t v)  at t = 0,    H = grad^2 f(x)

    Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian". Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """

    def __init__(
        self,
        f: "Objective",
        x: torch.Tensor | None = None,
        *,
        names: Sequence[str] | None = None,
        method: ProductMethod | None = None,
    ) -> None:
        super().__init__(f, x, names)
        self.method, self._kept = method or ("graph" if f.count == 1 else "reverse"), None
        if self.method not in PRODUCT_METHODS:
            raise ValueError(f"method is {method!r}: choose one of {', '.join(PRODUCT_METHODS)}.")
        if self.method == "graph" and f.count > 1:
            raise ValueError(
                f"method='graph' keeps the graph of all {f.rows:,} rows, and they come in {f.count} chunks: "
                "take 'reverse', or one larger chunk."
            )

    def __getstate__(self) -> dict:
        return {**vars(self), "_kept": None}  # a graph can be neither copied nor pickled, and is made again

    @within_memory
    def _full_gradient(self):
        if self.method == "graph" and self.f.count == 1:
            return self._graph()[1].detach()
        return super()._full_gradient()

    def _graph(self):
        if self._kept is None:
            self._kept = self._gradient(*next(self.f.chunks()))
        return self._kept

    @within_memory
    def _full(self, v):
        if self.method == "graph" and self.f.count > 1:  # they were halved, because the memory was used up
            self.method, self._kept = "reverse", None
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
            return jvp(grad(lambda x: self.f.loss(self.f.outputs(x, inputs), targets.clone())), (self.x,), (v,))[1]
        except RuntimeError as error:
            if is_used_up(error):
                raise
            raise RuntimeError(
                "a layer or the loss has no forward derivative in this version of torch "
                f"({door.reason(error)}): take method='reverse'."
            ) from error

    def _gradient(self, inputs, targets, weight):
        """A point that can be differentiated by, and a chunk's share of the gradient there, with its graph."""
        with torch.enable_grad():
            x = self.x.clone().requires_grad_()
            value = weight * self.f.loss(self.f.outputs(x, inputs), targets)
            if not value.requires_grad:
                raise ValueError(NO_GRADIENT)
            try:
                gradient = torch.autograd.grad(value, x, create_graph=True)[0]
            except RuntimeError as error:
                if "checkpoint" not in str(error):
                    raise
                raise ValueError(CHECKPOINTED) from error
            return x, gradient if gradient.requires_grad else gradient + 0 * x  # a loss that is linear in x


class GaussNewton(_Operator):
    """The Gauss-Newton matrix at a point as an operator: the Hessian without the network's own curvature.

    It is positive semidefinite for a convex loss, and equals the Hessian where the outputs are linear in x.

    Parameters
    ----------
    f : Objective
        The function; `f.gauss_newton(x)` makes the same operator.
    x : Tensor, optional
        A point of f, default f.x.
    names : sequence of str, optional
        Parameters to restrict to; left out, all.

    Raises
    ------
    ValueError
        For names that do not exist, and where f has no second derivative chunk by chunk.

    Notes
    -----
    With the Jacobian J_i of row i's outputs in x, and the second derivative L_i of its loss in these outputs::

        G = 1/N sum_i J_i^T L_i J_i

    Attributes are those of `Hessian`. Source: Schraudolph 2002, "Fast curvature matrix-vector products for second-order
    gradient descent".
    """

    method = "gauss-newton"

    def __init__(self, f: "Objective", x: torch.Tensor | None = None, *, names: Sequence[str] | None = None) -> None:
        super().__init__(f, x, names)

    @within_memory
    def _full(self, v):
        product = torch.zeros_like(v)
        for inputs, targets, weight in self.f.chunks():
            try:
                product.add_(self._share(inputs, targets, v), alpha=weight)
            except RuntimeError as error:
                if is_used_up(error):
                    raise
                raise RuntimeError(
                    "a layer or the loss cannot be transformed by torch.func, as this matrix needs it "
                    f"({door.reason(error)}): take f.hessian(x, method='reverse')."
                ) from error
        return product

    def _share(self, inputs: torch.Tensor, targets: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """A chunk's product J^T (loss'' (J v)), by all real numbers among the outputs."""
        form = None if self.f.single else self.f.outputs(self.x, inputs)

        def parts(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs = tensors(self.f.outputs(x, inputs))
            return tuple(part for part in outputs if part.is_floating_point())

        def loss(*parts: torch.Tensor) -> torch.Tensor:
            left = iter([part.clone() for part in parts])
            whole = next(left) if form is None else replaced(form, lambda p: next(left) if p.is_floating_point() else p)
            return self.f.loss(whole, targets.clone())

        outputs, moved = jvp(parts, (self.x,), (v,))  # type: ignore[misc]
        slopes = grad(loss, argnums=tuple(range(len(outputs))))
        bent = vjp(slopes, *outputs)[1](moved)  # symmetric: a product from the left is one from the right
        return vjp(parts, self.x)[1](bent)[0]


def _positions(f, names):
    """The places in x of the named parameters."""
    if names is None:
        return None
    if isinstance(names, str):
        raise ValueError(f"names is {names!r}: pass a list of names, as [{names!r}].")  # noqa: TRY004
    if not names:
        raise ValueError("no parameter is named: name some, or leave names out for all of them.")
    unknown = sorted(set(names) - set(f.names))
    if unknown:
        raise ValueError(f"no parameter is called {unknown[0]!r}: choose among {', '.join(f.names)}.")
    places = torch.arange(f.size, device=f.x.device).split(f.sizes)
    return torch.cat([place for name, place in zip(f.names, places) if name in set(names)])
