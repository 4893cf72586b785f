"""The only importer of ONNX Runtime: sessions, providers, the model's signature, warm-up.

Called by the engine. Knows arrays and models; may not know images' files, queues or HTTP.
"""

import os

# Since 1.29 the published builds of ONNX Runtime report models, devices and figures to their maker unless this is set
# before the library is loaded. What an inspector photographs, and with which model, is nobody else's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
