"""Fetch a model from a URI and verify it: the init container's whole work.

`python -m crackseg_serving.sources` runs it. It imports neither numpy nor onnxruntime, so that it starts quickly; the
server checks the graph itself.
"""
