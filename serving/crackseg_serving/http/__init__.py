"""The HTTP skin over the engine: paths, headers, status codes and problem documents; no arithmetic on images.

From the socket inwards: `server` (ports), `connection` with `reading` and `wire` (HTTP/1.1), `app` (routes, errors, metrics), then a handler
for each path. No framework: routes are few and bodies large, so every layer between the socket and the worker would only cost.
"""
