"""A figure that answers without a kernel: one picture whose layers a native slider shows one at a time.

No library in the page and no network; the same output works in the book, in JupyterLab, in Colab and in a saved HTML
file. Without JavaScript, or in a notebook that is not trusted, the picture stands complete at its start, and there is
no slider that does nothing.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from matplotlib.artist import Artist

from flatlab.plots.picture import LAYER, Picture, beneath, side_by_side
from flatlab.plots.tables import readable

# JupyterLab takes arrow keys for itself unless they stop here. A page may hold the same output twice.
SCRIPT = """for (const root of document.querySelectorAll('[data-slides="%s"]')) {
  const input = root.querySelector("input"), out = root.querySelector("output");
  const says = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const show = () => {
    for (const part of root.querySelectorAll("[data-layer]"))
      part.style.display = part.dataset.layer === input.value ? "" : "none";
    out.textContent = says[input.value];
    input.setAttribute("aria-valuetext", says[input.value]);
  };
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => event.stopPropagation());
  root.querySelector(".slides-control").hidden = false;
  show();
}"""


@dataclass(frozen=True)
class Slides:
    """A picture with a slider.

    Attributes
    ----------
    picture : Picture
        With the artists of all positions drawn.
    layers : sequence of sequence of matplotlib.artist.Artist
        For each position those that are seen there only. What is in no layer is always seen.
    name : str
        What the slider changes.
    says : sequence of str
        A sentence for each position: what is read there, and read out; numbers become a reader's, by
        `flatlab.plots.tables.readable`.
    start : int
        The position that is seen first, without JavaScript, and on paper.
    """

    picture: Picture
    layers: Sequence[Sequence[Artist]] = field(repr=False)
    name: str
    says: Sequence[str] = field(repr=False)
    start: int = 0

    def __post_init__(self) -> None:
        if not len(self.layers) == len(self.says) > self.start >= 0:
            raise ValueError(
                f"there are {len(self.layers)} layers, {len(self.says)} sentences and a start at {self.start}: "
                "give one sentence for each layer, and start at one of them, counted from 0."
            )
        object.__setattr__(self, "says", [readable(words) for words in self.says])
        for number, artists in enumerate(self.layers):
            for artist in artists:
                artist.set_gid(f"{LAYER}{number}")

    def _repr_html_(self) -> str:
        drawn = re.sub(
            r'data-layer="(\d+)"',
            lambda found: found[0] + ("" if int(found[1]) == self.start else ' style="display: none"'),
            side_by_side(self.picture),
        )
        key = sha256(drawn.encode()).hexdigest()[:12]
        says = json.dumps(list(self.says), ensure_ascii=False).replace("<", "\\u003c")
        slider = (
            f'<input type="range" min="0" max="{len(self.layers) - 1}" value="{self.start}" autocomplete="off" '
            f'aria-valuetext="{html.escape(self.says[self.start])}" style="display: block; width: min(100%, 28rem)">'
        )
        return (
            f'<div class="picture slides" data-slides="{key}">{drawn}'
            f'<div class="slides-control" hidden>'
            f'<label style="display: block">{html.escape(self.name)} {slider}</label></div>'
            f'<output aria-live="polite" style="display: block">{html.escape(self.says[self.start])}</output>'
            f"{beneath(self.picture)}"
            f'<script type="application/json">{says}</script><script>{SCRIPT % key}</script></div>'
        )
