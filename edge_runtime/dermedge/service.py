"""The camera as a systemd service: the text of its unit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from posixpath import normpath

from dermedge import address
from dermedge.errors import InputError
from dermedge.slots import INSTALLED

UNIT = "dermkit-camera.service"
SECRETS = Path("/etc/dermkit.env")  # KIT_WEB_TOKEN and the like; root's, mode 600
AUTO = "auto"
STATE = Path("/var/lib/dermkit")  # its records and its models; systemd makes it

_PRIVATE = Path("/var/lib/private/dermkit")  # where it really is, with DynamicUser
# What ProtectHome, PrivateTmp and the like keep from the service.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))

_TEXT = """\
# Written by kit edge install. Changes of your own: systemctl edit {unit}
[Unit]
Description=Skin-lesion camera (research software, not a medical device)
{after}# For months alone in a drawer: it is tried again for as long as it takes.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Environment=DERMKIT_HOME={state} PYTHONUNBUFFERED=1
{environment}\
# Tokens and passwords, one VARIABLE=value a line, read by systemd itself.
EnvironmentFile=-{secrets}
Restart=on-failure
RestartSec=10
# Asked to end while it was still building the model.
SuccessExitStatus=130
# Wrong usage does not mend itself.
RestartPreventExitStatus=2
# READY=1 comes with the first judgement, WATCHDOG=1 with later ones, and while a camera that has
# gone is looked for. The kit itself gives up on a camera that is there but silent for 30 s, with a
# reason; the watchdog is for a process that hangs.
TimeoutStartSec=180
WatchdogSec=90
TimeoutStopSec=20

# Each judgement is a line of the record; the journal of the system gets what goes wrong.
StandardOutput=null
StandardError=journal

DynamicUser=yes
SupplementaryGroups={groups}
StateDirectory=dermkit
StateDirectoryMode=0700
# Of its own folder it may not change whom it trusts, nor the models: root installs those.
ReadOnlyPaths=-{private}/keys -{private}/slots
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
# Python, LiteRT, OpenCV and the picture encryption were run under the rule of the same name.
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Uploads to the page are judged at a lower priority than the camera's frames.
SystemCallFilter=setpriority
# The interpreter asks where its memory should lie (mbind): refused, and no reason to be killed.
SystemCallErrorNumber=EPERM
# Netlink: libcamera hears through it that a camera was plugged in.
{network}

# Video nodes, the media controller and the memory that cameras share with programs.
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
DeviceAllow=/dev/udmabuf rw
# vcgencmd, which tells of under-voltage.
DeviceAllow=/dev/vcio rw
{devices}
[Install]
WantedBy=multi-user.target
"""

_GPIO = """\
# The button that captures.
DeviceAllow=char-gpiochip rw
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What the service runs.

    Attributes:
        environment: The virtual environment with the kit.
        bundle: `installed`, or an absolute path.
        source: As for kit camera; `auto` leaves it to the variable `address.VARIABLE`, if it is set
            in `SECRETS`. `rtsp:` and the like: a stream, and that variable has its address.
        threads: Of the interpreter; None: all cores.
        allow_unsigned: Let in a bundle that no pinned key signed.
        options: Further ones of kit camera, word by word, as --web.
    """

    environment: Path
    bundle: str = INSTALLED
    source: str = AUTO
    threads: int | None = None
    allow_unsigned: bool = False
    options: tuple[str, ...] = ()

    @property
    def networked(self) -> bool:
        """Whether it needs more of the network than this machine."""
        wanted = ("--mqtt", "--web-listen")
        return address.is_address(self.source) or any(x.startswith(wanted) for x in self.options)

    @property
    def has_button(self) -> bool:
        """Whether a button on a GPIO pin captures."""
        asked = [word.partition("=")[2] for word in self.options if word.startswith("--capture=")]
        asked += [value for option, value in pairwise(self.options) if option == "--capture"]
        return any(how.partition(":")[0] == "button" for how in asked)


def unit(service: Service) -> str:
    """The unit's text.

    Raises:
        InputError: The bundle or the source is a path that the service can't see, or holds signs
            that no unit may; or the source holds a password.
    """
    after = "Wants=network-online.target\nAfter=network-online.target\n"
    return _TEXT.format(
        unit=UNIT,
        after=after if service.networked else "",
        command=" ".join(map(_quoted, command(service))),
        state=STATE,
        environment=_environment(service),
        groups="video gpio" if service.has_button else "video",
        devices=_GPIO if service.has_button else "",
        secrets=SECRETS,
        private=_PRIVATE,
        network=_network(service),
    )


def _environment(service: Service) -> str:
    lines = ""
    if address.is_placeholder(service.source):
        # Where the file beneath has no address, kit camera says so; no other camera takes over.
        lines += f"Environment={address.VARIABLE}={service.source}\n"
    if service.has_button:
        # lgpio makes a pipe in the folder that it starts in, which is / and closed.
        lines += "Environment=LG_WD=/tmp\n"
    return lines


def _network(service: Service) -> str:
    families = "RestrictAddressFamilies=AF_UNIX AF_NETLINK"
    if service.networked:
        return f"{families} AF_INET AF_INET6"
    if "--web" in service.options:
        return f"{families} AF_INET AF_INET6\nIPAddressDeny=any\nIPAddressAllow=localhost"
    return f"{families}\nIPAddressDeny=any"


def command(service: Service) -> list[str]:
    """The command line, word by word.

    Raises:
        InputError: The bundle or the source is a path that the service can't see, or the source
            holds a password.
    """
    words = [str(service.environment / "bin" / "kit"), "camera", _bundle(service.bundle)]
    words += [*_source(service.source), "--no-window"]
    words += ["--record", str(STATE / "records.jsonl")]
    words += ["--threads", str(service.threads)] if service.threads else []
    words += ["--allow-unsigned"] if service.allow_unsigned else []
    return [*words, *service.options]


def _source(text: str) -> list[str]:
    if address.is_secret(text):
        scheme = text.partition(":")[0]
        raise InputError(
            f"{address.shown(text)}: a camera's user and password are not for the command line of "
            f"a service, which everybody can read. Put {address.VARIABLE}=… into {SECRETS} "
            f"(root's, mode 600), and give --source {scheme}:"
        )
    if text == AUTO or address.is_placeholder(text):
        return []
    is_file = "/" in text and "://" not in text
    return ["--source", visible(text) if is_file else text]


def _bundle(name: str) -> str:
    return name if name == INSTALLED else visible(name)


def visible(file: str) -> str:
    """The file, unless it is one that the service can't see.

    Raises:
        InputError: It is.
    """
    path = Path(normpath(file))  # /srv/../home is /home
    if not path.is_absolute():
        raise InputError(f"{file}: a service starts in no folder of yours; give the whole path")
    hidden = [str(folder) for folder in _HIDDEN if folder in (path, *path.parents)]
    if hidden:
        raise InputError(f"{file}: a service can't see {hidden[0]}; move it, e.g. to /srv")
    return file


def writable(file: str) -> None:
    """Refuse a file that the service can't write.

    Raises:
        InputError: It can't.
    """
    if STATE not in Path(normpath(file)).parents:
        raise InputError(f"{file}: a service can write nothing outside {STATE}; keep it there")


def _quoted(word: str) -> str:
    """As systemd reads it: % and $ mean something to it, quotes and spaces separate."""
    if not word.isprintable():  # a line break would end the command, and begin a setting
        raise InputError(f"{word!r} has signs that a service can't be given")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = escaped == word and not any(sign.isspace() or sign in "';" for sign in word)
    return word if plain and word else f'"{escaped}"'
