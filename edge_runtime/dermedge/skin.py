"""Is there skin in sight: a cautious rule on colour, which lets all skin pass, and much else."""

from __future__ import annotations

import cv2

from dermedge.image import RGB
from dermedge.thumbnail import thumbnail

# Share of the picture. Real photographs below it, by mistake: see docs/camera.md.
MIN_SHARE = 0.02

# Chai & Ngan 1999, "Face segmentation using skin-color map in videophone applications": 133 <= Cr
# <= 173, 77 <= Cb <= 127, any luminance: every tone of skin. OpenCV's order is Y, Cr, Cb.
_LOW, _HIGH = (0, 133, 77), (255, 173, 127)


def share(image: RGB) -> float:
    """Share of a picture that has a colour that skin can have, 0 to 1.

    Args:
        image: uint8 (height, width, 3), RGB.
    """
    inside = cv2.inRange(cv2.cvtColor(thumbnail(image), cv2.COLOR_RGB2YCrCb), _LOW, _HIGH)
    return cv2.countNonZero(inside) / inside.size
