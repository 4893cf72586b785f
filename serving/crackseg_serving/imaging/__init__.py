"""Everything between the photograph and the model, and between the model and the answer: arrays in, arrays out.

Used by the engine, the gate and the page. Pure and synchronous: no model runtime, no HTTP, no settings. Images are RGB
`uint8 [H, W, 3]`, masks `uint8 [H, W]` with 255 for crack, probabilities on a picture `uint8 [H, W]` with 255 for one.
"""

from crackseg_serving.imaging.decode import DecodedImage, DecodeLimits, decode
from crackseg_serving.imaging.errors import ImageError, NotAnImage, TooManyPixels, TruncatedImage, UnsupportedImage
from crackseg_serving.imaging.exif import Position, read_position
from crackseg_serving.imaging.geojson import to_geojson
from crackseg_serving.imaging.headers import ImageFacts, read_facts
from crackseg_serving.imaging.measure import measure
from crackseg_serving.imaging.measurements import BoundingBox, Crack, Measurements, Polygon, Severity
from crackseg_serving.imaging.placement import PIXELS, Placement, from_camera, read_world_file
from crackseg_serving.imaging.render import mask_png, overlay, overlay_jpeg, overlay_png, probability_png
from crackseg_serving.imaging.rle import to_rle
from crackseg_serving.imaging.table import to_csv
from crackseg_serving.imaging.tensors import InputFormat, OutputFormat, to_probabilities, to_tensor
from crackseg_serving.imaging.threshold import threshold
from crackseg_serving.imaging.tiles import Stitcher, Tile, TilePlan, plan_tiles
from crackseg_serving.imaging.whole import scale_map, scale_picture, scaled_mask, to_map

__all__ = [
    "PIXELS",
    "BoundingBox",
    "Crack",
    "DecodeLimits",
    "DecodedImage",
    "ImageError",
    "ImageFacts",
    "InputFormat",
    "Measurements",
    "NotAnImage",
    "OutputFormat",
    "Placement",
    "Polygon",
    "Position",
    "Severity",
    "Stitcher",
    "Tile",
    "TilePlan",
    "TooManyPixels",
    "TruncatedImage",
    "UnsupportedImage",
    "decode",
    "from_camera",
    "mask_png",
    "measure",
    "overlay",
    "overlay_jpeg",
    "overlay_png",
    "plan_tiles",
    "probability_png",
    "read_facts",
    "read_position",
    "read_world_file",
    "scale_map",
    "scale_picture",
    "scaled_mask",
    "threshold",
    "to_csv",
    "to_geojson",
    "to_map",
    "to_probabilities",
    "to_rle",
    "to_tensor",
]
