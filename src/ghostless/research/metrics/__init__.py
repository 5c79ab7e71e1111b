"""The table of metrics. Facts about a metric stand here as data; a file beside it per family."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from ...errors import OptionError, unknown_name
from ._filters import TooSmallError
from .images import Images as Images
from .table import METRICS as METRICS
from .table import Metric as Metric


def get_metric(name: str) -> Metric:
    """Return the table's entry for `name`; raise OptionError with the near names otherwise."""
    try:
        return METRICS[name]
    except KeyError:
        raise unknown_name("metric", name, METRICS) from None


def score(
    images: Images,
    names: Iterable[str] | None = None,
    *,
    threads: int = 2,
    device: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """Score a result by the named metrics, or by all that the images allow.

    threads: metrics worked out at a time; each takes memory of its own.
    device: "auto", "cpu", "cuda" or "cuda:INDEX": where torch works out the metrics that have a
        tensor form; None for NumPy on the CPU, as for all others.
    Raises OptionError for an unknown name or device, or for a metric whose needs the images do not
    meet, and InputError for an image too small for a named metric; without names such a metric is
    left out.
    """
    if names is None:
        chosen = [m for m in METRICS.values() if not m.package and m.applies_to(images)]
    else:
        chosen = [get_metric(name) for name in dict.fromkeys(names)]
        for metric in chosen:
            if not metric.applies_to(images):
                raise OptionError(f"metric {metric.name}: {_unmet(metric, images)}")

    on_tensors = None if device is None else _tensor_scorer(images, device)

    def compute(metric: Metric) -> float | None:
        try:
            if on_tensors is not None and metric.tensor_form:
                return on_tensors(metric.name)
            return float(metric.compute(images))
        except TooSmallError:
            if names is None:
                return None
            raise

    # A device works on one metric at a time, which then has all of its memory.
    with ThreadPoolExecutor(max(1, threads) if device is None else 1) as pool:
        scores: dict[str, float] = {}
        for metric, value in zip(chosen, pool.map(compute, chosen), strict=True):
            if value is not None:
                scores[metric.name] = value
            if progress is not None:
                progress((chosen.index(metric) + 1) / len(chosen))
        return scores


def _tensor_scorer(images: Images, device: str) -> Callable[[str], float]:
    """What works out a metric by name with torch on a device, the images being there already."""
    from ...nn.settings import choose_device, needs_torch_extra

    with needs_torch_extra(f"scoring on the device {device!r}"):
        from .tensor import scorer
    return scorer(images, choose_device(device))


def _unmet(metric: Metric, images: Images) -> str:
    if metric.needs == "true_radiance":
        found = "a display one" if images.is_display else "no true radiance"
        return (
            f"expected a linear result and its true radiance, found {found}; "
            "give .exr or .hdr files for both"
        )
    if not images.is_display:
        return "expected a display image, found a linear one; score a tone-mapped file"
    if metric.needs == "sources":
        low, high = metric.sources
        wanted = f"exactly {low}" if high == low else f"at least {low}"
        return f"expected {wanted} sources, found {len(images.sources)}; give them with --sources"
    if metric.needs == "radiance":
        return "expected the scene's radiance, found none; give it with --radiance"
    return "expected a true image to compare with, found none; give it with --truth"
