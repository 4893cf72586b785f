"""The gRPC skin over the engine: the Open Inference Protocol's service, with Triton's extensions; no arithmetic on images.

Imported only where a port is set: gRPC costs memory. `inference_pb2.py` is generated from `inference.proto` by `make proto`.
"""
