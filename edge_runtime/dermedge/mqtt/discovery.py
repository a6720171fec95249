"""What Home Assistant has to know of a camera on MQTT: its device discovery payload.

One retained message for the whole device, as Home Assistant reads it from 2024.12 on; its keys are
those of https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dermedge
from dermedge.decide import Verdict
from dermedge.mqtt.settings import Settings
from dermedge.mqtt.topics import Topics
from dermedge.window import NOTICE

ONLINE, OFFLINE, PRESS = "online", "offline", "PRESS"
EVENT = "captured"
# A class that a model names joins these when it is first seen.
DECISIONS = tuple(each.value for each in Verdict if each is not Verdict.NAMED)
EXPIRE_S = 35  # without news for so long, Home Assistant no longer shows the last judgement

_MS = {"unit_of_measurement": "ms", "device_class": "duration", "state_class": "measurement"}
_DIAGNOSTIC = {"entity_category": "diagnostic"}


def payload(settings: Settings, decisions: Iterable[str]) -> dict[str, Any]:
    """The message for `Topics.discovery`, as JSON; `decisions` are all that may be decided."""
    topics = settings.topics
    components = {
        **_judgement(topics, decisions),
        **_vitals(topics),
        **_captures(topics, settings.pictures, settings.button),
    }
    for key, component in components.items():
        component["unique_id"] = f"dermkit_{topics.device}_{key}"
    return {
        "device": {
            "identifiers": [f"dermkit_{topics.device}"],
            "name": settings.name,
            "manufacturer": "dermkit",
            "model": f"kit camera ({NOTICE})",
            "sw_version": dermedge.__version__,
        },
        "origin": {"name": "dermkit", "sw_version": dermedge.__version__},
        "availability_topic": topics.status,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "components": components,
    }


def _judgement(topics: Topics, decisions: Iterable[str]) -> dict[str, dict[str, Any]]:
    known = {"state_topic": topics.state, "expire_after": EXPIRE_S}
    told = {**known, "json_attributes_topic": topics.about}
    return {
        "decision": {
            **{"platform": "sensor", "name": "Decision", **told},
            "device_class": "enum",
            "options": list(decisions),
            "value_template": "{{ value_json.decision }}",
        },
        "probability": {
            **{"platform": "sensor", "name": "Probability", **told},
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": "{{ None if value_json.probability is none "
            "else (value_json.probability * 100) | round(1) }}",
        },
        "quality": {
            **{"platform": "sensor", "name": "Quality", **known},
            "value_template": "{{ value_json.quality }}",
        },
        "age": {
            **{"platform": "sensor", "name": "Age", **known, **_MS, **_DIAGNOSTIC},
            "value_template": "{{ value_json.age_ms }}",
        },
        "problem": {
            **{"platform": "binary_sensor", "name": "Camera", **known},
            "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.problem else 'OFF' }}",
        },
    }


def _vitals(topics: Topics) -> dict[str, dict[str, Any]]:
    known = {"state_topic": topics.vitals, **_DIAGNOSTIC}
    return {
        "latency": {
            **{"platform": "sensor", "name": "Latency", **known, **_MS},
            "value_template": "{{ value_json.latency_ms }}",
        },
        "rate": {
            **{"platform": "sensor", "name": "Frames per second", **known},
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "value_template": "{{ value_json.fps }}",
        },
        "temperature": {
            **{"platform": "sensor", "name": "Temperature", **known},
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "value_template": "{{ value_json.temperature_c }}",
        },
        "power": {
            **{"platform": "binary_sensor", "name": "Power or heat", **known},
            "device_class": "problem",
            "value_template": "{{ None if value_json.throttled is none "
            "else 'ON' if value_json.throttled else 'OFF' }}",
        },
    }


def _captures(topics: Topics, pictures: bool, button: bool) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        "captured": {
            **{"platform": "event", "name": "Captured", "state_topic": topics.captured},
            "event_types": [EVENT],
        }
    }
    if pictures:
        found["picture"] = {
            **{"platform": "image", "name": "Captured picture", "image_topic": topics.picture},
            "content_type": "image/jpeg",
        }
    if button:
        found["capture"] = {
            **{"platform": "button", "name": "Capture", "command_topic": topics.capture},
            "payload_press": PRESS,
        }
    return found
