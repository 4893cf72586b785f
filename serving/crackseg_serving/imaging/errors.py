"""What can be wrong with a picture that somebody sends.

Raised by `decode`, mapped to status codes by the HTTP skin. Each sentence is for the person who sent the picture.
"""

from __future__ import annotations


class ImageError(Exception):
    """A picture that is refused; the text says why and what to send instead, as one clause without a full stop."""


class NotAnImage(ImageError):  # noqa: N818 - named by what it says about the picture
    """The bytes are not a picture in any format that is known here."""


class UnsupportedImage(ImageError):  # noqa: N818
    """A picture, but in a format or variant that is not supported."""


class TruncatedImage(ImageError):  # noqa: N818
    """The file ends early, or it is damaged."""


class TooManyPixels(ImageError):  # noqa: N818
    """The picture is larger than the limit."""

    def __init__(self, width: int, height: int, max_pixels: int, max_side: int) -> None:
        self.width, self.height, self.max_pixels, self.max_side = width, height, max_pixels, max_side
        super().__init__(
            f"the image has {width} x {height} pixels, and the limit is {max_pixels} pixels and {max_side} a side: "
            "send it in parts or scaled down"
        )


class CalibrationFailed(ImageError):  # noqa: N818
    """The picture has no marker from which its scale could be computed."""
