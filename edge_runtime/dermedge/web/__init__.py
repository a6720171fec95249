"""The picture of the camera loop in a browser, and its JSON API; needs the extra `web`."""
