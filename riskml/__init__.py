"""riskml: find risky user behaviour in audit and login logs."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("riskml")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
