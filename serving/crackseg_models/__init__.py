"""The sample model: render pictures with known cracks, train, export, report.

For people who make model files; the operator and the server never import it. The renderer and the report need numpy,
OpenCV and onnxruntime only; `network`, `training` and `export` need torch.
"""

import os

# The published builds of ONNX Runtime report models and figures to their maker unless this is set before they load.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
