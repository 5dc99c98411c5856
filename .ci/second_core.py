"""Print variables of the environment that make this machine compute like another.

BLAS kernels of another processor, and none of NumPy's own loops for wide vectors.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np


def blas_core() -> str:
    """Processor whose kernels NumPy's OpenBLAS uses here; empty where NumPy brings another BLAS."""
    for library in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas64*"):
        core_name = ctypes.CDLL(str(library)).scipy_openblas_get_corename64_
        core_name.restype = ctypes.c_char_p
        return core_name().decode()
    return ""


wide = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
print(f"OPENBLAS_CORETYPE={'Prescott' if blas_core() == 'Haswell' else 'Haswell'}")
if wide:
    print(f"NPY_DISABLE_CPU_FEATURES={','.join(wide)}")
