"""The only importer of ONNX Runtime: sessions, providers, the model's signature, warm-up.

Called by the engine. Knows arrays and models; may not know images' files, queues or HTTP.
"""
