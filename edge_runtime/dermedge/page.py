"""A template -> one self-contained HTML page that asks for no other file and no network."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from dermedge.errors import MissingError

_NEEDS = ("jinja2", "matplotlib")
TEXT_ONLY = ("jinja2",)


def require_installed(needs: tuple[str, ...] = _NEEDS) -> None:
    """Fail before the long work if the page could not be drawn after it.

    Args:
        needs: What the page needs; one without plots does without matplotlib.

    Raises:
        MissingError: One of them is not installed.
    """
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        raise MissingError(
            f"the report needs {' and '.join(missing)}; run: pip install 'dermkit[report]'"
        )


def render(template: str, package: str = "dermedge", **values: Any) -> str:
    """Fill a template of a package's folder `templates`.

    Every page extends `base.html.j2` (blocks title, style, content, footer), which also takes
    `made_up`: empty, or what was made up, in words.

    Raises:
        MissingError: jinja2 is not installed.
    """
    require_installed(TEXT_ONLY)
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("dermedge")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(template).render(**values)
