"""A camera on an MQTT broker, and through it in Home Assistant: the extra `mqtt`."""
