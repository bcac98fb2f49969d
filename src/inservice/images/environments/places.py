"""The directory that environments are in.

    <name>/            one that is whole: it came here by a rename, and is not written to any more
    building/<name>.…  one that is not, and is of no use but to whoever builds it
    removed/…          one that was, on its way out
    locks/<name>       held, exclusively, by who builds or removes it; shared, by who hands it out
    uses/<name>.json   which images asked for it; its time is when the last one did
    cache/             uv's: packages as they were fetched, whose files environments share

All of it is on one file system, so that a rename is all or nothing and a file can have many names.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from inservice import disk, linux
from inservice.images.environments import strays
from inservice.images.environments.pythons import Python

_IMAGES_MAX = 20
"""That are remembered to have asked for one environment."""

_NAME_LENGTH = 32
_RECORD = "inservice.json"
_LOCK = "requirements.lock"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment's builder wrote down of it, in it."""

    python: Python
    requirements: tuple[str, ...]
    packages: dict[str, str]
    installer: str  # "uv 0.13.9"
    built_at: float
    seconds: float  # that it took
    size_bytes: int
    base: str = ""


class Uses(msgspec.Struct, frozen=True):
    """Who asked for an environment."""

    images: tuple[str, ...] = ()


class Busy(Exception):
    """Somebody else holds it."""


class Places:
    """Where each thing is, and the moves between them that are safe."""

    def __init__(self, root: Path) -> None:
        """`root` need not be there yet."""
        self.root = root
        self.building = root / "building"
        self.removed = root / "removed"
        self.cache = root / "cache"

    def make(self) -> None:
        """Have the directories. Raises OSError."""
        for path in (self.root, *(self.root / n for n in ("building", "removed", "locks", "uses"))):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def environment(self, name: str) -> Path:
        """The directory of one that is whole, if it is there."""
        return self.root / name

    def names(self) -> Iterator[str]:
        """Of all that are whole."""
        with contextlib.suppress(FileNotFoundError):
            for path in self.root.iterdir():
                if len(path.name) == _NAME_LENGTH and path.is_dir():
                    yield path.name

    def record(self, name: str) -> Record | None:
        """What is written of one that is whole; None if it is not there, or cannot be run any more
        since the Python that it was made of is gone."""
        directory = self.environment(name)
        try:
            record = msgspec.json.decode((directory / _RECORD).read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError):
            return None
        return record if os.access(directory / "bin" / "python", os.X_OK) else None

    def note_use(self, name: str, image: str) -> None:
        """That an image asked for it now. Raises OSError."""
        path = self.root / "uses" / f"{name}.json"
        images = self.uses(name)[0]
        if image in images[-1:]:
            os.utime(path)
            return
        images = (*(other for other in images if other != image), image)[-_IMAGES_MAX:]
        disk.write(path, msgspec.json.encode(Uses(images)), synced=False)

    def uses(self, name: str) -> tuple[tuple[str, ...], float]:
        """Which images asked for it, and when the last one did; 0: nobody did."""
        path = self.root / "uses" / f"{name}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Uses).images, path.stat().st_mtime
        except (OSError, msgspec.MsgspecError):
            return (), 0.0

    @contextlib.contextmanager
    def held(self, name: str, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
        """Hold the lock of a name while the block runs; the kernel lets it go with us. Raises Busy
        where somebody has it and it is not waited for; OSError."""
        path = self.root / "locks" / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            try:
                fcntl.flock(descriptor, how | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as taken:
                raise Busy(name) from taken
            yield
        finally:
            os.close(descriptor)

    def begin(self, name: str) -> Path:
        """A directory to build in, for who holds the name. What others have left of it goes."""
        for left in self.building.glob(f"{name}.*"):
            self.clear(left)
        made = self.building / f"{name}.{uuid.uuid4().hex[:8]}"
        made.mkdir(mode=0o755)
        return made

    def publish(self, made: Path, name: str) -> None:
        """Make what was built the environment, for who holds the name. It, and that it is there,
        survive the loss of power. Raises OSError."""
        linux.sync_file_system(made)
        target = self.environment(name)
        if target.exists():  # one that could not be used any more
            self.put_away(name)
        made.chmod(0o755)  # only root moves a directory that it may not write to
        os.rename(made, target)  # noqa: PTH104 - of a directory
        target.chmod(0o555)
        disk.sync_directory(self.root)

    def put_away(self, name: str) -> None:
        """Take an environment out of sight at once, and then from the disk; for who holds the
        name. Raises OSError."""
        gone = self.removed / f"{name}.{uuid.uuid4().hex[:8]}"
        self.environment(name).chmod(0o755)
        os.rename(self.environment(name), gone)  # noqa: PTH104 - of a directory
        disk.sync_directory(self.root)
        clear(gone)

    def clear(self, left: Path) -> None:
        """Remove what a builder has left, and whom it has left. Raises OSError."""
        strays.end(left.name)
        clear(left)

    def sweep(self) -> None:
        """Remove what nobody builds any more, and what was on its way out. Raises OSError."""
        for left in self.building.iterdir() if self.building.is_dir() else ():
            with contextlib.suppress(Busy), self.held(left.name.partition(".")[0], wait=False):
                self.clear(left)
        for gone in self.removed.iterdir() if self.removed.is_dir() else ():
            clear(gone)


def clear(path: Path) -> None:
    """Remove a directory and all in it, also what is not to be written to. Files keep their modes:
    others share them. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for directory, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            Path(directory).chmod(0o700)
    with contextlib.suppress(FileNotFoundError):  # somebody else does it too
        shutil.rmtree(path)


def clone(source: Path, target: Path) -> None:
    """The same directories with the same files, or the same file, under another name. Raises
    OSError."""
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(source, target)
    for directory, names, files in os.walk(source):
        place = target / Path(directory).relative_to(source)
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        links = [name for name in names if (Path(directory) / name).is_symlink()]
        # What is written anew, or is locked by who installs, is not to be shared.
        for name in {*files, *links} - {_RECORD, _LOCK, ".lock"}:
            _link(Path(directory) / name, place / name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:  # it was named twice
        return
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.EXDEV):
            raise
        shutil.copy2(source, target, follow_symlinks=False)


def open_to_all(directory: Path) -> None:
    """Let everybody read the files of a directory; those that are others' too, as copies. Raises
    OSError."""
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        if not path.lstat().st_mode & 0o004 and not path.is_symlink():
            copy = path.with_name(f"{path.name}.copy")
            shutil.copyfile(path, copy)
            copy.chmod(0o644)
            copy.replace(path)


def close(made: Path) -> int:
    """Let nobody write to what was built, and everybody read it. The room that it takes, in bytes.
    Raises OSError."""
    sizes: dict[int, int] = {}
    for directory, _, files in os.walk(made):
        for name in files:
            path = Path(directory) / name
            status = path.lstat()
            sizes[status.st_ino] = status.st_blocks * 512
            if stat.S_ISREG(status.st_mode):
                wanted = 0o555 if status.st_mode & 0o111 else 0o444
                if stat.S_IMODE(status.st_mode) != wanted:
                    path.chmod(wanted)
        Path(directory).chmod(0o555)
    return sum(sizes.values())


def write_record(made: Path, record: Record, lock: Sequence[str]) -> None:
    """Into what is built: what it is, and the exact versions that it has. Raises OSError."""
    disk.write(made / _RECORD, msgspec.json.encode(record), mode=0o444, synced=False)
    text = "".join(f"{line}\n" for line in lock)
    disk.write(made / _LOCK, text.encode(), mode=0o444, synced=False)
