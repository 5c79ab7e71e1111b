"""Colours of real sensors: from linear sRGB to what their red, green and blue pixels see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# XYZ to camera at daylight (D65) times 10,000, row by row: ColorMatrix values of Adobe's DNG
# Converter as LibRaw 0.22 lists them (src/tables/colordata.cpp), dcraw's `adobe_coeff` before it.
COLOR_MATRICES: dict[str, tuple[int, ...]] = {
    "Canon EOS 5D Mark II": (4716, 603, -830, -7798, 15474, 2480, -1496, 1937, 6651),
    "Canon EOS 5D Mark IV": (6446, -366, -864, -4436, 12204, 2513, -952, 2496, 6348),
    "Canon EOS 600D": (6461, -907, -882, -4300, 12184, 2378, -819, 1944, 5931),
    "Canon EOS R5": (9766, -2953, -1254, -4276, 12116, 2433, -437, 1336, 5131),
    "Nikon D40": (6992, -1668, -806, -8138, 15748, 2543, -874, 850, 7897),
    "Nikon D90": (7309, -1403, -519, -8474, 16008, 2622, -2434, 2826, 8064),
    "Nikon D750": (9020, -2890, -715, -4535, 12436, 2348, -934, 1919, 7086),
    "Nikon D800": (7866, -2108, -555, -4869, 12483, 2681, -1176, 2069, 7501),
    "Sony ILCE-7": (5271, -712, -347, -6153, 13653, 2763, -1601, 2366, 7242),
    "Sony ILCE-7M3": (7374, -2389, -551, -5435, 13162, 2519, -1006, 1795, 6552),
    "Sony NEX-5N": (5991, -1456, -455, -4764, 12135, 2980, -707, 1425, 6701),
    "Fujifilm X100": (12161, -4457, -1069, -5034, 12874, 2400, -795, 1724, 6904),
    "Fujifilm X-T2": (11434, -4948, -1210, -3746, 12042, 1903, -666, 1479, 5235),
    "Panasonic DMC-LX5": (10909, -4295, -948, -1333, 9306, 2399, 22, 1738, 4582),
    "Panasonic DMC-GH4": (7122, -2108, -512, -3155, 11201, 2231, -541, 1423, 5045),
    "Olympus E-M5": (8380, -2630, -639, -2887, 10725, 2496, -627, 1427, 5438),
    "Olympus E-M1 Mark III": (11896, -5110, -1076, -3181, 11378, 2048, -519, 1224, 5166),
    "Pentax K-3": (7415, -2052, -721, -5186, 12788, 2682, -1446, 2157, 6773),
    "Samsung Galaxy S7": (9927, -3704, -1024, -3935, 12758, 1257, -389, 1512, 4993),
    "Samsung Galaxy S9": (13292, -6142, -1268, -4095, 12890, 1283, -557, 1930, 5163),
}

# Linear sRGB to XYZ, IEC 61966-2-1, as dcraw's `xyz_rgb` has it.
XYZ_FROM_SRGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)


def sensor_matrix(name: str) -> NDArray[np.float64]:
    """What a camera of COLOR_MATRICES sees of linear sRGB, white balanced: (3, 3).

    As dcraw computes it (`cam_xyz_coeff`): rows sum to 1, so that white is neutral.
    """
    camera_from_xyz = np.array(COLOR_MATRICES[name], dtype=np.float64).reshape(3, 3) / 10_000
    matrix = camera_from_xyz @ XYZ_FROM_SRGB
    balanced: NDArray[np.float64] = matrix / matrix.sum(axis=1, keepdims=True)
    return balanced
