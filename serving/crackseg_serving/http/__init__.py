"""The HTTP skin over the engine: paths, headers, status codes and problem documents; no arithmetic on images.

A bare ASGI application: routes are few and bodies large, so every layer between the socket and the worker would only cost.
"""
