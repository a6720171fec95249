"""Compression on the host: a trained run -> a small, fast .tflite bundle, measured at each step."""

import dermtrain as dermtrain  # sets Keras 2 before anything here can load TensorFlow
