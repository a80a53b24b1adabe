"""The version of the package, in a module that imports nothing.

Programs of the package read it here, so that nothing inside the package imports the package itself.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
