"""Training on the host: labelled photographs -> a full ResNet50 with its contract and figures."""

import logging
import os

# TFMOT needs Keras 2: this must be set before TensorFlow is first imported, and this is the one
# place that every module of dermtrain and dermcompress passes through.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Its C++ chatter (no CUDA here, ...) is not for our users; real failures come as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
