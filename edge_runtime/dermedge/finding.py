"""What `kit doctor` says of one thing that it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: What was looked at.
        says: What was found.
        mend: The line that mends the fault, or adds what is absent; empty if nothing is to do.
        fault: Whether something is wrong; what is merely absent is no fault.
    """

    topic: str
    says: str
    mend: str = ""
    fault: bool = False


def as_dict(finding: Finding) -> dict[str, Any]:
    """For JSON."""
    return asdict(finding)


def as_text(findings: Sequence[Finding]) -> str:
    """One line each, and beneath it the line that mends it."""
    width = max(len(finding.topic) for finding in findings)
    lines = []
    for finding in findings:
        sign = "FAULT" if finding.fault else "    -" if finding.mend else "   ok"
        lines.append(f"{sign}  {finding.topic:<{width}}  {finding.says}")
        if finding.mend:
            lines.append(f"{'':{width + 9}}-> {finding.mend}")
    return "\n".join(lines)
