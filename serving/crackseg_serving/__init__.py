"""The inference server for crack segmentation, and the contract it shares with the operator."""

from typing import Final

__version__: Final = "0.1.0"
