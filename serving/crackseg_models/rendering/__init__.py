"""Procedural pavement: pictures whose cracks are known exactly, because they were drawn.

Entry point: `scene.render`. Needs numpy and OpenCV; no photograph is an ingredient. Knows nothing of models.
"""
