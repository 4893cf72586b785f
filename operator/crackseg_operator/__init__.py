"""CrackSeg Operator: turns CrackSegModel resources into running inference services."""

__version__ = "0.1.0"
