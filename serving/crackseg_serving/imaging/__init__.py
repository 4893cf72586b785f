"""Everything between the photograph and the model, and between the model and the answer: arrays in, arrays out.

Used by the segmentation, the runtime and `crackseg_models`. Pure and synchronous: no model runtime, no HTTP, no settings. Images
are RGB `uint8 [H, W, 3]`, masks `uint8 [H, W]` with 255 for crack, maps of probabilities `uint8 [H, W]` with 255 for certain.
"""

from crackseg_serving.imaging.agreement import LEAST_AGREEMENT, Overlap, overlap
from crackseg_serving.imaging.bitmask import BitMask
from crackseg_serving.imaging.blocks import BLOCK_HEIGHT, MARGIN, BlockMeasurer
from crackseg_serving.imaging.decode import BACKWARDS, DecodedImage, DecodeLimits, decode, turn
from crackseg_serving.imaging.emptiness import is_empty
from crackseg_serving.imaging.errors import (
    CalibrationFailed,
    ImageError,
    NotAnImage,
    TooManyPixels,
    TruncatedImage,
    UnsupportedImage,
)
from crackseg_serving.imaging.exif import Position, read_position
from crackseg_serving.imaging.geojson import to_geojson
from crackseg_serving.imaging.headers import ImageFacts, read_facts
from crackseg_serving.imaging.markers import MarkerSize, blacken_cards, find_scale
from crackseg_serving.imaging.measure import measure
from crackseg_serving.imaging.measurements import BoundingBox, Crack, Measurements, Polygon, Severity
from crackseg_serving.imaging.placement import PIXELS, Placement, from_camera, read_world_file
from crackseg_serving.imaging.render import mask_png, overlay, overlay_jpeg, overlay_png
from crackseg_serving.imaging.rle import to_rle
from crackseg_serving.imaging.scale import Marker, Scale, ScaleSource, scale_of_reference
from crackseg_serving.imaging.seams import seam_gap
from crackseg_serving.imaging.strips import Strips, held_bytes, in_tile_rows, open_strips
from crackseg_serving.imaging.table import to_csv
from crackseg_serving.imaging.tensors import InputFormat, OutputFormat, to_probabilities, to_tensor
from crackseg_serving.imaging.threshold import RowThreshold, threshold
from crackseg_serving.imaging.tiles import Stitcher, Tile, TilePlan, plan_tiles
from crackseg_serving.imaging.turning import turned
from crackseg_serving.imaging.whole import scale_map, scale_picture, scaled_mask, to_map

__all__ = [
    "BACKWARDS",
    "BLOCK_HEIGHT",
    "LEAST_AGREEMENT",
    "MARGIN",
    "PIXELS",
    "BitMask",
    "BlockMeasurer",
    "BoundingBox",
    "CalibrationFailed",
    "Crack",
    "DecodeLimits",
    "DecodedImage",
    "ImageError",
    "ImageFacts",
    "InputFormat",
    "Marker",
    "MarkerSize",
    "Measurements",
    "NotAnImage",
    "OutputFormat",
    "Overlap",
    "Placement",
    "Polygon",
    "Position",
    "RowThreshold",
    "Scale",
    "ScaleSource",
    "Severity",
    "Stitcher",
    "Strips",
    "Tile",
    "TilePlan",
    "TooManyPixels",
    "TruncatedImage",
    "UnsupportedImage",
    "blacken_cards",
    "decode",
    "find_scale",
    "from_camera",
    "held_bytes",
    "in_tile_rows",
    "is_empty",
    "mask_png",
    "measure",
    "open_strips",
    "overlap",
    "overlay",
    "overlay_jpeg",
    "overlay_png",
    "plan_tiles",
    "read_facts",
    "read_position",
    "read_world_file",
    "scale_map",
    "scale_of_reference",
    "scale_picture",
    "scaled_mask",
    "seam_gap",
    "threshold",
    "to_csv",
    "to_geojson",
    "to_map",
    "to_probabilities",
    "to_rle",
    "to_tensor",
    "turn",
    "turned",
]
