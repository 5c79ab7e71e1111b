"""What a run can be told, below every face of Ghostless."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from .align import AlignSettings
from .bracket import MAX_FRAMES
from .deghost import DeghostSettings
from .errors import OptionError
from .io.read import ReadSettings
from .io.write import WriteSettings
from .methods import METHODS
from .settings import Names, Open, Range, check_settings
from .tone.light import Gains
from .tone.tonemap import ToneMapSettings


def _methods() -> tuple[str, ...]:
    return ("auto", *METHODS)


@dataclass(frozen=True)
class FuseOptions:
    """Everything a run can be told; the defaults suit hand-held brackets of moving scenes.

    method: a name from the table, or "auto": mertens for display files, debevec for linear ones.
    method_settings: the method's own settings dataclass; None for its defaults.
    stops: exposure of each file in stops, in the order of the files; None to find out.
    stops_file: a text file with those numbers; None to look for one beside the frames.
    reference: index (from 0, dark to bright) of the frame whose geometry and moving things are
        kept; None picks the frame that loses least.
    hdr: whether a display file also holds what HDR displays show: .jpg becomes a gain-map JPEG,
        whose first picture is the one without `hdr`, and .avif gets the PQ curve. Linear files are
        HDR anyway.
    gains: what the light of the result's red, green and blue is multiplied by (`light.scale_light`:
        white stays white); None leaves it as it is.
    save_stages: folder for the aligned frames, the deghosted frames and the masks.
    report: JSON file that tells what was done.
    """

    method: Annotated[str, Names(_methods)] = "auto"
    method_settings: Any = None
    stops: Annotated[tuple[float, ...] | None, Open("auto")] = None
    stops_file: Path | None = None
    reference: Annotated[int | None, Range(0, MAX_FRAMES - 1), Open("auto")] = None
    align: AlignSettings = field(default_factory=AlignSettings)
    deghost: DeghostSettings = field(default_factory=DeghostSettings)
    tone_map: ToneMapSettings = field(default_factory=ToneMapSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    write: WriteSettings = field(default_factory=WriteSettings)
    hdr: bool = False
    gains: Annotated[Gains | None, Range(2**-16, 2**16)] = None
    save_stages: Path | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if self.stops is not None and self.stops_file is not None:
            raise OptionError(
                f"stops: expected one source of exposures, found numbers and {self.stops_file}; "
                "leave out one of --stops and --stops-file"
            )
