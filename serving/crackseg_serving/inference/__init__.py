"""The Open Inference Protocol, whatever carries it: its types, its tensors, what it says of a server and its model.

Shared by the HTTP and the gRPC skin, so that both take and refuse the same; knows no status code and no wire but the tensors'.
https://github.com/kserve/open-inference-protocol, with Triton's extensions for binary data, configuration, repository and
statistics.
"""
