"""The edge runtime of dermkit: from a photograph or a camera frame to a decision, on the device."""

import os

__version__ = "0.1.0"

# OpenCV reads these two once, when it loads, so they stand where every module passes. It holds a
# file's header against the bound before it allocates: a 20,000 x 20,000 PNG of a few kB is refused
# without 1.2 GB ever being asked for. Its warnings would repeat what our errors say.
MAX_PIXELS = 100_000_000
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
